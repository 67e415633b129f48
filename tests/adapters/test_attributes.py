"""What becomes of models of a person's own class."""

from typing import NamedTuple

import numpy as np
import pytest

import tfprune
from tfprune.adapters.backend import keras as tf_keras
from tfprune.adapters.backend import keras3
from tfprune.utils.errors import ModelError


def twice(x):
    return 2 * x


def classes(k):
    class Accumulating(k.Model):
        def __init__(self, *args, steps=1, **kwargs):
            super().__init__(*args, **kwargs)
            self.steps = steps

    class Row(k.Sequential):
        pass

    return Accumulating, Row


@pytest.mark.parametrize("name", ["tf_keras", "keras"])
def test_models_of_an_own_class_keep_their_plain_attributes(name):
    k = tf_keras if name == "tf_keras" else keras3()
    functional, sequential = classes(k)
    i = k.layers.Input((8,))
    tensor = k.layers.Dense(3, name="logits")(k.layers.Dense(8, "relu", name="wide")(i))
    layers = [k.layers.Input((8,)), k.layers.Dense(8, "relu", name="wide"), k.layers.Dense(3, name="logits")]
    x, y = np.ones((8, 8), np.float32), np.zeros((8, 3), np.float32)
    given = {"verbose": 0, "method": "pruned", "sparsity": 0.5, "epochs": 2}
    for model in (functional(inputs=i, outputs=tensor, steps=8), sequential(layers)):
        steps = getattr(model, "steps", None)
        own = {"steps": steps, "temperature": 5.0, "pair": (1, ("a", None)), "_rule": twice, "len": len}
        own |= {"sine": np.sin, "own_loss": k.losses.MeanAbsoluteError(), "shares": {"a": [0.5, 1.5]}, "seen": []}
        for key, value in own.items():
            setattr(model, key, value)
        model.table = np.arange(3)
        model.method = model.get_config  # of the object itself: stays with it
        model.compile("sgd", "mse")
        model.fit(x, y, verbose=0)
        for other in (
            tfprune.shrink(model, 0.5, multiple=1),
            tfprune.train(model, (x, y), granularity="filter", channels={"multiple": 1}, **given).model,
            tfprune.train(model, (x, y), **given).model,
            tfprune.prune(model, 0.5),
        ):
            assert type(other) is type(model) and {key: getattr(other, key) for key in own} == own
            assert other.table.tolist() == [0, 1, 2] and other.seen is not model.seen
            assert not hasattr(other, "method")


@pytest.mark.parametrize("name", ["tf_keras", "keras"])
@pytest.mark.parametrize("inside", [True, False])
def test_layers_that_a_model_holds_become_those_of_the_smaller_one_or_are_refused(name, inside):
    """A teacher that no input leads to would be missing in the loss, or silently none."""
    k = tf_keras if name == "tf_keras" else keras3()

    class Taught(k.Model):
        teacher = None

        def train_step(self, data):
            assert self.teacher is not None
            return super().train_step(data)

    i = k.layers.Input((8,))
    wide = k.layers.Dense(16, "relu", name="wide")
    model = Taught(i, k.layers.Dense(3, name="logits")(wide(i)))
    model.teacher = wide if inside else k.Sequential([k.layers.Input((8,)), k.layers.Dense(3)])
    model.teacher.trainable = inside
    model.compile("sgd", "mse")
    data = np.ones((8, 8), np.float32), np.zeros((8, 3), np.float32)
    given = {"sparsity": 0.5, "epochs": 3, "verbose": 0}
    if inside:
        model = tfprune.train(model, data, granularity="filter", **given).model
        assert model.teacher is model.get_layer("wide") and model.teacher.units == 8
        assert tfprune.prune(model, 0.5).teacher.units == 8
        return
    for granularity in ("weight", "filter"):
        with pytest.raises(ModelError, match="layers that its inputs and outputs do not lead to.*in_place=True"):
            tfprune.train(model, data, granularity=granularity, **given)
    assert tfprune.train(model, data, in_place=True, **given).sparsity == 0.5


class Parts(NamedTuple):
    """Where a model's parts are found."""

    body: list
    head: object


@pytest.mark.parametrize("name", ["tf_keras", "keras"])
def test_layers_in_containers_become_those_of_the_smaller_model_or_are_refused(name):
    k = tf_keras if name == "tf_keras" else keras3()

    class Held(k.Model):
        teachers = None

        def train_step(self, *data):
            return super().train_step(*data)

    i = k.layers.Input((8,))
    layers = [k.layers.Dense(16, "relu", name=own) for own in ("one", "two")]
    model = Held(i, k.layers.Dense(3, name="logits")(layers[1](layers[0](i))))
    model.blocks, model.by_name = list(layers), {"first": layers[0], "rest": (layers[1], "relu")}
    model.parts = Parts([layers[0]], layers[1])
    model.compile("sgd", "mse")
    data = np.ones((8, 8), np.float32), np.zeros((8, 3), np.float32)
    small = tfprune.train(model, data, granularity="filter", sparsity=0.5, epochs=3, verbose=0).model
    for other in (small, tfprune.shrink(model, 0.5)):
        one, two = map(other.get_layer, ("one", "two"))
        assert one.units == two.units == 8 and list(other.blocks) == [one, two]
        assert other.by_name["first"] is one and tuple(other.by_name["rest"]) == (two, "relu")
        assert list(other.parts.body) == [one] and other.parts.head is two
    teacher = k.Sequential([k.layers.Input((8,)), k.layers.Dense(3)])
    teacher.trainable = False
    model.teachers = {"wise": [teacher]}
    with pytest.raises(ModelError, match="layers that its inputs and outputs do not lead to.*in_place=True"):
        tfprune.train(model, data, sparsity=0.5, epochs=3, verbose=0)


@pytest.mark.parametrize("name", ["tf_keras", "keras"])
@pytest.mark.parametrize("init", [True, False])
def test_a_layer_that_is_taken_apart_may_be_held_too(name, init):
    k = tf_keras if name == "tf_keras" else keras3()

    class Block(k.layers.Layer):
        def __init__(self, **settings):
            super().__init__(**settings)
            self.one, self.two = k.layers.Dense(16, "relu"), k.layers.Dense(8)

        def call(self, x):
            return self.two(self.one(x))

    class Given(k.Model):
        pass

    class Made(k.Model):
        def __init__(self):
            i, block = k.layers.Input((8,)), Block()
            super().__init__(inputs=i, outputs=k.layers.Dense(3)(block(i)))
            self.block = block

    i, block = k.layers.Input((8,)), Block()
    model = Made() if init else Given(i, k.layers.Dense(3)(block(i)))
    model.block = model.block if init else block
    assert tfprune.shrink(model, 0.5).count_params() < model.count_params()
