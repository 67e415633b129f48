"""What fits on a screen: help, tables; words that people bring; what is said and what is not."""

import json
import logging
import re
from pathlib import Path

import pytest

from tfprune.cli import COMMANDS, GROUPS
from tfprune.cli._bench_files import _names
from tfprune.cli._help import SECTIONS
from tfprune.cli._terminal import echo_table, set_verbosity, start_logging
from tfprune.utils.words import MEANT, meant

LONG = "words that go on and on and on and on, more of them than fit " * 2


@pytest.mark.parametrize("columns", [80, 100])
def test_help_fits_and_cuts_nothing(call, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    code, text, _ = call("--help")
    assert code == 0 and not re.search(r"\w\.\.\.$", text, re.M)
    for name in COMMANDS:
        assert f"  {name} " in text and re.search(rf"^  {name} +{re.escape(COMMANDS[name].short_help)}$", text, re.M)
        code, own, _ = call(name, "--help")
        assert code == 0 and max(map(len, (text + own).splitlines())) <= columns, name


def test_each_command_is_in_one_group_and_each_option_in_a_section():
    grouped = [name for names in GROUPS.values() for name in names]
    assert sorted(grouped) == sorted(set(grouped)) == sorted(COMMANDS)
    known = {name for names in SECTIONS.values() for name in names}
    given = {own.name for own in COMMANDS["train"].params} | {own.name for own in COMMANDS["prune"].params}
    assert given - known == {"assignments", "file", "quiet", "verbose"}
    assert known <= {own.name for name in COMMANDS for own in COMMANDS[name].params}


def test_help_shows_defaults(call, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    text = " ".join(call("train", "--help")[1].split())
    for shown in ("[default: the data set's]", "[default: dynamic]", "[default: weight]", "[default: the method's]"):
        assert shown in text


@pytest.mark.parametrize("columns", [40, 60, 100])
def test_tables_are_no_wider_than_the_terminal(capsys, monkeypatch, columns):
    rows = [("saved_models/penguins-dynamic-seed0-0123abcd/model.keras", LONG, "1,234"), ("b", ("two", "lines"), "5")]
    monkeypatch.delenv("COLUMNS", raising=False)
    echo_table(rows, ("path", "what it says", "number"))
    whole = capsys.readouterr().out
    monkeypatch.setenv("COLUMNS", str(columns))
    echo_table(rows, ("path", "what it says", "number"))
    fitted = capsys.readouterr().out
    assert max(map(len, fitted.splitlines())) <= columns < max(map(len, whole.splitlines()))
    assert sorted("".join(fitted.split()).replace("-", "")) == sorted("".join(whole.split()).replace("-", ""))
    assert "1,234" in fitted and "number" in fitted


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--dataset", "mnist"), "unknown data set 'mnist': did you mean tfds:mnist?"),
        (
            ("--dataset", "penguins", "--method", "magnitude"),
            "did you mean pruned (no training after it), fine_tuned or",
        ),
        (("--dataset", "penguins", "--method", "IMP"), "did you mean lottery?"),
        (("--dataset", "penguins", "--method", "structured"), "did you mean --granularity filter, with a method"),
        (("--dataset", "penguins", "--model", "ResNet-50"), "did you mean applications:ResNet50?"),
        (("--dataset", "penguins", "--granularity", "channel"), "did you mean filter?"),
        (("--dataset", "penguins", "--sparsity", "30"), "--sparsity must be a fraction in [0, 1), got 30; for 30 %"),
    ],
)
def test_words_from_elsewhere_are_understood(call, arguments, message):
    code, _, err = call("train", *arguments)
    assert code == 2 and message in err and err.count("\n") == 1
    assert call("benchmark")[2] == "Error: unknown command 'benchmark': did you mean bench?\n"


def test_no_word_from_elsewhere_is_a_name_of_ours():
    from tfprune.data import DATASETS
    from tfprune.methods import METHODS
    from tfprune.models import MODELS
    from tfprune.training.setting_checks import GRANULARITIES

    ours = {"method": METHODS, "model": MODELS, "data set": DATASETS, "granularity": GRANULARITIES}
    assert ours.keys() == MEANT.keys()
    for kind, names in ours.items():
        assert not [name for name in names if meant(kind, name)], kind


def test_quiet_says_errors_alone_and_verbose_each_step(capsys):
    logger = logging.getLogger("tfprune.some.module")
    for level, shown in ((-1, ["Error: c"]), (0, ["Warning: b", "Error: c"]), (1, ["a", "Warning: b", "Error: c"])):
        set_verbosity(level)
        start_logging(steps=True)
        for tell, text in ((logger.info, "a"), (logger.warning, "b"), (logger.error, "c")):
            tell(text)
        assert capsys.readouterr().err.splitlines() == shown
    set_verbosity(0)


def test_progress_of_many_runs_is_said_where_no_bar_is(capsys):
    sweeps, others = logging.getLogger("tfprune.experiments.sweeps"), logging.getLogger("tfprune.experiments.other")
    for level, progress, shown in ((0, True, ["runs"]), (0, False, []), (-1, True, [])):
        set_verbosity(level)
        start_logging(progress=progress)
        sweeps.info("runs")
        others.info("steps")
        assert capsys.readouterr().err.splitlines() == shown
    set_verbosity(0)
    start_logging()


def test_list_as_json_has_what_list_has(call):
    told = json.loads(call("list", "--json")[1])
    text = call("list")[1]
    for part in ("datasets", "models", "criteria", "methods", "granularities", "formats"):
        assert told[part] and all(name in text for name in told[part])
    assert told["formats"]["tflite"]["quantize"] == ["dynamic", "int8", "int8-io", "float16"]
    assert told["methods"]["dynamic"]["granularities"] == ["weight", "block", "n:m", "filter", "branch"]


def test_doctor(call, monkeypatch):
    monkeypatch.setenv("TF_USE_LEGACY_KERAS", "1")
    told = json.loads(call("doctor", "--json")[1])
    assert told["problems"] == [] and told["packages"]["tfprune"] and told["machine"]["cores"] >= 1
    processor, onednn = told["machine"]["cpu"], told["machine"]["onednn"]
    assert processor.endswith(", oneDNN") == onednn and ("TF_ENABLE_ONEDNN_OPTS=1" in call("doctor")[1]) != onednn
    monkeypatch.setenv("TF_USE_LEGACY_KERAS", "0")
    code, text, _ = call("doctor")
    assert code == 1 and "TF_USE_LEGACY_KERAS is not 1" in text and "Nothing is wrong" not in text


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (["a/b/x.keras", "a/b/c/y.tflite"], ("a/b", ["x.keras", "c/y.tflite"])),
        (["a/b/x.keras"], ("", ["a/b/x.keras"])),
        (["x.keras", "a/y.keras"], ("", ["x.keras", "a/y.keras"])),
        (["/z/a/x.keras", "/z/b/y.keras"], ("/z", ["a/x.keras", "b/y.keras"])),
        (["/a/x.keras", "/b/y.keras"], ("", ["/a/x.keras", "/b/y.keras"])),
    ],
)
def test_the_folder_of_benched_files_is_said_once(paths, expected):
    assert _names([Path(path) for path in paths]) == expected


def test_a_percent_sign_stays_with_its_number(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    echo_table([("a-long-name-of-a-run " * 3, "88.8 %", "9.5 %")], ("path", "f1", "iou"))
    out = capsys.readouterr().out
    assert "88.8 %" in out and "9.5 %" in out and all(len(line) <= 40 for line in out.splitlines())
