"""Weights that somebody sets on a masked model, in whatever way."""

import numpy as np
import pytest

import tfprune
from tfprune.adapters.backend import keras as tf_keras
from tfprune.adapters.backend import keras3, tf
from tfprune.adapters.put_back import put_back

X = np.random.default_rng(0).normal(size=(32, 8)).astype(np.float32)
Y = np.arange(32) % 3
LIBRARIES = ("tf_keras", "keras")


def pruned(name):
    """Returns a model with a model inside that is half pruned in place, and files of dense weights of both."""
    keras = tf_keras if name == "tf_keras" else keras3()
    inner = keras.Sequential([keras.layers.Input((8,)), keras.layers.Dense(16, "relu", name="a")], name="inner")
    model = keras.Sequential([keras.layers.Input((8,)), inner, keras.layers.Dense(3, name="b")])
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model, inner


def train(model):
    tfprune.train(model, (X, Y), sparsity=0.5, epochs=3, in_place=True, verbose=0)


def zeros(model):
    return [round(float(np.mean(own == 0)), 2) for own in model.get_weights() if own.ndim > 1]


@pytest.mark.parametrize("name", LIBRARIES)
@pytest.mark.parametrize("way", ["set_weights of a layer", "load_weights of a model inside"])
def test_parts_of_a_model_get_the_masks_at_once(name, way, tmp_path, caplog):
    model, inner = pruned(name)
    layer = model.get_layer("inner").layers[-1] if "inside" in way else model.get_layer("b")
    dense = [np.ones_like(own) for own in layer.get_weights()]
    inner.save_weights(tmp_path / "dense.weights.h5")
    train(model)
    if "inside" in way:
        inner.load_weights(tmp_path / "dense.weights.h5")
    else:
        layer.set_weights(dense)
    assert zeros(model) == [0.5, 0.5] and "were put back" in caplog.text
    assert put_back(model) == (64 if "inside" in way else 24)


@pytest.mark.parametrize("name", LIBRARIES)
def test_a_fit_begins_with_what_is_pruned_at_zero(name, tmp_path, caplog):
    """Also where a checkpoint of TensorFlow has put weights back past everything else."""
    model, _ = pruned(name)
    path = tf.train.Checkpoint(model=model).save(str(tmp_path / "c"))
    train(model)
    tf.train.Checkpoint(model=model).restore(path)
    assert zeros(model) == [0.0, 0.0]
    model.fit(X, Y, verbose=0)
    assert zeros(model) == [0.5, 0.5] and "88 pruned weights of model sequential" in caplog.text


@pytest.mark.parametrize("name", LIBRARIES)
def test_a_model_without_masks_has_its_methods_back(name):
    model, inner = pruned(name)
    train(model)
    tfprune.train(model, (X, Y), method="unpruned", epochs=1, in_place=True, verbose=0)
    from tfprune.adapters import adapter_of

    adapter_of(model).detach(model)
    for own in (model, inner, model.get_layer("b")):
        assert not {"fit", "set_weights", "load_weights", "load_state_dict"} & vars(own).keys()
