"""`compare` on runs that are finished: what is shown, written and refused."""

import json

import pytest
from written import write_run

from tfprune.experiments import sweeps

TRAINED = ("compare", "--epochs", 12, "--seeds", 2)


@pytest.fixture
def call(call, monkeypatch):
    """Runs a command; whatever is not finished must not be trained."""

    def refuse(configs, dense):
        pytest.fail(f"{configs[0].run_id} is trained")

    monkeypatch.setattr(sweeps.run_all, "__kwdefaults__", sweeps.run_all.__kwdefaults__ | {"train": refuse})
    return call


def write(out, *trials, **changes):
    """Writes two seeds of each trial: a method and its settings."""
    for method, settings in trials:
        for seed in range(2):
            write_run(out, method, seed, settings=settings, **changes)


def page_with(path, *marks):
    path.write_text("".join(f"<!-- {mark} -->\n<!-- /{mark} -->\n" for mark in marks))
    return path


def test_data_sets_with_files_of_one_name_are_compared_each_by_itself(call, tmp_path):
    given = []
    for number, folder in enumerate(("a", "b")):
        path = tmp_path / folder / "x.csv"
        path.parent.mkdir()
        path.write_text("u,v,class\n" + "".join(f"{n},{n * number},{'yes' if n % 2 else 'no'}\n" for n in range(90)))
        settings = {"dataset": str(path), "data_settings": {"label": "class"}, "model": "mlp"}
        write(tmp_path / "runs", ("unpruned", {}), ("dynamic", {}), **settings)
        given += ["--dataset", path]
    page = page_with(tmp_path / "page.md", "results x", "results x-2")
    code, out, err = call(
        *(*TRAINED, *given, "--label", "class", "--model", "mlp", "--methods", "unpruned,dynamic"),
        *("--out", tmp_path / "runs", "--json", tmp_path / "numbers.json", "--page", page),
    )
    assert code == 0, err
    titles = [line for line in out.splitlines() if line.startswith("x: mlp, 12 epochs, data.fingerprint=")]
    assert len(set(titles)) == 2 and page.read_text().count("| dynamic ") >= 2
    assert "Over data sets: x has several comparisons; name the runs of one of each data set, and give files" in out
    comparisons = json.loads((tmp_path / "numbers.json").read_text())["comparisons"]
    assert [len(own["methods"]["dynamic"]["seeds"]) for own in comparisons] == [2, 2]
    assert len({own["settings"]["data_settings"]["fingerprint"] for own in comparisons}) == 2
    for name in ("x", "x-2"):
        assert (tmp_path / "runs" / f"{name}-comparison.png").is_file()


def test_comparisons_of_one_data_set_in_a_plan_have_figures_and_places_of_their_own(call, tmp_path):
    for size in (16, 64):
        write(tmp_path / "runs", ("unpruned", {}), ("dynamic", {}), batch_size=size)
    plan = tmp_path / "plan.toml"
    plan.write_text(
        'dataset = "penguins"\nepochs = 12\nseeds = 2\nmethods = ["unpruned", "dynamic"]\n[grid]\nbatch_size = [16, 64]'
    )
    page = page_with(tmp_path / "page.md", "results penguins")
    compare = ("compare", "--plan", plan, "--out", tmp_path / "runs", "--page", page)
    code, _, err = call(*compare)
    assert code == 2 and "has no <!-- results penguins-2 --> ... <!-- /results penguins-2 -->" in err
    page_with(page, "results penguins", "results penguins-2")
    code, out, err = call(*compare)
    assert code == 0, err
    figures = [line.removeprefix("Figure: ") for line in out.splitlines() if line.startswith("Figure: ")]
    assert len(figures) == len(set(figures)) == 4
    assert (tmp_path / "runs" / "penguins-curves.png").is_file()
    assert (tmp_path / "runs" / "penguins-2-curves.png").is_file()
    first, second = page.read_text().split("<!-- results penguins-2 -->")
    assert "batches of 16" in first and "batches of 64" in second


