"""What becomes of models of a person's own class."""

import numpy as np
import pytest

import tfprune
from tfprune.adapters.backend import keras as tf_keras
from tfprune.adapters.backend import keras3


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
        own |= {"sine": np.sin, "own_loss": k.losses.MeanAbsoluteError()}
        for key, value in own.items():
            setattr(model, key, value)
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
            assert not hasattr(other, "method")
