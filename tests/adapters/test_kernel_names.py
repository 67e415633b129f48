import pytest
from test_wrapping import KERNELS

from tfprune.adapters.backend import keras
from tfprune.adapters.tf_keras.kernel_names import prunable_names
from tfprune.adapters.tf_keras.mask_values import get_masks, kernel_variables
from tfprune.adapters.tf_keras.multiply_adds import macs_per_kernel
from tfprune.adapters.tf_keras.wrapping import mask_in_place


def body(name, units=16):
    dense = keras.layers.Dense
    return keras.Sequential([keras.layers.Input((8,)), dense(units, "relu", name="d1"), dense(8, name="d2")], name=name)


def two_bodies(units=16):
    inputs = keras.layers.Input((8,))
    x = keras.layers.Add()([body("a")(inputs), body("b", units)(inputs)])
    return keras.Model(inputs, keras.layers.Dense(3, name="head")(x))


class Twins(keras.layers.Layer):
    """A layer of somebody's own with two layers of one name."""

    def __init__(self):
        super().__init__(name="twins")
        self.one, self.two = keras.layers.Dense(4, name="d"), keras.layers.Dense(4, name="d")

    def call(self, inputs):
        return self.one(inputs) + self.two(inputs)


def test_kernels_of_layers_that_share_a_name_have_names_of_their_own():
    names = ["a/d1/kernel", "a/d2/kernel", "b/d1/kernel", "b/d2/kernel", "head/kernel"]
    for units in (16, 24):
        model = two_bodies(units)
        assert list(kernel_variables(model)) == names
        assert len({id(kernel) for kernel in kernel_variables(model).values()}) == 5
        assert list(macs_per_kernel(model).values()) == [
            *((8 * 16, None), (16 * 8, None), (8 * units, None), (units * 8, None), (8 * 3, None))
        ]
    inputs = keras.layers.Input((4,))
    assert list(kernel_variables(keras.Model(inputs, Twins()(inputs)))) == ["twins/d/kernel", "twins/d_1/kernel"]


def test_names_that_were_unique_stay_those_of_the_layers(conv_net):
    inputs = keras.layers.Input((8, 8, 3))
    model = keras.Model(inputs, keras.layers.Dense(2, name="head")(conv_net(inputs)))
    assert list(kernel_variables(model)) == [*KERNELS, "logits/kernel", "head/kernel"]


def test_a_model_that_is_called_twice_has_one_mask_a_kernel():
    one, two = keras.layers.Input((8,)), keras.layers.Input((8,))
    tower = body("tower")
    model = mask_in_place(keras.Model([one, two], keras.layers.Add()([tower(one), tower(two)])))
    assert list(get_masks(model)) == ["d1/kernel", "d2/kernel"]


@pytest.mark.parametrize(
    ("exclude", "left"),
    [
        (("a/d1",), ["a/d2", "b/d1", "b/d2", "head"]),
        (("a",), ["b/d1", "b/d2", "head"]),
        (("d1",), ["a/d2", "b/d2", "head"]),
        (("first", "last"), ["a/d2", "b/d1", "b/d2"]),
    ],
)
def test_layers_of_one_name_are_spared_by_path_model_or_together(exclude, left):
    assert prunable_names(two_bodies(), exclude) == left


def test_spare_names_what_is_inside_of_a_layer_and_what_is_frozen():
    layers = keras.layers
    model = keras.Sequential([layers.Dense(4, input_shape=(3, 4), name="a"), layers.LSTM(4, name="b")])
    model.add(layers.Dense(2, name="c"))
    assert prunable_names(model) == ["a", "b/cell", "c"]
    assert prunable_names(model, ("b",)) == ["a", "c"]
    model.get_layer("a").trainable = False
    assert prunable_names(model, ("frozen", "last")) == ["b/cell"]