@pytest.mark.parametrize(
    "trials",
    [
        [("unpruned", {}), ("longer", {"factor": 2}), ("longer", {"factor": 3})],
        [("unpruned", {}), ("fine_tuned", {"rounds": 1}), ("fine_tuned", {"rounds": 2})],
    ],
)
def test_settings_of_a_method_at_one_sparsity_are_no_sparsities(call, tmp_path, trials):
    write(tmp_path / "runs", *trials)
    page = page_with(tmp_path / "page.md", "results penguins")
    methods = ",".join(":".join((method, *(f"{k}={v}" for k, v in own.items()))) for method, own in trials)
    code, out, err = call(
        *(*TRAINED, "--dataset", "penguins", "--methods", methods, "--wide", "--out", tmp_path / "runs"),
        *("--page", page),
    )
    assert code == 0, err
    assert (tmp_path / "runs" / "penguins-comparison.png").is_file() and " % zeros" not in out
    assert not (tmp_path / "runs" / "penguins-sparsities.png").exists()
    assert f"| {trials[-1][0]} {methods.rpartition(':')[2]} " in page.read_text()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ("--methods", "dynamic:final_sparsity=0.5", "--sparsity", 0.8),
            "--sparsity decides final_sparsity; leave one",
        ),
        (("--methods", "pruned:sparsity=0.5", "--compression", 2), "--sparsity decides sparsity; leave one"),
        (("--methods", "dynamic:seed=7"), "dynamic has no setting 'seed' of its own; what all methods share goes into"),
        (("--methods", "unpruned,dynamic:method=lottery"), "dynamic has no setting 'method' of its own"),
        (("--methods", "dynamic:learning_rate=0.0005"), "dynamic has no setting 'learning_rate' of its own"),
        (("--methods", "dynamic:nonsense=1"), "dynamic has no setting 'nonsense' of its own"),
        (("--methods", "unpruned:scope=global"), "unpruned has no setting 'scope' of its own"),
        (("--methods", "lottery:rounds=2:rounds=3"), "lottery:rounds=2:rounds=3: rounds is there twice"),
        (
            ("--methods", "lottery:epochs=3", "--equal-budget"),
            "--equal-budget decides epochs; leave one of the two out",
        ),
        (("--methods", "dynamic", "--set", "method=lottery"), "--set method would be that of all runs: use --methods"),
    ],
)
def test_settings_that_would_be_ignored_are_refused(call, tmp_path, options, message):
    code, _, err = call(*TRAINED, "--dataset", "penguins", "--out", tmp_path, "--dry-run", *options)
    assert code == 2 and message in err and err.count("\n") == 1


def test_settings_that_tell_trials_apart_are_taken(call, tmp_path):
    methods = (
        "unpruned,lottery:epochs=3:scope=global,dynamic:granularity=filter:channels.multiple=2,small_dense:longer=1.3"
    )
    code, out, err = call(*TRAINED, "--dataset", "penguins", "--out", tmp_path, "--dry-run", "--methods", methods)
    assert code == 0 and len(out.splitlines()) == 8, err


def test_places_that_cannot_be_written_are_named_before_anything_is_trained(call, tmp_path):
    file = tmp_path / "file"
    file.touch()
    page = page_with(tmp_path / "page.md", "results flowers")
    compare = (*TRAINED, "--dataset", "penguins", "--out", tmp_path / "runs")
    for options, message in (
        (("--figures", file), f"{file}: cannot be written (File exists)"),
        (("--json", file / "numbers.json"), f"{file}: cannot be written (File exists)"),
        (("--page", page), "page.md: has no <!-- results penguins -->"),
    ):
        code, _, err = call(*compare, *options)
        assert code == 2 and message in err


def test_a_run_of_an_earlier_version_has_a_remedy(call, tmp_path):
    write(tmp_path, ("unpruned", {}), metrics={"schema": 1})
    code, _, err = call(*TRAINED, "--dataset", "penguins", "--methods", "unpruned", "--out", tmp_path)
    assert code == 2 and "which this version reads; remove the folder or choose another --out" in err
