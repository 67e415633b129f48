import json
import re

import jsonschema
import numpy as np
import pytest
from own_files import insects, write_images, write_rows

from tfprune import cli
from tfprune.cli._options import make_config
from tfprune.cli.train import train
from tfprune.experiments.config_file import settings_file
from tfprune.experiments.settings_schema import settings_schema
from tfprune.methods import METHODS
from tfprune.training.config import Config
from tfprune.training.settings_files import _toml as parser


@pytest.fixture
def call(capsys, monkeypatch, tmp_path):
    """Runs a command line in this process and an empty folder; returns exit code, output and errors."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")

    def run(*arguments):
        monkeypatch.setattr("sys.argv", ["tfprune", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        printed = capsys.readouterr()
        return stop.value.code, printed.out, printed.err

    return run


def of_rows(folder):
    return ["--label", "class"], write_rows(folder / 'in "sects" é.csv', insects(missing=2)), ["--missing", "drop"]


def of_images(folder):
    return [], write_images(folder / "pictures") or folder / "pictures", ["--set", "data.side=32"]


def of_arrays(folder):
    random = np.random.default_rng(0)
    np.savez(folder / "cells.npz", x=random.normal(size=(60, 5)).astype(np.float32), y=np.arange(60) % 3)
    return [], folder / "cells.npz", ["--granularity", "filter", "--set", "channels.multiple=4"]


def registered(folder):
    return [], "penguins", ["--model", "mlp", "--set", "model.hidden=[7]", "--seed", 3, "--set", "limit=50"]


def of_a_function(folder):
    (folder / "here" / "nets.py").write_text("def small(input_shape, classes, width=3): ...\n")
    return [], "penguins", ["--model", "nets:small", "--set", "model.width=4"]


@pytest.mark.parametrize("make", [of_rows, of_images, of_arrays, registered, of_a_function])
def test_the_file_stands_for_the_options_that_it_was_made_with(call, tmp_path, make):
    needed, dataset, more = make(tmp_path)
    options = [str(word) for word in ("--dataset", dataset, *needed, *more, "--sparsity", 0.5)]
    code, out, err = call("init", *options)
    assert (code, err) == (0, "")
    wrote, following = out.splitlines()
    assert wrote == "Wrote tfprune.toml, and tfprune.schema.json, by which editors check it."
    assert re.fullmatch(r"Next: tfprune train --config tfprune.toml.* --dry-run", following)
    asked = train.make_context("train", options).params
    others = ("file", "force", "dry_run", "as_json")
    expected = make_config(None, {key: asked[key] for key in asked if key not in others})
    model = {"model": "nets:small"} if make is of_a_function else {}
    file = tmp_path / "here" / "tfprune.toml"
    assert make_config(file, model).to_dict() == expected.to_dict()
    defaults = re.sub(r"^# (\w+ = (?!\.\.\.))", r"\1", file.read_text(), flags=re.MULTILINE)
    assert len(re.findall(r"^\w+ =", defaults, re.MULTILINE)) > len(
        re.findall(r"^\w+ =", file.read_text(), re.MULTILINE)
    )
    schema = json.loads((tmp_path / "here" / "tfprune.schema.json").read_text())
    for text in (file.read_text(), defaults):
        jsonschema.validate(parser().loads(text), schema)
    file.write_text(defaults)
    assert make_config(file, model).to_dict() == expected.to_dict()  # the defaults are what they are said to be


def test_the_file_says_what_was_found_in_the_data(call, tmp_path):
    call("init", "--dataset", write_rows(tmp_path / "insects.csv", insects(missing=2)), "--label", "wings",
         "--missing", "drop")  # fmt: skip
    text = (tmp_path / "here" / "tfprune.toml").read_text()
    for line in (
        "# Examples: 40 for train, 9 for validation, 9 for test.",
        "# Columns: length (cm) (numbers), class (numbers), colour (text).",
        "# Classes (wings): ant 19, bee 19, fly 20.",
        "# Passes over the training split, at least 1. A lottery ticket takes that many again.\nepochs = 200\n",
    ):
        assert line in text, line


def test_names_that_toml_allows_in_no_comment_are_escaped(call, tmp_path):
    rows = [(n, ("bee", "wasp\x1b[31m")[n % 2]) for n in range(40)]
    path = write_rows(tmp_path / "t.csv", rows, ("size\x07", "kind"))
    code, _, _ = call("init", "--dataset", path, "--label", "kind")
    text = (tmp_path / "here" / "tfprune.toml").read_text(encoding="utf-8")
    assert code == 0 and "wasp\\x1b[31m 20" in text
    assert Config.from_dict(parser().loads(text)).data_settings["label"] == "kind"


def test_a_file_is_not_replaced_unless_forced_and_nothing_is_left_half_written(call, tmp_path):
    here = tmp_path / "here"
    (here / "a.toml").write_text("mine")
    for arguments, message in (
        (["a.toml", "--dataset", "penguins"], "a.toml: is there already; --force replaces it"),
        (["b.json", "--dataset", "penguins"], "b.json: the file must end in .toml"),
        (["a.toml/b.toml", "--dataset", "penguins"], "a.toml/b.toml: cannot be written"),
        (["b.toml"], "--dataset is missing"),
        (["b.toml", "--dataset", "penguins", "--epochs", 0], "epochs must be"),
    ):
        code, out, err = call("init", *arguments)
        assert code == 2 and out == "" and re.fullmatch(f"Error: .*{message}.*\n", err)
    assert [path.name for path in here.iterdir()] == ["a.toml"] and (here / "a.toml").read_text() == "mine"
    code, _, _ = call("init", "a.toml", "--dataset", "penguins", "--force")
    assert code == 0 and 'dataset = "penguins"' in (here / "a.toml").read_text()


def test_text_is_escaped_as_toml_asks():
    text = 'a"b\\c\x7f\x01\n\U0001f427é'
    config = Config(dataset="penguins", out=text)
    assert parser().loads(settings_file(config))["out"] == text


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dataset": "penguins", "epoch": 3}, "'epoch' was unexpected"),
        ({"epochs": 3}, "'dataset' is a required property"),
        ({"dataset": "penguins", "epochs": 0}, "0 is less than the minimum of 1"),
        ({"dataset": "penguins", "granularity": "channel"}, "'channel' is not one of"),
        ({"dataset": "penguins", "settings": {"sparsity": 0.5}}, "'sparsity' was unexpected"),  # of the default method
        ({"dataset": "penguins", "method": "snip", "settings": {"per_clas": 1}}, "'per_clas' was unexpected"),
    ],
)
def test_editors_mark_what_is_wrong(settings, message):
    schema = settings_schema()
    jsonschema.Draft7Validator.check_schema(schema)
    with pytest.raises(jsonschema.ValidationError, match=message):
        jsonschema.validate(settings, schema)


def test_the_settings_of_runs_are_as_the_schema_says():
    schema = settings_schema()
    for method in METHODS:
        jsonschema.validate(json.loads(json.dumps(Config(dataset="penguins", method=method).to_dict())), schema)
    branches = Config(dataset="cifar10", granularity="branch", model="resnet8", metrics=("f1",), exclude=("last",))
    jsonschema.validate(json.loads(json.dumps(branches.to_dict())), schema)
    jsonschema.validate({"dataset": "penguins", "spare": ["last"], "checkpoint_every": 5}, schema)
