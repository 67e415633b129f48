"""What stands beside an exported file is enough to make its inputs of raw examples, without TensorFlow."""

import csv
import json

import numpy as np
import pytest

from tfprune.data.penguins import CSV
from tfprune.experiments.run_data import load_data
from tfprune.exporting.description import write_description
from tfprune.training.config import Config

TABLE = "size,colour,kind\n" + "".join(
    f"{number % 7 if number % 5 else ''},{'red' if number % 3 else 'blue'},{'ab'[number % 2]}\n" for number in range(60)
)


def encoded(row, columns):
    """Makes the inputs of one row as the description says."""
    inputs = []
    for own in columns:
        cell = row[own["column"]]
        cell = own.get("missing", cell) if cell in ("", "NA") else cell
        if own["kind"] == "number":
            inputs.append((float(cell) - own["subtract"]) / own["divide_by"])
        else:
            inputs += [float(cell == str(category)) for category in own["categories"]]
            assert sum(inputs[-len(own["categories"]) :]) == 1
    return inputs


def described(data, tmp_path, name="tflite"):
    path = write_description(data, tmp_path / "model.tflite", name, "none", "probabilities")
    return path and json.loads(path.read_text())


def rows_of(path):
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("kind", ["penguins", "table"])
def test_the_columns_of_a_table_become_the_inputs_that_the_model_has_learnt(tmp_path, kind):
    if kind == "table":
        (tmp_path / "t.csv").write_text(TABLE)
        settings = {"label": "kind", "missing": "impute"}
        config, file = Config(dataset=str(tmp_path / "t.csv"), data_settings=settings), tmp_path / "t.csv"
    else:
        config, file = Config(dataset="penguins"), CSV
    data = load_data(config)
    told = described(data, tmp_path)
    rows = [row for row in rows_of(file) if kind == "table" or "NA" not in row.values()]
    made = np.array([encoded(row, told["input"]["made_of"]) for row in rows], np.float32)
    known = np.concatenate([data.train.x, data.validation.x, data.test.x])
    np.testing.assert_allclose(np.unique(made.round(4), axis=0), np.unique(known.round(4), axis=0), atol=1e-4)
    assert told["output"] == {"kind": "probabilities", "target": data.target, "labels": list(data.labels)}
    assert told["input"]["shape"] == [None, *data.input_shape] and told["file"] == "model.tflite"


def test_arrays_and_images_are_described(tmp_path, copies):
    x = np.random.default_rng(0).normal(3, 2, (60, 4)).astype(np.float32)
    np.savez(tmp_path / "own.npz", x=x, y=np.arange(60) % 3)
    data = load_data(Config(dataset=str(tmp_path / "own.npz")))
    [own] = described(data, tmp_path)["input"]["made_of"]
    made = (x - np.array(own["subtract"])) / np.array(own["divide_by"])
    known = np.concatenate([data.train.x, data.validation.x, data.test.x])
    np.testing.assert_allclose(np.sort(made, axis=None), np.sort(known, axis=None), atol=1e-5)
    data = load_data(Config(dataset="fashion_mnist", data_dir=str(copies)))
    [own] = described(data, tmp_path)["input"]["made_of"]
    assert own["shape"] == [28, 28, 1] and own["dtype"] == "uint8" and own["crop"] == "central square"


def test_a_savedmodel_says_it_all_itself(tmp_path):
    assert described(load_data(Config(dataset="penguins")), tmp_path, "savedmodel") is None
    assert list(tmp_path.iterdir()) == []
