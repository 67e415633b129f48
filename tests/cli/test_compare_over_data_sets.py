"""`compare` and `report` with several data sets, by option and by sweep file."""

import json

import numpy as np
import pytest
from written import write_run, write_runs

from tfprune.experiments.rundir import RunDir
from tfprune.methods.dynamic import Dynamic
from tfprune.utils.errors import DivergedError

HEADER = "a,b,class\n"


@pytest.fixture
def tables(tmp_path):
    """Two tables of two classes."""
    paths = []
    for number, name in enumerate(("first", "second")):
        x = np.random.default_rng(number).normal(size=(120, 2)).round(3)
        rows = "".join(f"{a},{b},{'yes' if a + b > 0 else 'no'}\n" for a, b in x)
        paths.append(tmp_path / f"{name}.csv")
        paths[-1].write_text(HEADER + rows)
    return paths


def test_methods_are_compared_over_data_sets(call, tables, tmp_path):
    first, second = tables
    page = tmp_path / "page.md"
    page.write_text("".join(f"<!-- results {t.stem} -->\n<!-- /results {t.stem} -->\n" for t in tables))
    code, out, err = call(
        *("compare", "--dataset", first, "--dataset", second, "--label", "class", "--model", "mlp", "--epochs", 4),
        *("--methods", "unpruned,dynamic,random", "--seeds", 2, "--out", tmp_path / "runs"),
        *("--json", tmp_path / "numbers.json", "--page", page),
    )
    assert code == 0, err
    assert "Over data sets" in out and "2 data sets are the units" in out and "at least 6 data sets" in out
    numbers = json.loads((tmp_path / "numbers.json").read_text())
    assert [len(own["methods"]) for own in numbers["comparisons"]] == [3, 3]
    own = [values["methods"]["dynamic"]["accuracy"]["mean"] for values in numbers["comparisons"]]
    assert list(numbers["across"]["trials"]["dynamic"]["differences"].values()) == pytest.approx(own)
    assert min(page.read_text().count(f"| {name} ") for name in ("dynamic", "random")) >= 2 * 3
    assert (tmp_path / "runs" / "across.png").is_file()

    plan = tmp_path / "plan.json"
    grid = {"dataset": [str(first), str(second)]}
    methods = ["unpruned", "dynamic", "random"]
    settings = {"data.label": "class", "model": "mlp", "epochs": 4, "out": str(tmp_path / "runs")}
    plan.write_text(json.dumps({"grid": grid, "methods": methods, "seeds": 2, **settings}))
    code, planned, err = call("compare", "--plan", plan, "--dry-run")
    assert code == 0 and planned.count("seed") >= 12, planned
    code, again, err = call("compare", "--plan", plan)
    assert (
        code == 0
        and again[again.index("Over data sets") :].splitlines()[:8]
        == (out[out.index("Over data sets") :].splitlines()[:8])
    )
    assert call("report", plan, "--out", tmp_path / "report.html")[0] == 0
    assert "Over data sets" in (tmp_path / "report.html").read_text()
    for option in (
        ("--dataset", "penguins"),
        ("--epochs", 3),
        ("--seeds", 3),
        ("--equal-budget",),
        ("--set", "limit=9"),
    ):
        code, _, err = call("compare", "--plan", plan, *option)
        assert code == 2 and f"--plan names all runs: put {option[0].removeprefix('--')} into" in err
    plan.write_text(json.dumps({"dataset": "penguins", "methods": methods, "out": str(tmp_path / "none")}))
    code, _, err = call("report", plan, "--out", tmp_path / "report.html")
    assert code == 2 and "none of its 3 runs was begun; `tfprune sweep" in err


def test_a_report_counts_what_diverged(call, tmp_path):
    classes = {"data": {"classes": {"test": {"a": 1, "b": 2}}, "remarks": []}}
    write_runs(tmp_path / "runs", ("unpruned", "dynamic"), 2, metrics=classes)
    write_run(tmp_path / "runs", "unpruned", 2, metrics=classes)
    folder = write_run(tmp_path / "runs", "dynamic", 2, finished=False)
    with pytest.raises(DivergedError), RunDir(folder).failures():
        raise DivergedError("the loss is nan after step 8")
    code, _, err = call("report", tmp_path / "runs", "--out", tmp_path / "report.md")
    assert code == 0 and err == "", err
    page = (tmp_path / "report.md").read_text()
    assert "Of dynamic diverged: seed 2; counted at chance" in page


def test_a_comparison_counts_what_diverges(call, tmp_path, monkeypatch):
    def diverge(self, task):
        raise DivergedError("the loss is nan after step 8; try a lower --learning-rate")

    monkeypatch.setattr(Dynamic, "run", diverge)
    code, out, err = call(
        *("compare", "--dataset", "penguins", "--methods", "unpruned,dynamic", "--seeds", 1),
        *("--epochs", 12, "--out", tmp_path, "--set", "loop=plain"),
    )
    assert code == 1 and "Failed: penguins-dynamic-seed0-" in err
    assert "diverged: seed 0; counted at chance" in out and "33.3 %" in out
