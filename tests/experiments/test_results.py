import json
import shutil

import pytest
from written import write_run, write_runs

from tfprune.experiments.listing import list_runs
from tfprune.experiments.results import find_results, read_comparisons, read_result
from tfprune.experiments.rundir import RunDir
from tfprune.utils.errors import RunError


def names(results):
    return [result.folder.root.name.rsplit("-", 1)[0] for result in results]


def test_runs_are_found_by_their_folder_and_in_a_folder_of_them(tmp_path):
    folders = write_runs(tmp_path / "many", ("unpruned", "dynamic"), 2)
    alone = write_run(tmp_path / "other", "lottery")
    (tmp_path / "many" / "notes").mkdir()
    (tmp_path / "many" / "figure.png").touch()
    results, left_out = find_results([alone, tmp_path / "many", folders[0]])
    assert names(results) == [
        "penguins-lottery-seed0",
        *("penguins-dynamic-seed0", "penguins-dynamic-seed1", "penguins-unpruned-seed0", "penguins-unpruned-seed1"),
    ]
    assert left_out == []


def test_what_is_not_finished_of_another_version_or_twice_is_left_out_and_named(tmp_path):
    good = write_run(tmp_path, "dynamic", 0)
    unfinished = write_run(tmp_path, "dynamic", 1, finished=False)
    old = write_run(tmp_path, "dynamic", 2, metrics={"schema": 1})
    forged = write_run(tmp_path, "dynamic", 3)
    (forged / "config.json").write_text('{"dataset": "penguins", "method": "<b>"}')
    copy = tmp_path / "z"
    shutil.copytree(good, copy)
    results, left_out = find_results([tmp_path])
    assert names(results) == ["penguins-dynamic-seed0"]
    assert [line.split(": ")[0] for line in left_out] == [
        *(str(unfinished), f"{old}/metrics.json", f"{forged}/config.json", str(copy)),
    ]
    for line, said in zip(left_out, ("not finished", "schema 1", "unknown method", f"same run as {good}"), strict=True):
        assert said in line


def test_without_a_finished_run_there_is_one_line(tmp_path):
    (tmp_path / "empty").mkdir()
    write_runs(tmp_path / "unfinished", ("dynamic",), 2, finished=False)
    for folder, message in (
        ("absent", "absent: there is no such folder"),
        ("empty", "empty: this is no run folder, and there is none in it"),
        ("unfinished", r"no run to report\. .*dynamic-seed0.* is not finished.* \(and 1 more\)"),
    ):
        with pytest.raises(RunError, match=message):
            find_results([tmp_path / folder])


def test_a_history_that_is_gone_is_named(tmp_path):
    run = write_run(tmp_path)
    (run / "history.csv").unlink()
    with pytest.raises(RunError, match="history.csv: there is no such file"):
        read_result(RunDir(run)).history()
    other = write_run(tmp_path, seed=1)
    results, left_out = find_results([tmp_path])  # a report on the others does not fail for it
    assert [own.folder.root for own in results] == [other]
    assert left_out == [f"{run}/history.csv: there is no such file"]


def test_a_file_holds_one_comparison_or_several(tmp_path):
    trial = {"seeds": {"0": {}}, "mean": {"test_accuracy": 0.5, "sparsity": 0}, "sd": {"test_accuracy": None}}
    one = {"schema": 2, "dataset": "penguins", "settings": {"model": "mlp", "epochs": 3}, "verdicts": []}
    one |= {"methods": {"unpruned": trial | {"delta": None}}}
    for content, count in ((one, 1), ({"comparisons": [one, one]}, 2)):
        (tmp_path / "c.json").write_text(json.dumps(content))
        assert read_comparisons(tmp_path / "c.json") == [one] * count
    (tmp_path / "c.json").write_text(json.dumps({"comparisons": [one, one | {"schema": 1}]}))
    with pytest.raises(RunError, match="this is no comparison of schema 2"):
        read_comparisons(tmp_path / "c.json")


def test_what_is_not_asked_for_of_many_runs_is_not_read(tmp_path):
    """Thousands of runs are listed and compared: their histories are most of what there is to read."""
    run = write_run(tmp_path)
    text = (run / "history.csv").read_text()
    (run / "history.csv").write_text(text.replace("0.8", "x"))  # val_accuracy
    result = read_result(RunDir(run))
    assert result.history_columns("epoch", "val_loss") == {"epoch": [6, 12], "val_loss": [1 / 6 + 0.03, 1 / 12 + 0.03]}
    with pytest.raises(RunError, match=r"history.csv: \w+: cannot be read"):
        result.history()
    (run / "history.csv").unlink()
    assert len(list_runs([tmp_path])[0]) == 1


def test_what_is_near_a_run_is_said(tmp_path):
    run = write_run(tmp_path, "dynamic")
    with pytest.raises(RunError, match=f"this is a file of the run {run}"):
        read_result(RunDir(run / "metrics.json"))
    with pytest.raises(RunError, match=f"`tfprune runs {tmp_path}` lists those in it"):
        read_result(RunDir(tmp_path))
