"""The table of docs/coverage.md: what it says, and that some of its rows are what comes out now."""

import importlib.machinery
import importlib.util
import json
from pathlib import Path

import pytest

from tfprune.adapters.backend import keras as tf_keras
from tfprune.adapters.backend import keras3

SCRIPT = Path(__file__).parents[2] / "scripts" / "coverage_table"


def load():
    loader = importlib.machinery.SourceFileLoader("coverage_table", str(SCRIPT))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("coverage_table", loader))
    loader.exec_module(module)
    return module


TABLE = load()
ROWS = {(row["model"], row["library"]): row for row in map(json.loads, TABLE.DATA.read_text().splitlines())}
AS_WHOLE = ("GemmaBackbone", "T5Backbone")  # layers in them do not say how they are made


def test_the_page_is_that_of_the_data():
    assert TABLE.page(list(ROWS.values())) == TABLE.PAGE.read_text()
    assert {library for _, library in ROWS} == {"keras", "tf_keras"}


@pytest.mark.parametrize("row", ROWS.values(), ids=lambda row: f"{row['model']}-{row['library']}")
def test_a_model_shrinks_as_far_as_the_mathematics_allow(row):
    if row["model"] in AS_WHOLE:
        assert "cannot be made again from its get_config" in " ".join(row["stays"].values())
        return
    stays = [name for name, why in row["stays"].items() if "multiple" not in why]
    assert stays == (["places_0"] if row["model"] == "MLP-Mixer by hand" else [])  # they are as many as the patches
    assert row["free"] == row["groups"] - 1 - len(stays)
    assert row["difference"] < (1e-5 if row["model"] in TABLE.HUB else 1e-8)  # in float32 and float64
    for key, known in zip(("parameters", "macs"), TABLE.TORCH_PRUNING.get(row["model"], (0.36, 0.36)), strict=True):
        assert row[key][1] / row[key][0] <= known + 0.02


@pytest.mark.parametrize("model", ["MobileNetV3Small", "EfficientNetB0"])
@pytest.mark.parametrize("library", ["keras", "tf_keras"])
def test_rows_are_what_comes_out(model, library):
    built = TABLE.build(tf_keras if library == "tf_keras" else keras3(), model)
    found, removed = TABLE.halved(built)
    row = ROWS[model, library]
    assert (len(found.groups), len(found.free)) == (row["groups"], row["free"])
    assert TABLE.parameters_left(built, found, removed) == row["parameters"][1]
