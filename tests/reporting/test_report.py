import pytest
from written import write_run, write_runs

from tfprune.experiments.results import find_results
from tfprune.reporting.report import as_json, comparable, facts, notes, sections, source


def groups(folder):
    """Run names of each group."""
    results, _ = find_results([folder])
    return [[run.folder.root.name.rsplit("-", 1)[0] for run in group] for group in comparable(results)]


def section(folder):
    (found,) = sections(find_results([folder])[0])
    return found


def test_runs_that_differ_in_method_and_seed_are_one_group_in_a_fixed_order(tmp_path):
    write_runs(tmp_path, ("lottery", "unpruned"), 2)
    write_run(tmp_path, "lottery", 10, settings={"rounds": 2})
    names = [f"penguins-{name}" for name in ("unpruned-seed0", "unpruned-seed1", "lottery-seed0", "lottery-seed1")]
    assert groups(tmp_path) == [[*names, "penguins-lottery-seed10"]]
    assert list(section(tmp_path).trials) == ["unpruned", "lottery rounds=1", "lottery rounds=2"]


@pytest.mark.parametrize("scope", [None, "global"])
def test_a_method_in_its_papers_scope_belongs_to_the_baseline_of_any(tmp_path, scope):
    write_runs(tmp_path, ("unpruned", "dynamic", "snip"), 2, scope=scope)
    results, _ = find_results([tmp_path])
    [section] = sections(results)
    assert list(section.trials) == ["unpruned", "dynamic", "snip"]


@pytest.mark.parametrize("changes", [{"learning_rate": 0.01}, {"epochs": 24}, {"limit": 9}])
def test_other_settings_are_another_group(tmp_path, changes):
    write_runs(tmp_path / "a", ("unpruned", "dynamic"), 1)
    write_runs(tmp_path / "b", ("unpruned", "dynamic"), 1, **changes)
    results, _ = find_results([tmp_path / "a", tmp_path / "b"])
    first, second = sections(results)
    assert [len(first.results), len(second.results)] == [2, 2] and first.title != second.title
    for key, value in changes.items():
        assert f"{key}={value}" in second.title or f"{value} {key}" in second.title


def test_an_equal_budget_is_no_other_group_unless_it_has_a_baseline(tmp_path):
    write_runs(tmp_path, ("unpruned",), 1)
    write_runs(tmp_path, ("lottery",), 1, epochs=6)  # twice 6 are the baseline's 12
    assert groups(tmp_path) == [["penguins-unpruned-seed0", "penguins-lottery-seed0"]]
    write_runs(tmp_path, ("dynamic",), 1, epochs=6)  # has half the budget
    assert [len(group) for group in groups(tmp_path)] == [1, 2]
    write_runs(tmp_path, ("dynamic",), 1, epochs=24)  # has twice as much
    assert sorted(len(group) for group in groups(tmp_path)) == [1, 1, 2]
    write_runs(tmp_path, ("unpruned",), 1, epochs=6)
    assert sorted(len(group) for group in groups(tmp_path)) == [1, 1, 3]


def test_the_facts_are_what_was_compared_and_where(tmp_path):
    write_runs(tmp_path, seeds=2, scope="global")
    write_run(tmp_path, "dynamic", 5, scope="global", metrics={"machine": {"cpu": "B", "cores": 1, "gpus": ["G"]}})
    said = facts(section(tmp_path))
    assert said["Epochs"] == "12 a training, in batches of 50" and said["Seeds"] == "0 to 1, 5"
    assert said["Model"].startswith("mlp (hidden=12, activation=relu")
    assert said["Optimizer"].startswith("adam (") and "learning rate 0.0001, constant" in said["Optimizer"]
    assert said["Precision"] == "float32"
    assert said["Ranked in another scope than the layer"] == "pruned global, lottery global, dynamic global"
    assert said["Versions"] == "Python 3.11.7, TensorFlow 2.21.0, tfmot 0.8.1"
    assert said["Machine"] == "Some CPU, 2 cores; B, 1 core, G"
    assert said["Runs"] == f"9 in {tmp_path}"


def test_the_notes_are_what_is_missing(tmp_path):
    write_runs(tmp_path / "all")
    assert notes(section(tmp_path / "all")) == []
    write_runs(tmp_path / "one", ("dynamic",), 1)
    one, baseline = notes(section(tmp_path / "one"))
    assert "One seed: there are no standard deviations, intervals or p values" in one
    assert "no run of unpruned" in baseline
    write_runs(tmp_path / "some", ("unpruned",), 3)
    write_runs(tmp_path / "some", ("dynamic",), 2)
    write_runs(tmp_path / "some", ("pruned",), 1, metrics={"machine": {"cpu": "B", "cores": 1, "gpus": []}})
    single, fewer, machines = notes(section(tmp_path / "some"))
    assert "Of pruned there is one seed" in single and machines == (
        "Blank where times do not compare: pruned was trained on B, 1 core, unpruned on Some CPU, 2 cores; time all "
        "of them alike: the same seeds in one command, with --out NEW_FOLDER or --set loop=plain."
    )
    assert "all 3 seeds (dynamic 2)" in fewer


def test_runs_that_were_not_computed_alike_or_on_the_same_data_are_named(tmp_path):
    classes = {"train": {"a": 3, "b": 3}, "validation": {"a": 1, "b": 1}, "test": {"a": 1, "b": 1}}
    other = {**classes, "train": {"a": 2, "b": 3}}
    newer = {"python": "3.11.7", "tensorflow": "2.22.0", "tensorflow-model-optimization": "0.8.1"}
    write_runs(tmp_path, ("unpruned", "pruned"), 2, metrics={"data": {"classes": classes, "remarks": []}})
    assert notes(section(tmp_path)) == []
    changed = {"versions": newer, "precision": {"policy": "mixed_bfloat16", "step_seconds": {}}}
    write_runs(tmp_path, ("dynamic",), 2, metrics={**changed, "data": {"classes": other, "remarks": []}})
    computed, data = notes(section(tmp_path))
    assert "TensorFlow 2.21.0 (unpruned, pruned) and 2.22.0 (dynamic); precision float32 (unpruned, pruned)" in computed
    assert "seed 0 to 1" in data and "--force" in data
    assert computed.split(": ")[0] in source(section(tmp_path))


def test_the_numbers_are_of_shared_settings(tmp_path):
    write_runs(tmp_path, seeds=2)
    found = section(tmp_path)
    numbers = as_json(found.results, found.summary, ["x"])
    assert list(numbers["methods"]) == ["unpruned", "pruned", "lottery", "dynamic"] and numbers["failures"] == ["x"]
    assert numbers["settings"]["epochs"] == 12
    assert not {"method", "settings", "seed", "out", "data_dir"} & set(numbers["settings"])
    assert [verdict["outcome"] for verdict in numbers["verdicts"]] == [v.outcome for v in found.verdicts]


def test_the_source_names_what_a_run_was_trained_with(tmp_path):
    versions = {"python": "3.11.7", "tfprune": "0.1.0", "keras": "3.15.1", "jax": "0.10.2", "jaxlib": "0.10.2"}
    write_run(tmp_path / "jax", metrics={"versions": versions})
    write_run(tmp_path / "tensorflow")
    assert "Python 3.11.7, keras 3.15.1, jax 0.10.2; Some CPU" in source(section(tmp_path / "jax"))
    assert "Python 3.11.7, TensorFlow 2.21.0, tfmot 0.8.1; Some CPU" in source(section(tmp_path / "tensorflow"))
