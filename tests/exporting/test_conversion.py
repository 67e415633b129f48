import dataclasses

import numpy as np
import pytest
from test_formats import data  # noqa: F401 - a fixture

from tfprune.adapters.backend import keras
from tfprune.exporting.conversion import convert
from tfprune.exporting.formats import h5
from tfprune.utils.errors import ConfigError, ModelError, RunError


def test_accuracy_difference_and_bytes_are_those_of_the_file(conv_net, data, tmp_path):  # noqa: F811
    done = convert(conv_net, data, tmp_path / "deep" / "model.tflite", "tflite", "int8")
    logits = np.asarray(conv_net(data.validation.x, training=False))
    assert done.before == np.mean(logits.argmax(axis=-1) == data.validation.y) and done.examples == 32
    assert 0 < done.difference < 0.1 and 0 <= done.after <= 1
    assert done.raw == (tmp_path / "deep" / "model.tflite").stat().st_size > done.gzip > 0
    assert sorted(path.name for path in (tmp_path / "deep").iterdir()) == ["model.tflite", "model.tflite.json"]


def test_a_file_that_answers_differently_does_not_count(conv_net, data, tmp_path, monkeypatch):  # noqa: F811
    def write_another(model, data, path, quantize):
        other = keras.models.clone_model(model)  # with new weights
        h5.write(other, data, path, quantize)

    monkeypatch.setattr(h5, "FORMAT", dataclasses.replace(h5.FORMAT, write=write_another))
    (tmp_path / "model.h5").write_text("what was there before")
    with pytest.raises(ModelError, match=r"model.h5: its probabilities differ from the model's by 0\.\d+"):
        convert(conv_net, data, tmp_path / "model.h5", "h5")
    assert (tmp_path / "model.h5").read_text() == "what was there before" and len(list(tmp_path.iterdir())) == 1


def test_what_cannot_be_asked_of_a_format_is_one_line(conv_net, data, tmp_path):  # noqa: F811
    with pytest.raises(ConfigError, match="format h5 cannot be quantized to 'int8': .*Choices: none"):
        convert(conv_net, data, tmp_path / "model.h5", "h5", "int8")
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="cannot be written"):
        convert(conv_net, data, tmp_path / "file" / "model.h5", "h5")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_folder_of_something_else_is_not_replaced(conv_net, data, tmp_path):  # noqa: F811
    (tmp_path / "thesis.txt").write_text("three years")
    with pytest.raises(RunError, match="holds no SavedModel, and is not replaced"):
        convert(conv_net, data, tmp_path, "savedmodel")
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
