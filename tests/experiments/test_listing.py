import csv
import io

import pytest
from written import write_run, write_runs

from tfprune.experiments.listing import COLUMNS, as_csv, condition, in_order, list_runs, runs_table
from tfprune.utils.errors import ConfigError, RunError


@pytest.fixture
def rows(tmp_path):
    """Two finished runs, one that was cut off and one that failed."""
    write_runs(tmp_path, ("unpruned", "dynamic"), 1)
    write_run(tmp_path, "lottery", finished=False)
    failed = write_run(tmp_path, "pruned", finished=False)
    (failed / "failure.txt").write_text("the loss is nan after step 8\n")
    found, left_out = list_runs([tmp_path])
    assert left_out == []
    return found


def methods(rows):
    return [row["method"] for row in rows]


def test_all_runs_are_listed_with_what_is_known_of_them(rows, tmp_path):
    assert methods(rows) == ["dynamic", "lottery", "pruned", "unpruned"]
    assert [row["state"] for row in rows] == ["finished", "unfinished", "failed", "finished"]
    dynamic = rows[0]
    assert tuple(dynamic) == COLUMNS
    assert dynamic | {"path": "", "loss": 0, "accuracy": 0} == {
        **{"method": "dynamic", "dataset": "penguins", "model": "mlp", "seed": 0, "sparsity": 0.3, "accuracy": 0},
        **{"loss": 0, "parameters": 141, "bytes": 610, "epochs": 12, "seconds": 6.0, "state": "finished"},
        **{"path": "", "failure": None},
    }
    assert dynamic["loss"] == pytest.approx(0.52) and dynamic["accuracy"] == pytest.approx(0.848)
    assert dynamic["path"].startswith(str(tmp_path))
    assert rows[1]["accuracy"] is None and rows[1]["failure"] is None
    assert rows[2]["failure"] == "the loss is nan after step 8"


def test_what_cannot_be_read_is_named_and_the_rest_listed(tmp_path):
    write_run(tmp_path)
    forged = write_run(tmp_path, "pruned", finished=False)
    (forged / "config.json").write_text('{"dataset": "penguins", "method": "<b>"}')
    found, (line,) = list_runs([tmp_path])
    assert methods(found) == ["dynamic"] and line.startswith(f"{forged}/config.json: unknown method '<b>'")
    with pytest.raises(RunError, match="absent: there is no such folder"):
        list_runs([tmp_path / "absent"])


@pytest.mark.parametrize(
    ("text", "met"),
    [
        ("sparsity>0.2", ["dynamic"]),
        ("sparsity < 0.2", ["unpruned"]),
        ("sparsity>=0.3", ["dynamic"]),
        ("sparsity<=0", ["unpruned"]),
        ("method=pruned", ["pruned"]),
        ("method!=pruned", ["dynamic", "lottery", "unpruned"]),
        ("state==finished", ["dynamic", "unpruned"]),
        ("epochs != 0", ["dynamic", "unpruned"]),
    ],
)
def test_conditions_choose_rows_and_those_without_a_value_meet_none(rows, text, met):
    assert methods(filter(condition(text), rows)) == met


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sparcity>0.5", r"no column 'sparcity': did you mean sparsity\? Choices: method, dataset"),
        ("sparsity", "a condition needs COLUMN OPERATOR VALUE, such as sparsity>0.5, got 'sparsity'"),
        ("sparsity=>0.5", "'sparsity=>0.5' has an unknown operator '=>': Choices: <=, >=, !=, ==, <, >, ="),
        ("sparsity>half", "sparsity is compared with a number, got 'half'"),
        ("", "a condition needs"),
    ],
)
def test_conditions_that_say_nothing_are_refused(text, message):
    with pytest.raises(ConfigError, match=message):
        condition(text)


def test_rows_are_sorted_either_way_and_those_without_a_value_come_last(rows):
    assert methods(in_order(rows, "accuracy")) == ["dynamic", "unpruned", "lottery", "pruned"]
    assert methods(in_order(rows, "-accuracy")) == ["unpruned", "dynamic", "lottery", "pruned"]
    with pytest.raises(ConfigError, match="no column 'acuracy': did you mean accuracy"):
        in_order(rows, "-acuracy")


def test_tables_are_for_people_and_csv_has_all_digits(rows):
    headers, cells = runs_table(rows)
    assert headers == COLUMNS[:-1]
    assert cells[0][4:11] == ("30.0 %", "84.8 %", "0.5200", "141", "610", "12", "6.0")
    assert cells[1][4:12] == (*[""] * 7, "unfinished")
    read = list(csv.DictReader(io.StringIO(as_csv(rows))))
    assert float(read[0]["loss"]) == rows[0]["loss"] and read[1]["loss"] == ""
