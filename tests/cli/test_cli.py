import contextlib
import csv
import io
import itertools
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time

import pytest
from written import write_run, write_runs

from tfprune import cli
from tfprune.data.penguins import CSV
from tfprune.methods import METHODS, TRIALS
from tfprune.training.trainer import Trainer

TRAIN = ("train", "--dataset", "penguins")
HEADER = "island,bill_length_mm,bill_depth_mm,flipper_length_mm,body_mass_g,sex,year\n"
ROW = "Biscoe,39.1,18.7,181,3750,male,2007\n"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run made by the installed command in a process of its own."""
    out = tmp_path_factory.mktemp("runs")
    command = [sys.executable, "-m", "tfprune", *TRAIN, "--epochs", "6", "--seed", "3", "--out", out]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    (folder,) = (path for path in out.iterdir() if path.is_dir())
    return folder, done


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """The usual methods compared on two seeds: the command but for its options, their folder and what was said."""
    folder = tmp_path_factory.mktemp("compared") / "my runs"
    command = ("compare", "--dataset", "penguins", "--epochs", 3, "--sparsity", 0.5, "--out", folder)
    said = io.StringIO()
    with pytest.MonkeyPatch.context() as patched, pytest.raises(SystemExit) as stop, contextlib.redirect_stdout(said):
        patched.setattr(sys, "argv", ["tfprune", *map(str, command), "--seeds", "2"])
        cli.main()
    assert stop.value.code == 0
    return command, folder, said.getvalue()


@pytest.fixture
def no_training(monkeypatch):
    monkeypatch.setattr(Trainer, "fit", lambda *_, **__: pytest.fail("trained again"))


def test_train_says_what_came_out_and_what_to_do_next(trained):
    folder, done = trained
    assert folder.name.startswith("penguins-dynamic-seed3-")
    for text in ("penguins: mlp trained as dynamic for 6 epochs", "30.6 % (55 of 180 kernel weights are zero)"):
        assert text in done.stdout
    for text in (
        f"SavedModel   {folder}/model",
        "tensorboard --logdir",
        "tfprune predict",
        "tfprune compare --dataset",
    ):
        assert text in done.stdout
    assert done.stderr == ""  # no progress bar where there is no terminal, and no chatter of TensorFlow's


def test_a_finished_run_is_shown_again_at_once(trained, call, monkeypatch):
    folder, _ = trained
    monkeypatch.setattr(Trainer, "fit", lambda *_, **__: pytest.fail("trained again"))
    code, out, _ = call(*TRAIN, "--epochs", 6, "--seed", 3, "--out", folder.parent)
    assert code == 0 and "finished already; --force repeats it" in out


def test_show(trained, call):
    code, out, _ = call("show", trained[0])
    assert code == 0
    assert re.search(r"dense_1/kernel +44 +144 +30.6 %", out)


def test_list_names_everything_with_settings_defaults_and_papers(call):
    code, out, _ = call("list")
    assert code == 0
    for text in ("penguins", "mlp", "hidden=300,100", "rounds=1", "events=0.333,0.667, rate=0.17", "arXiv:1803.03635"):
        assert text in out
    assert all(f"  {name}: " in out for name in METHODS)


@pytest.mark.parametrize("part", ["", "model"])
def test_predict_labels_each_row(trained, call, tmp_path, part):
    (tmp_path / "new.csv").write_text(HEADER + ROW * 2)
    code, out, _ = call("predict", trained[0] / part, tmp_path / "new.csv")
    assert code == 0
    lines = out.splitlines()
    assert lines[0].split() == ["row", "species", "Adelie", "Chinstrap", "Gentoo"]
    number, label, *probabilities = lines[2].split()
    assert number == "1" and label in ("Adelie", "Chinstrap", "Gentoo")
    assert sum(map(float, probabilities)) == pytest.approx(1, abs=2e-4)
    assert len(lines) == 4


def test_predict_writes_answers_with_all_digits_and_no_file_that_it_reads(trained, call, tmp_path):
    new, out = tmp_path / "new.csv", tmp_path / "answers.csv"
    new.write_text(HEADER + ROW * 2)
    code, text, _ = call("predict", trained[0], new, "--out", out)
    assert code == 0 and text == f"Wrote {out}: 2 answers\n"
    rows = list(csv.DictReader(out.read_text().splitlines()))
    told = json.loads(call("predict", trained[0], new, "--json")[1])
    assert [row["species"] for row in rows] == [own["label"] for own in told["answers"]] and told["target"] == "species"
    for row, own in zip(rows, told["answers"], strict=True):
        assert {label: float(row[label]) for label in told["labels"]} == own["probabilities"]
        assert (row["file"], int(row["row"])) == (str(new), own["row"])
    assert call("predict", trained[0], new, "--out", tmp_path / "answers.json")[0] == 0
    assert json.loads((tmp_path / "answers.json").read_text()) == told["answers"]
    code, text, _ = call("predict", trained[0], new, new)
    assert code == 0 and text.split("\n")[0].split()[:3] == ["file", "row", "species"] and len(text.splitlines()) == 6
    for name, message in (("new.csv", "a file that is read"), ("a.txt", "must end in .csv or .json")):
        code, _, err = call("predict", trained[0], new, "--out", tmp_path / name)
        assert code == 2 and message in err
    assert new.read_text() == HEADER + ROW * 2


def test_predict_takes_the_data_sets_own_file_once_it_is_complete(trained, call, tmp_path):
    complete = [line for line in CSV.read_text().splitlines() if "NA" not in line]
    (tmp_path / "penguins.csv").write_text("\n".join(complete))
    code, out, _ = call("predict", trained[0], tmp_path / "penguins.csv")
    assert code == 0 and len(out.splitlines()) == 2 + 333


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (HEADER, "there are no rows"),
        (HEADER + ROW.replace("39.1", "long"), "line 2: bill_length_mm must be a number, got 'long'"),
        (HEADER + ROW.replace("2007", "2007.5"), "line 2: year must be a whole number"),
        (HEADER + ROW.replace("Biscoe", "Atlantis"), "island must be one of Biscoe, Dream, Torgersen"),
        (HEADER + ROW.replace("2007", "1999"), "year must be one of 2007, 2008, 2009"),
        (HEADER.replace("sex", "gender") + ROW, r"column sex is missing \(is it 'gender'\?\)"),
        (HEADER.replace("\n", ",hat\n") + ROW.replace("\n", ",red\n"), "unknown column 'hat'"),
        (HEADER.replace(",year", "") + ROW.replace(",2007", ""), "column year is missing"),
        (CSV.read_text(), "line 5: bill_length_mm is missing"),
    ],
)
def test_predict_says_in_one_line_what_is_wrong_with_a_file(trained, call, tmp_path, content, message):
    (tmp_path / "bad.csv").write_text(content)
    code, out, err = call("predict", trained[0], tmp_path / "bad.csv")
    assert code == 2 and out == ""
    assert re.fullmatch(rf"Error: .*bad.csv.*{message}.*\n", err)


def test_model_folders_that_are_none(call, tmp_path):
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "saved_model.pb").write_bytes(b"\xff" * 100)
    for folder, message in (
        (tmp_path, "this is no model folder"),
        (tmp_path / "absent", "there is no such folder"),
        (tmp_path / "broken", "this SavedModel cannot be read"),
    ):
        code, _, err = call("predict", folder, "x.csv")
        assert code == 2 and message in err and err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("trian",), "unknown command 'trian': did you mean train?"),
        (("train",), "--dataset is missing. Choices: penguins"),
        (("train", "--dataset", "pengiuns"), "unknown data set 'pengiuns': did you mean penguins?"),
        ((*TRAIN, "--method", "dynamics"), "unknown method 'dynamics': did you mean dynamic?"),
        ((*TRAIN, "--model", "mpl"), "unknown model 'mpl': did you mean mlp?"),
        ((*TRAIN, "--set", "evnts=0.5"), "unknown setting 'evnts': did you mean events?"),
        ((*TRAIN, "--set", "events"), "--set needs KEY=VALUE, got 'events'"),
        ((*TRAIN, "--sparsity", "30"), "must be a fraction in [0, 1), got 30; for 30 % write 0.3"),
        ((*TRAIN, "--sparsity", "30%"), "not a percentage, got 30%: write 0.3"),
        ((*TRAIN, "--sparsity", "1"), "must be a fraction in [0, 1), got 1"),
        ((*TRAIN, "--method", "unpruned", "--sparsity", "0.3"), "method unpruned prunes nothing"),
        (
            (*TRAIN, "--sparsity", "0.5", "--set", "final_sparsity=0.8"),
            "--sparsity 0.5 and --set say different sparsit",
        ),
        ((*TRAIN, "--epochs", "0"), "epochs must be a whole number of at least 1, got 0"),
        ((*TRAIN, "--batch-size", "-1"), "batch_size must be a whole number of at least 1, got -1"),
        ((*TRAIN, "--epochs", "ten"), "'ten' is not a valid integer"),
        ((*TRAIN, "--set", "events=0.5,0.2"), "events must increase, got 0.5, 0.2"),
        ((*TRAIN, "--set", "events=[0,0.5]"), "events must be a fraction in (0, 1), got 0"),
        ((*TRAIN, "--epochs", "2"), "of 2 epochs fall at the ends of epochs 0, 1"),
        ((*TRAIN, "--scope", "model"), "unknown scope 'model': Choices: layer, global"),
        ((*TRAIN, "--config", "absent.toml"), "absent.toml: cannot be read"),
        ((*TRAIN, "--precision", "float16"), "unknown precision 'float16': did you mean"),
        ((*TRAIN, "--pretrained"), "model mlp has no setting 'pretrained'"),
        ((*TRAIN, "--nonsense"), "No such option"),
        (("report", "absent", "--out", "a.html"), "absent: there is no such folder"),
        (("report", "absent"), "name a file to write, --out report.html, or a folder, --tables DIR"),
        (("show", "absent"), "absent: there is no such run folder"),
        (("compare", "--dataset", "penguins", "--seeds", "0"), "--seeds must be a whole number of at least 1"),
        (("compare", "--dataset", "penguins", "--seeds", "99999999999"), "--seeds must be a whole number of at most"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(call, arguments, message):
    code, out, err = call(*arguments)
    assert code == 2 and out == ""
    assert err.startswith("Error: ") and message in err and err.count("\n") == 1


def test_an_output_folder_that_cannot_be_made_is_one_line(call, tmp_path):
    (tmp_path / "file").touch()
    code, _, err = call(*TRAIN, "--epochs", 6, "--out", tmp_path / "file")
    assert code == 2 and "cannot write in" in err and err.count("\n") == 1


def test_a_bug_keeps_its_traceback(call, monkeypatch):
    monkeypatch.setattr("tfprune.cli.list.DATASETS", None)
    with pytest.raises(TypeError):
        call("list")


def test_settings_come_from_a_file_and_options_override_them(call, tmp_path):
    file = tmp_path / "run.toml"
    file.write_text('dataset = "penguins"\nmethod = "lottery"\nepochs = 4\n[settings]\nrounds = 2\n')
    code, out, _ = call("train", "--config", file, "--epochs", 3, "--set", "rewind_epoch=1", "--out", tmp_path / "runs")
    assert code == 0 and "mlp trained as lottery for 3 epochs" in out
    (folder,) = (tmp_path / "runs").iterdir()
    stored = json.loads((folder / "config.json").read_text())
    assert stored["epochs"] == 3
    assert stored["settings"] == {"sparsity": 0.3, "rounds": 2, "rewind_epoch": 1, "criterion": "magnitude"}
    assert json.loads((folder / "metrics.json").read_text())["epochs"] == 3 + 2 * 2

    code, out, _ = call("train", "--config", folder / "config.json")  # a run's own settings make the same run
    assert code == 0 and "finished already" in out


def test_ctrl_c_says_what_was_kept(call, tmp_path, monkeypatch):
    def stop(self):
        raise KeyboardInterrupt

    monkeypatch.setattr(Trainer, "finish", stop)
    code, _, err = call(*TRAIN, "--epochs", 6, "--out", tmp_path)
    assert code == 130
    assert "Interrupted. Kept in" in err and "The same command starts the run again" in err


def test_ctrl_c_before_the_training_says_that_nothing_was_changed(call, tmp_path, monkeypatch):
    def stop(config):
        raise KeyboardInterrupt

    monkeypatch.setattr("tfprune.experiments.experiment.load_data", stop)
    code, _, err = call(*TRAIN, "--epochs", 6, "--out", tmp_path)
    assert code == 130 and "No file was changed." in err
    assert list(tmp_path.iterdir()) == []


def test_compare_runs_all_methods_once_and_reuses_them(compared, call, tmp_path, no_training):
    command, folder, out = compared
    assert (folder / "penguins-comparison.png").is_file() and (folder / "penguins-curves.png").is_file()
    assert re.match(r"(No clear difference from unpruned with 2 seeds; use more|Test accuracy beside unpruned)", out)
    assert re.search(r"^lottery .* 6$", out, re.M) and "p (Holm)" not in out and "--wide has all numbers" in out
    shown = re.findall(r"^(?:unpruned|pruned|lottery|dynamic) +([\d.]+)", out, re.M)
    assert len(shown) == 4 and sorted(map(float, shown), reverse=True) == [*map(float, shown)]  # the best row first
    page = tmp_path / "page.md"
    page.write_text("# Page\n<!-- results penguins -->\nold\n<!-- /results penguins -->\nend\n")
    given = ("--json", tmp_path / "numbers.json", "--figures", tmp_path, "--page", page)
    code, again, _ = call(*command, "--seeds", 2, *given)
    assert code == 0 and again.splitlines()[:6] == out.splitlines()[:6]
    numbers = json.loads((tmp_path / "numbers.json").read_text())
    assert list(numbers["methods"]) == list(TRIALS) and numbers["failures"] == []
    for method, values in numbers["methods"].items():
        losses = [values["seeds"][seed]["test_loss"] for seed in ("0", "1")]
        assert values["mean"]["test_loss"] == pytest.approx(sum(losses) / 2)
        assert values["sd"]["test_loss"] == pytest.approx(abs(losses[0] - losses[1]) / 2**0.5)
        assert (values["delta"] is None) == (method == "unpruned")
        assert values["mean"]["sparsity"] == (0 if method == "unpruned" else 0.5)
    page = page.read_text()
    assert page.startswith("# Page\n<!-- results penguins -->\n| method ") and page.endswith(
        "<!-- /results penguins -->\nend\n"
    )
    assert "old" not in page and "Seeds 0 to 1, `mlp`, 3 epochs" in page
    code, wide, _ = call(*command, "--seeds", 2, "--wide")
    assert code == 0 and re.search(r"lottery +2 .* 50\.0 % .* 6 ", wide) and "p (Holm)" in wide
    code, printed, err = call(*command, "--seeds", "0,1", "--json")
    assert code == 0 and json.loads(printed)["methods"] == numbers["methods"] and "Next: tfprune report" in err


def test_compare_at_several_sparsities_trains_the_baseline_once(call, tmp_path):
    levels = ("--sparsity", "0.5", "--compression", "10")
    page = tmp_path / "page.md"
    page.write_text("<!-- sparsities penguins -->\n<!-- /sparsities penguins -->\n")
    code, out, _ = call(
        *("compare", "--dataset", "penguins", "--seeds", 2, "--epochs", 3, "--out", tmp_path / "runs", *levels),
        *("--json", tmp_path / "new" / "numbers.json", "--figures", tmp_path, "--page", page),
    )
    assert code == 0
    numbers = json.loads((tmp_path / "new" / "numbers.json").read_text())
    trials = [f"{method} {level} %" for method in TRIALS[1:] for level in (50, 90)]
    assert list(numbers["methods"]) == ["unpruned", *trials]
    for trial, values in numbers["methods"].items():
        assert values["mean"]["sparsity"] == pytest.approx(values["requested_sparsity"], abs=0.01), trial
    assert all((tmp_path / f"penguins-{what}.png").is_file() for what in ("sparsities", "trade-offs"))
    assert "lottery 90 %" in out and "| lottery 90 %" in page.read_text() and "Seeds 0 to 1, `mlp`" in page.read_text()
    assert len(list((tmp_path / "runs").glob("penguins-*/metrics.json"))) == 2 * (1 + len(trials))


def test_compare_takes_some_methods_the_baseline_first(call, tmp_path):
    compare = ("compare", "--dataset", "penguins", "--epochs", 3, "--seeds", 1, "--out", tmp_path)
    code, out, _ = call(*compare, "--methods", "dynamic, unpruned")
    assert code == 0
    assert {line.split()[0] for line in out.splitlines()[4:6]} == {"unpruned", "dynamic"} and "lottery" not in out
    assert out.startswith("One seed: no difference can be told from chance")
    page = tmp_path / "page.md"
    page.write_text("<!-- results penguins -->\n<!-- /results penguins -->\n")
    code, out, _ = call(*compare, "--methods", "dynamic", "--page", page)
    assert code == 0 and out.startswith("Nothing is compared: there is no run of unpruned")
    assert "Seed 0, `mlp`" in page.read_text()
    for wrong, message in (("dynamic,lotery", "unknown method 'lotery'"), (",", "--methods is empty")):
        code, _, err = call(*compare, "--methods", wrong)
        assert code == 2 and message in err


def test_compact_says_what_it_saved_or_that_it_saved_nothing(call, tmp_path):
    train = ("train", "--dataset", "penguins", "--epochs", 6, "--out", tmp_path)
    for sparsity in (0.1, 0.9):
        assert call(*train, "--method", "lottery", "--sparsity", sparsity)[0] == 0
    little, much = sorted(tmp_path.glob("penguins-lottery-*"), key=lambda run: json.loads(
        (run / "config.json").read_text())["settings"]["sparsity"])  # fmt: skip
    code, out, _ = call("compact", little)
    assert code == 0 and out.startswith("Nothing is dead: ") and "Nothing was written" in out
    assert not (little / "exports").exists()
    code, out, _ = call("compact", much)
    assert code == 0 and re.search(r"^dense_1 +12 +\d+$", out, re.M) and re.search(r"^parameters +195 +\d+$", out, re.M)
    assert (much / "exports" / "compact" / "saved_model.pb").is_file()


@pytest.mark.slow
def test_a_method_is_compared_with_itself_under_other_settings(call, tmp_path):
    rivals = "unpruned,fine_tuned,fine_tuned:rounds=3,dynamic:events=[0.25,0.5]:rate=0.1"
    code, out, err = call("compare", "--dataset", "penguins", "--methods", rivals, "--seeds", 1, "--epochs", 8,
                          "--sparsity", 0.5, "--dry-run", "--out", tmp_path)  # fmt: skip
    assert code == 2 and "rate and final_sparsity both say how much to prune" in err
    rivals = rivals.replace(":rate=0.1", "")
    code, out, err = call("compare", "--dataset", "penguins", "--methods", rivals, "--seeds", 2, "--epochs", 8,
                          "--sparsity", 0.5, "--equal-budget", "--out", tmp_path)  # fmt: skip
    assert code == 0, err
    for trial, epochs in {"fine_tuned rounds=1": 8, "fine_tuned rounds=3": 8, "dynamic": 8}.items():
        assert re.search(rf"^{trial} .* {epochs}$", out, re.M), out
    code, _, err = call("compare", "--dataset", "penguins", "--methods", "dynamic:rate", "--out", tmp_path)
    assert code == 2 and "--methods dynamic:rate: a colon is followed by a setting" in err
    code, _, err = call("compare", "--dataset", "penguins", "--methods", "dynamic:nonsense=1", "--out", tmp_path)
    assert code == 2 and "'nonsense'" in err


def test_removing_filters_says_what_went_and_what_was_left_alone(call, tmp_path):
    settings = ("--granularity", "filter", "--sparsity", 0.5, "--set", "channels.multiple=4", "--epochs", 6)
    compare = ("compare", "--dataset", "penguins", *settings, "--seeds", 1, "--out", tmp_path)
    code, out, err = call(*compare, "--methods", "all", "--dry-run")
    assert code == 0, err
    able = [name for name in METHODS if "filter" in METHODS[name].granularities]
    assert {"pruned", "lottery", "dynamic", "random", "small_dense"} <= set(able)
    assert [line.split("-")[1] for line in out.splitlines()] == ["unpruned", *(m for m in able if m != "unpruned")]
    code, out, err = call(*compare, "--methods", "small_dense,dynamic")
    assert code == 0, err
    assert "dynamic filter" in out and "small_dense filter" in out
    (run,) = tmp_path.glob("penguins-dynamic-*")
    code, out, _ = call("show", run)
    assert code == 0 and re.search(r"dense_1 +12 +8 +66.7 %", out) and re.search(r"dense_1/kernel +48 +144", out)
    assert re.search(r"parameters +195 +131 ", out) and "Left alone: dense_2: the model's output" in out
    asked = "50.0 % were asked for: widths are multiples of 4 (channels.multiple)"
    assert f"33.3 % of the filters and units that can go are gone, and {asked}\n" in out
    (tmp_path / "new.csv").write_text(HEADER + ROW)
    code, out, _ = call("predict", run, tmp_path / "new.csv")
    assert code == 0 and "Adelie" in out


def test_a_pattern_decides_the_sparsity_and_is_shown(call, tmp_path):
    run = ("train", "--dataset", "penguins", "--method", "pruned", "--epochs", 2, "--granularity", "n:m")
    code, _, err = call(*run, "--set", "pattern=1:5", "--out", tmp_path)
    assert code == 0, err
    (folder,) = tmp_path.iterdir()
    code, out, _ = call("show", folder)
    assert code == 0 and "Pattern      1:5, along the inputs" in out
    assert "Cut short: dense_1/kernel: 12 of 36 groups of 5 are smaller, at its edge" in out
    assert re.search(r"dense_1/kernel +108 +144 +75.0 %", out) and re.search(r"dense_2/kernel +27 +36 +75.0 %", out)
    code, _, err = call(*run, "--sparsity", 0.9)
    assert code == 2
    assert err == "Error: pattern 2:4 is a sparsity of 0.5, and 0.9 is asked for; leave --sparsity out\n"


def test_plan_shows_what_would_go_and_measured_times(call):
    plan = ("plan", "--dataset", "penguins", "--set", "channels.multiple=1", "--rounds", 2)
    code, out, err = call(*plan, "--keep", 0.5)
    assert code == 0, err
    assert re.search(r"dense_1 +dense_1 +12 +6", out) and re.search(r"the model +195 +99 +180 +90", out)
    assert "Left alone: dense_2: the model's output" in out and "a training step, ms" in out
    assert out.endswith(
        "Next: tfprune train --dataset penguins --granularity filter --set channels.multiple=1 --sparsity 0.5\n"
    )
    code, out, _ = call(*plan, "--target-parameters", 0.4)
    assert code == 0 and re.search(r"the model +195 +67", out)
    code, out, _ = call(*plan, "--target-parameters", 0.4, "--scope", "global")
    assert code == 0 and re.search(r"the model +195 +67", out)
    assert out.endswith(
        "Next: tfprune shrink MODEL --out SMALLER --target-parameters 0.4 --scope global --floor 0.1 --criterion l1 "
        "--multiple 1\n"
    )
    wide = ("--set", "model.hidden=[8,12]", "--exclude", "dense_1", "--keep", 0.5, "--scope", "global")
    code, out, _ = call(*plan, *wide)
    assert code == 0 and "tfprune shrink has no --exclude" in out and re.search(r"dense_2 +dense_2 +12 +6", out)
    assert {"--exclude dense_1", "--scope global", "--sparsity 0.5"} <= {
        " ".join(own) for own in itertools.pairwise(out.split("Next: ")[1].split())
    }
    code, _, err = call(*plan, "--target-speedup", 0.5, "--scope", "isomorphic")
    assert code == 2 and err == "Error: --target-speedup must be above 1, got 0.5\n"
    tower = ("plan", "--dataset", "penguins", "--model", "residual:tower", "--granularity", "branch", "--rounds", 2)
    code, out, _ = call(*tower, "--keep", 0.5, "--set", "channels.order=two")
    assert code == 0 and "\nGone: two, four\n" in out and re.search(r"four/kernel +128 +0 ", out)
    assert out.endswith("--granularity branch --sparsity 0.5 --set channels.order=two,four\n")
    code, _, err = call("plan", "--dataset", "penguins", "--granularity", "weight", "--keep", 0.5)
    assert code == 2 and "plan is of granularity filter or branch, of which something goes, not weight" in err
    code, _, err = call(*plan, "--keep", 0.5, "--strategy", "mirrored")
    assert code == 2 and err == "Error: plan measures on one device; leave --strategy out\n"
    code, out, _ = call(*plan, "--sparsity", 0.5)
    assert code == 0 and re.search(r"the model +195 +99 +180 +90", out)
    code, _, err = call(*plan, "--sparsity", "half")
    assert code == 2 and "--sparsity must be a number" in err
    for both in (("--keep", 0.5, "--target-macs", 0.5), ("--keep", 0.5, "--sparsity", 0.5)):
        code, _, err = call(*plan, *both)
        assert code == 2 and "exactly one of --keep, --sparsity and the --target options" in err


@pytest.mark.figures
def test_export_and_bench_say_what_pruning_bought(call, tmp_path):
    for method in ("unpruned", "dynamic"):
        train = ("train", "--dataset", "penguins", "--epochs", 6, "--method", method, "--out", tmp_path)
        assert call(*train)[0] == 0
    runs = [next(tmp_path.glob(f"penguins-{method}-seed0*")) for method in ("unpruned", "dynamic")]
    for run in runs:
        code, out, _ = call("export", run, "--format", "tflite", "--quantize", "int8")
        assert code == 0 and f" {run}/exports/model-int8.tflite\n" in out
        assert re.search(r"accuracy after +\d+\.\d\d %", out) and f"Next: tfprune bench {run}" in out
    code, out, _ = call("bench", *runs, "--rounds", 3, "--batch", "1,4", "--figure", tmp_path / "times.png")
    assert code == 0 and (tmp_path / "times.png").stat().st_size > 10_000
    assert len(re.findall(r"^(?:1|4) +model", out, re.M)) == 8 and out.count("model-int8.tflite") == 6
    assert call("bench", *runs, "--rounds", 3, "--figure", tmp_path / "times.svg")[0] == 0
    named = set(re.findall(r"<!-- (model.*), (.*) -->", (tmp_path / "times.svg").read_text()))
    assert named == {(file, name) for file in ("model", "model-int8.tflite") for name in ("unpruned", "dynamic")}
    (tmp_path / "times.png").unlink()
    code, out, err = call("bench", runs[0], "--rounds", 1, "--batch", 1, "--figure", tmp_path / "times.png", "--json")
    assert code == 0 and json.loads(out)["models"] and f"Figure: {tmp_path}/times.png" in err
    assert (tmp_path / "times.png").is_file()
    for given, message in (
        (("bench", runs[0], "--batch", "1,x"), "--batch must be whole numbers like 1,32, got '1,x'"),
        (("bench", runs[0], "--batch", "0"), "--batch must be a whole number of at least 1"),
        (("bench", tmp_path / "absent"), "there is no such run folder"),
        (("export", tmp_path / "absent", "--format", "h5"), "there is no such run folder"),
        (("export", runs[0], "--format", "h5", "--quantize", "int8"), "format h5 cannot be quantized to 'int8'"),
    ):
        code, out, err = call(*given)
        assert code == 2 and out == "" and err.count("\n") == 1 and message in err
    (tmp_path / "mine.tflite").write_text("mine")
    for own in (("export", runs[0], "--format", "tflite"), ("compact", runs[0])):
        code, _, err = call(*own, "-o", tmp_path / "mine.tflite")
        assert code == 2 and err == f"Error: {tmp_path}/mine.tflite: is there already; --force replaces it\n"
        assert (tmp_path / "mine.tflite").read_text() == "mine"
    assert call("export", runs[0], "--format", "savedmodel")[0] == 0
    code, out, _ = call("bench", runs[0], "--rounds", 1, "--batch", 1)
    assert code == 0 and re.search(r"^1 +savedmodel", out, re.M)


def test_suggested_commands_quote_the_folders_of_runs(call, tmp_path):
    run = write_run(tmp_path / "my runs", "dynamic")
    shown = call("show", run)[1]
    assert f"tfprune train --config '{run}/config.json' --force" in shown
    (run / "model").mkdir()
    code, out, _ = call(*TRAIN, "--method", "dynamic", "--epochs", 12, "--out", run.parent)
    assert code == 0 and "finished already" in out
    assert f"tfprune show '{run}'" in out and f"tfprune predict '{run}' FILE" in out


def test_suggested_commands_name_data_that_count_only_if_they_are_typed(call, tmp_path):
    table = tmp_path / "t.csv"
    table.write_text("a,b,kind\n" + "".join(f"{n},{n % 7},{'xy'[n % 2]}\n" for n in range(60)))
    run = write_run(tmp_path / "runs", dataset=str(table), data_settings={"label": "kind"})
    again = f"tfprune train --config {run}/config.json --dataset {table}"
    assert f"{again} --force\n" in call("show", run)[1]
    (run / "model.keras").touch()
    code, out, err = call(*shlex.split(again)[1:])
    assert code == 0 and "finished already" in out, err
    assert f"tfprune export {run} --format savedmodel --dataset {table}\n" in out
    code, _, err = call("predict", run, table)
    assert code == 2 and "--format savedmodel (and --dataset, of data of your own)" in err


def test_a_dry_run_says_what_the_run_would_do_and_writes_nothing(trained, call, tmp_path):
    run = (*TRAIN, "--epochs", 6, "--seed", 3, "--dry-run", "--out")
    code, out, _ = call(*run, tmp_path)
    assert code == 0 and list(tmp_path.iterdir()) == []
    for text in (
        r"total +200 +100 +33",
        r"train +4 +16 +17.0 % of what is left is pruned +125 of 180 +30.6 %",
        r"Steps +24, 4 an epoch, of up to 50 examples",
        r"Time +about .* a step \(of \d+ measured, in float32\)",
        r"Memory +[\d,]+ MB of main memory",
    ):
        assert re.search(text, out), text
    [written] = re.findall(r"Writes .*/: (.*)", out)
    assert set(written.split(", ")) == {path.name for path in trained[0].iterdir()}
    code, out, _ = call(*run, trained[0].parent)
    assert code == 0 and "finished already: it would be shown; --force repeats it" in out


def test_compare_names_its_runs_and_trains_none(call, tmp_path):
    command = ("compare", "--dataset", "penguins", "--seeds", 1, "--dry-run", "--out", tmp_path)
    names = [f"penguins-{name}-seed0" for name in TRIALS]
    code, out, _ = call(*command)
    assert code == 0 and out.split() == names
    runs = [{"run": name, "folder": str(tmp_path / name), "finished": False} for name in names]
    assert json.loads(call(*command, "--json")[1]) == {"schema": 1, "runs": runs}
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_of_a_sweep_is_json_too(call, tmp_path):
    run = write_run(tmp_path, "dynamic")
    plan = tmp_path / "plan.json"
    plan.write_text(json.dumps({"dataset": "penguins", "epochs": 12, "methods": ["dynamic"], "seeds": 2}))
    code, out, _ = call("sweep", plan, "--out", tmp_path, "--dry-run", "--json")
    first, second = json.loads(out)["runs"]
    assert code == 0 and (first["folder"], first["finished"], second["finished"]) == (str(run), True, False)


def test_runs_lists_chooses_and_sorts(call, tmp_path):
    write_runs(tmp_path, ("unpruned", "dynamic"), 2)
    write_run(tmp_path, "lottery", finished=False)
    chosen = ("--sort=-accuracy", "--where", "sparsity<0.5", "--where", "seed>=1")
    code, out, _ = call("runs", tmp_path, *chosen)
    assert code == 0 and out.split("\n")[0].split() == ["path", "sparsity", "accuracy", "loss", "epochs", "state"]
    assert re.findall(r"/penguins-(\w+)-seed1", out) == ["unpruned", "dynamic"] and out.count("\n") == 4
    code, out, _ = call("runs", tmp_path, *chosen, "--wide")
    assert code == 0
    assert [line.split()[:4] for line in out.splitlines()[2:]] == [
        ["unpruned", "penguins", "mlp", "1"],
        ["dynamic", "penguins", "mlp", "1"],
    ]
    code, out, _ = call("runs", tmp_path, "--json", "--where", "state=unfinished")
    assert code == 0 and [row["method"] for row in json.loads(out)["runs"]] == ["lottery"]
    assert json.loads(out)["schema"] == 1
    code, out, err = call("runs", tmp_path, "--where", "sparcity>0.5")
    assert code == 2 and out == "" and re.fullmatch(r"Error: .*did you mean sparsity.*\n", err)


def test_report_writes_what_its_suffixes_say(call, tmp_path):
    write_runs(tmp_path / "runs", ("unpruned", "dynamic"), 2)
    left = write_run(tmp_path / "runs", "lottery", finished=False)
    files = [tmp_path / "new" / f"r{suffix}" for suffix in (".html", ".md", ".csv", ".json")]
    code, out, err = call("report", tmp_path / "runs", *(part for file in files for part in ("--out", file)))
    assert code == 0 and all(file.is_file() for file in files)
    assert err == f"Left out: {left}: this run is not finished; run its command again\n"
    assert [line for line in out.splitlines() if line.startswith("Report: ")] == [f"Report: {file}" for file in files]
    assert out.count("Figure: ") == 5 and f"Figure: {tmp_path}/new/r_files/1-curves.png" in out
    code, out, _ = call("overview", files[-1])
    assert code == 0 and "penguins" in out and "mlp, 12 epochs, 2 seeds" in out


def test_report_looks_at_the_suffixes_first(call, tmp_path):
    code, out, err = call("report", tmp_path / "absent", "--out", tmp_path / "a.html", "--out", tmp_path / "a.pdf")
    assert code == 2 and out == "" and err.count("\n") == 1
    assert "--out must end in one of .html, .md, .csv, .json, .tex, got" in err and "a.pdf" in err


@pytest.mark.parametrize("command", [("report", "--out", "r.md"), ("summary",)])
def test_commands_refuse_a_date_before_numpy_reads_it(tmp_path, command):
    write_run(tmp_path)
    command = [sys.executable, "-m", "tfprune", *command, tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"SOURCE_DATE_EPOCH": "now"})
    assert done.returncode == 2 and done.stderr == "Error: SOURCE_DATE_EPOCH must be a number, got 'now'\n"


def test_report_without_a_finished_run_is_one_line(call, tmp_path):
    write_runs(tmp_path / "runs", ("dynamic",), 2, finished=False)
    for folder in ("runs", "absent"):
        code, out, err = call("report", tmp_path / folder, "--out", tmp_path / "a.html")
        assert code == 2 and out == "" and err.startswith("Error: ") and err.count("\n") == 1
    assert not (tmp_path / "a.html").exists()


def test_compare_says_how_to_get_a_report(compared, call, tmp_path):
    command = next(line for line in compared[2].splitlines() if line.startswith("Next: tfprune report"))
    code, _, _ = call(*shlex.split(command)[2:-1], tmp_path / "report.html")
    assert code == 0 and (tmp_path / "report.html").stat().st_size > 1e5


def test_overview_sets_comparisons_side_by_side(compared, call, tmp_path, no_training):
    command, _, _ = compared
    for seeds in (1, 2):
        given = ("--seeds", seeds, "--figures", tmp_path, "--json", tmp_path / f"{seeds}.json")
        assert call(*command, *given)[0] == 0
    page = tmp_path / "page.md"
    page.write_text("<!-- overview -->\n<!-- /overview -->\n")
    code, out, _ = call("overview", tmp_path / "1.json", tmp_path / "2.json", "--page", page)
    assert code == 0
    assert re.search(r"\| data set +\| unpruned +\| pruned +\| lottery +\| dynamic", page.read_text())
    assert "mlp, 3 epochs, 1 seed " in page.read_text() and "mlp, 3 epochs, 2 seeds " in page.read_text()
    assert re.search(r"% zeros<br>loss [+-]0\.\d{3} \([+-]0\.\d{3} to [+-]0\.\d{3}\)", page.read_text())
    assert "<br>" not in out
    assert re.search(r"\| statement +\| penguins +\| penguins", page.read_text())
    assert re.search(
        r"\| dynamic takes less training time than lottery +\| by construction +\| by construction ", page.read_text()
    )


def test_overview_as_json_keeps_apart_two_comparisons_of_a_data_set(call, tmp_path):
    for epochs in (12, 24):
        write_runs(tmp_path / "runs", seeds=2, epochs=epochs)
    assert call("report", tmp_path / "runs", "--out", tmp_path / "r.json")[0] == 0
    told = json.loads(call("overview", tmp_path / "r.json", "--json")[1])
    assert len(told["data_sets"]) == 2
    assert all(list(row) == ["statement", "penguins", "penguins (2)"] for row in told["verdicts"])


def test_overview_shows_the_methods_that_all_have(compared, call, tmp_path, no_training):
    command, _, _ = compared
    for number, methods in enumerate(("unpruned,lottery,dynamic", "unpruned,dynamic")):
        given = ("--seeds", 2, "--figures", tmp_path, "--methods", methods, "--json", tmp_path / f"{number}.json")
        assert call(*command, *given)[0] == 0
    code, out, _ = call("overview", tmp_path / "0.json", tmp_path / "1.json")
    assert code == 0 and out.splitlines()[0].split() == ["data", "set", "unpruned", "dynamic"], out


def test_overview_names_a_file_that_is_no_comparison(call, tmp_path):
    (tmp_path / "a.json").write_text("{}")
    code, _, err = call("overview", tmp_path / "a.json")
    assert code == 2 and "a.json: this is no comparison of schema 2; `tfprune compare --json`" in err


def test_compare_names_what_failed_and_goes_on(call, tmp_path, monkeypatch):
    from tfprune.methods.lottery import Lottery
    from tfprune.utils.errors import TrainingError

    def fail(self, task):
        raise TrainingError("the loss is nan after epoch 1")

    monkeypatch.setattr(Lottery, "run", fail)
    given = ("--methods", "lottery,dynamic", "--seeds", 1, "--epochs", 3, "--out", tmp_path)
    code, out, err = call("compare", "--dataset", "penguins", *given)
    assert code == 1
    assert re.search(r"Failed: penguins-lottery-seed0-\w+: the loss is nan", err)
    assert "dynamic" in out and "lottery" not in out


def test_runs_that_were_trained_side_by_side_say_how_to_get_their_model(compared, call, tmp_path):
    [stored] = compared[1].glob("penguins-dynamic-seed1-*")
    run = shutil.copytree(stored, tmp_path / stored.name)
    files = {"config.json", "history.csv", "masks.npz", "metrics.json", "model_card.md", "tensorboard"}
    assert {path.name for path in run.iterdir()} == files
    code, out, _ = call("show", run)
    assert code == 0 and "side by side with 1 other and" in out and f"tfprune train --config {run}/config.json" in out
    code, _, err = call("predict", run, tmp_path / "x.csv")
    assert code == 2 and "left no model; tfprune train --config" in err
    code, out, _ = call("train", "--config", run / "config.json", "--out", tmp_path)
    assert code == 0 and (run / "model" / "saved_model.pb").is_file() and "finished already" not in out


def test_a_run_whose_model_was_removed_is_not_said_to_have_been_trained_beside_others(call, tmp_path):
    run = write_run(tmp_path)
    assert "Its SavedModel is gone." in call("show", run)[1]
    for words in (("predict", run, tmp_path / "x.csv"), ("bench", run), ("export", run, "--format", "tflite")):
        code, _, err = call(*words)
        said = f"{run}: this run has lost its model; tfprune train --config {run}/config.json"
        assert code == 2 and said in err, err


@pytest.mark.slow
def test_compare_at_an_equal_budget_gives_every_method_the_same_examples(call, tmp_path):
    given = ("--epochs", 6, "--seeds", 2, "--methods", "all", "--equal-budget", "--json", tmp_path / "numbers.json")
    page = tmp_path / "page.md"
    page.write_text("<!-- budget penguins -->\n<!-- /budget penguins -->\n")
    code, _, _ = call("compare", "--dataset", "penguins", "--out", tmp_path / "runs", "--page", page, *given)
    assert code == 0 and (tmp_path / "runs" / "penguins-budget-curves.png").is_file() and "| longer" in page.read_text()
    methods = json.loads((tmp_path / "numbers.json").read_text())["methods"]
    assert list(methods) == list(METHODS)
    assert {values["mean"]["examples"] for values in methods.values()} == {6 * 200}
    assert methods["longer"]["mean"]["test_loss"] == methods["unpruned"]["mean"]["test_loss"]
    code, _, err = call("compare", "--dataset", "penguins", "--methods", "lottery", "--epochs", 1, "--equal-budget")
    assert code == 2 and "method lottery takes more than 1 epochs in all; raise --epochs" in err


def test_compare_starts_from_the_seed_that_is_named(call, tmp_path):
    given = ("--epochs", 3, "--methods", "unpruned", "--seeds", 2, "--first-seed", 5, "--out", tmp_path)
    assert call("compare", "--dataset", "penguins", *given)[0] == 0
    assert {path.parent.name.split("-")[2] for path in tmp_path.glob("*/metrics.json")} == {"seed5", "seed6"}
    for option in ("--jobs", "--seeds", "--first-seed"):
        code, _, err = call("compare", "--dataset", "penguins", option, -1)
        assert code == 2 and f"{option} must be a whole number of at least" in err


@pytest.mark.slow
def test_compare_that_is_killed_goes_on_where_it_was(call, tmp_path):
    given = ["compare", "--dataset", "penguins", "--seeds", "2", "--epochs", "12", "--out", str(tmp_path)]
    given += ["--methods", "unpruned,lottery", "--set", "loop=plain", "--jobs", "2"]
    command = [sys.executable, "-m", "tfprune", *given]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    while len(finished := sorted(tmp_path.glob("*/metrics.json"))) < 2:
        assert process.poll() is None
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    finished = {path: path.stat().st_mtime_ns for path in sorted(tmp_path.glob("*/metrics.json"))}
    assert 2 <= len(finished) < 4
    code, out, _ = call(*given)
    assert code == 0 and len(list(tmp_path.glob("*/metrics.json"))) == 4
    assert {path: path.stat().st_mtime_ns for path in finished} == finished
    assert "with 2 seeds" in out or ", 2 seeds: " in out
    assert re.search(r"^lottery +[\d.]+ ± ", out, re.M)


def test_sweep_trains_what_a_plan_says_names_what_fails_and_goes_on(call, tmp_path):
    plan = tmp_path / "plan.toml"
    plan.write_text(
        'dataset = "penguins"\nepochs = 3\nmethods = ["unpruned", "pruned"]\nloop = "plain"\n'
        "[[runs]]\nlearning_rate = 0.01\n"
        '[[runs]]\nlearning_rate = 1e38\noptimizer = "sgd"\nmodel.output_activation = "linear"\n'
        '[[runs]]\nloop = "fused"\nmodel.activation = "nonsense"\n'
    )
    code, out, _ = call("sweep", plan, "--out", tmp_path / "runs", "--dry-run")
    assert code == 0 and len(out.splitlines()) == 6 and "finished" not in out and not (tmp_path / "runs").exists()
    code, out, err = call("sweep", plan, "--out", tmp_path / "runs")
    assert code == 1 and "2 of 6 runs are finished" in out and re.search(r"pruned +1 .* 30\.0 %", out)
    failed = [line for line in err.splitlines() if line.startswith("Failed: ")]
    assert len(failed) == 4 and sum("try a lower --learning-rate" in line for line in failed) == 2
    assert "finished" in call("sweep", plan, "--out", tmp_path / "runs", "--dry-run")[1]


def test_sweep_says_what_is_wrong_before_it_starts(call, tmp_path):
    plan = tmp_path / "plan.toml"
    plan.write_text('dataset = "penguins"\n')
    for given, message in (
        (("--jobs", 0), "--jobs must be a whole number of at least 1, got 0"),
        (("--executor", "slurm"), "unknown executor 'slurm': Choices: local, ray"),
        (("--gpus-per-trial", 0.5), "--gpus-per-trial needs --executor ray"),
        (("--executor", "ray", "--gpus-per-trial", -1), "--gpus-per-trial must be a finite number above 0"),
    ):
        code, _, err = call("sweep", plan, *given)
        assert code == 2 and message in err
    code, _, err = call("sweep", tmp_path / "none.toml")
    assert code == 2 and "none.toml: cannot be read (No such file or directory)" in err
