import os

import pytest

from tfprune.errors import ConfigError, TrainingError
from tfprune.pool import _ready, run_side_by_side

# What the processes run: they import this file, so that it must be light. Each says what it was handed.


def report(config, dense):
    if config.seed == 7:
        raise TrainingError("the loss is nan")
    if config.seed == 8:
        raise ConfigError("out of range")
    return config.run_id, dense, os.environ["TF_NUM_INTRAOP_THREADS"], os.getpid()


def die(config, dense):
    os._exit(1)


def test_baselines_come_first_and_are_handed_on(tiny):
    configs = [tiny(method, seed=seed) for seed in (0, 1) for method in ("unpruned", "pruned", "dynamic")]
    results, failures = run_side_by_side(configs, report, jobs=2)
    assert [result[0] for result in results] == [config.run_id for config in configs] and failures == []
    handed = {result[0]: result[1] for result in results}
    for config in configs:
        baseline = handed[config.run_id]
        if config.method == "unpruned":
            assert baseline is None
        else:
            assert baseline[0] == config.as_baseline().run_id
    assert {result[2] for result in results} == {str(max(1, len(os.sched_getaffinity(0)) // 2))}
    assert os.getpid() not in {result[3] for result in results}


def test_what_waits_for_a_baseline_does_not_wait_for_one_that_failed(tiny):
    configs = [tiny(method, seed=seed) for seed in (7, 1) for method in ("unpruned", "pruned")]
    assert [c.method for c in _ready(configs, {configs[0].run_id, configs[2].run_id})] == ["unpruned"] * 2
    results, failures = run_side_by_side(configs, report, jobs=2)
    assert [result[0] for result in results] == [config.run_id for config in configs[2:]]
    assert failures == [f"{config.run_id}: the loss is nan" for config in configs[:2]]


def test_what_concerns_all_runs_stops_them(tiny):
    with pytest.raises(ConfigError, match="out of range"):
        run_side_by_side([tiny(seed=8)], report, jobs=2)


def test_a_process_that_is_killed_is_named_with_all_that_it_leaves_undone(tiny):
    configs = [tiny(seed=seed) for seed in range(3)]
    results, failures = run_side_by_side(configs, die, jobs=2)
    assert results == [] and len(failures) == 3 and all("a process of --jobs 2 was killed" in line for line in failures)
