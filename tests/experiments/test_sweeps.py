import os
import signal
import time
from concurrent.futures import Future
from pathlib import Path

import pytest
from written import write_run

from tfprune.experiments.executors.local import InProcessExecutor, Processes
from tfprune.experiments.results import Result
from tfprune.experiments.rundir import RunDir
from tfprune.experiments.sweeps import run_all
from tfprune.utils.errors import ConfigError, RunError, TrainingError

# What workers run; processes import this file, so that it must be light. Each run says what it was handed.


def report(configs, dense):
    for config in configs:
        if config.seed == 7:
            raise TrainingError("the loss\nis nan")
        if config.seed == 8:
            raise ConfigError("out of range")
    said = {"dense": dense and dense.config.run_id, "threads": os.environ.get("TF_NUM_INTRAOP_THREADS")}
    said |= {"process": os.getpid(), "together": len(configs)}
    return [Result(RunDir(Path(config.out) / config.run_id), config, said) for config in configs]


def die(configs, dense):
    os.kill(os.getpid(), signal.SIGKILL)


def die_once(configs, dense):
    """Dies at the first attempt at seed 1."""
    tried = Path(configs[0].out).with_name("tried")
    if configs[0].seed == 1 and not tried.exists():
        tried.touch()
        die(configs, dense)
    return report(configs, dense)


def linger(configs, dense):
    Path(configs[0].out).with_name("started").write_text(str(os.getpid()))
    time.sleep(60)


def each_alone(config):
    return 1


def at_most_two(config):
    return 2


def said(results, key):
    return {result.config.run_id: result.metrics[key] for result in results}


METHODS = ("unpruned", "pruned", "dynamic")


@pytest.mark.parametrize("executor", [InProcessExecutor, lambda: Processes(2)], ids=["here", "processes"])
def test_baselines_come_first_and_are_handed_on(tiny, executor):
    configs = [tiny(method, seed=seed) for seed in (0, 1) for method in reversed(METHODS)]
    results, failures = run_all(configs, executor(), train=report, networks=each_alone)
    assert [result.config.run_id for result in results] == [config.run_id for config in configs] and failures == []
    for config in configs:
        expected = None if config.method == "unpruned" else config.as_baseline().run_id
        assert said(results, "dense")[config.run_id] == expected


def test_what_is_kept_is_up_to_the_caller_and_baselines_are_handed_on_all_the_same(tiny, tmp_path):
    unpruned, pruned, dynamic = (tiny(method) for method in METHODS)
    kept, _ = run_all([pruned, unpruned], train=report, networks=each_alone, keep=lambda run: run.metrics["dense"])
    assert kept == [unpruned.run_id, None]
    write_run(tmp_path / "runs", "unpruned", epochs=6)  # finished earlier: read again when it is needed
    kept, _ = run_all([unpruned, dynamic], train=report, networks=each_alone, keep=lambda run: run.metrics.get("dense"))
    assert kept == [None, unpruned.run_id]


def test_processes_share_the_cores(tiny):
    configs = [tiny(seed=seed) for seed in range(4)]
    results, _ = run_all(configs, Processes(2), train=report, networks=each_alone)
    assert set(said(results, "threads").values()) == {str(max(1, len(os.sched_getaffinity(0)) // 2))}
    processes = set(said(results, "process").values())
    assert len(processes) <= 2 and os.getpid() not in processes  # each trains several: TensorFlow is imported once


def test_runs_that_differ_in_method_and_seed_are_trained_in_groups(tiny):
    configs = [tiny(method, seed=seed) for seed in range(5) for method in METHODS]
    results, _ = run_all(configs, train=report, networks=at_most_two)
    together = said(results, "together")
    assert [together[config.run_id] for config in configs] == [6] * 12 + [3] * 3
    results, _ = run_all([*configs[:4], tiny(seed=1, epochs=9)], train=report, networks=at_most_two)
    assert list(said(results, "together").values()) == [2, 2, 2, 2, 1]


def test_what_waits_for_a_baseline_does_not_wait_for_one_that_failed(tiny):
    configs = [tiny(method, seed=seed) for seed in (7, 1) for method in METHODS]
    results, failures = run_all(configs, Processes(2), train=report, networks=each_alone)
    assert [result.config.run_id for result in results] == [config.run_id for config in configs[3:]]
    assert failures == [f"{config.run_id}: the loss is nan" for config in configs[:3]]


def test_of_a_group_that_fails_each_is_tried_alone(tiny):
    configs = [tiny(seed=seed) for seed in (7, 1)]
    results, failures = run_all(configs, train=report, networks=at_most_two)
    assert said(results, "together") == {configs[1].run_id: 1}
    assert failures == [f"{configs[0].run_id}: the loss is nan"]


@pytest.mark.parametrize("executor", [InProcessExecutor, lambda: Processes(2)], ids=["here", "processes"])
def test_what_concerns_all_runs_stops_them(tiny, executor):
    with pytest.raises(ConfigError, match="out of range"):
        run_all([tiny(seed=8)], executor(), train=report)


def test_what_may_concern_a_run_alone_is_named_where_runs_differ(tiny):
    configs = [tiny(seed=seed) for seed in (8, 1)]
    results, failures = run_all(configs, train=report, networks=each_alone, skipped=Exception)
    assert len(results) == 1 and failures == [f"{configs[0].run_id}: out of range"]


def test_a_run_whose_process_is_killed_is_tried_again(tiny):
    configs = [tiny(seed=seed) for seed in range(4)]
    results, failures = run_all(configs, Processes(2), train=die_once, networks=each_alone)
    assert len(results) == 4 and failures == []


def test_a_run_that_kills_every_process_is_named(tiny):
    configs = [tiny(seed=seed) for seed in range(2)]
    results, failures = run_all(configs, Processes(2), train=die, networks=each_alone)
    assert results == [] and [line.split(":")[0] for line in failures] == [config.run_id for config in configs]
    assert all("its worker was killed 3 times" in line for line in failures)


def test_finished_runs_are_read_and_nothing_is_started(tmp_path, tiny):
    write_run(tmp_path / "runs", epochs=6)
    results, failures = run_all([tiny(), tiny()], Unreachable(), train=die)
    assert [result.metrics["seed"] for result in results] == [0] and failures == []
    with pytest.raises(RunError, match="was run with epochs=6, not 7"):
        config = tiny(epochs=7)
        (tmp_path / "runs" / tiny().run_id).rename(tmp_path / "runs" / config.run_id)
        run_all([config], train=die)


class Unreachable(InProcessExecutor):
    """Whose workers are gone before they are ready."""

    lost = (ConnectionError,)

    def start(self, folders):
        self.ready = Future()
        self.ready.set_exception(ConnectionError("no route"))
        return self


def test_workers_that_never_come_up_end_the_sweep(tiny):
    with pytest.raises(RunError, match="workers end as they start, 3 in a row .no route."):
        run_all([tiny()], Unreachable(), train=report)


def test_processes_end_with_the_one_that_started_them(tiny, tmp_path):
    """Also when it is killed, so that the next sweep does not meet trainings of the last."""
    driver = os.fork()
    if driver == 0:
        try:
            run_all([tiny()], Processes(2), train=linger)
        finally:
            os._exit(1)
    started = tmp_path / "started"
    while not (started.exists() and started.read_text()):
        time.sleep(0.02)
    os.kill(driver, signal.SIGKILL)
    os.waitpid(driver, 0)
    deadline = time.monotonic() + 10
    while Path(f"/proc/{started.read_text()}").exists():
        assert time.monotonic() < deadline, "the worker goes on"
        time.sleep(0.02)
