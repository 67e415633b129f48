import numpy as np
import pytest

from tfprune.adapters.backend import keras
from tfprune.data._base import Split
from tfprune.training.stacking import stack, stack_splits, stack_weights, stackable, unstack


def network(hidden=5, **kwargs):
    layers = [keras.layers.Dense(hidden, "relu", input_shape=(4,), bias_initializer="ones")]
    return keras.Sequential(
        [*layers, keras.layers.LeakyReLU(), keras.layers.Dense(3, "tanh", use_bias=False, **kwargs)]
    )


@pytest.mark.parametrize("hidden", [5, 300])  # kernels below and above `SMALL_KERNEL`
def test_each_network_of_a_stack_answers_as_it_does_alone(hidden):
    networks = [network(hidden) for _ in range(3)]
    stacked = stack(networks[0], 3)
    stacked.set_weights(stack_weights([each.get_weights() for each in networks]))
    x = np.random.default_rng(0).normal(size=(7, 4, 3)).astype(np.float32)
    answers = stacked(x).numpy()
    assert answers.shape == (7, 3, 3)
    for number, each in enumerate(networks):
        np.testing.assert_allclose(answers[:, number], each(x[:, :, number]), atol=1e-6)


def test_only_what_can_be_told_apart_is_stacked():
    layers = keras.layers
    assert stackable(network())
    for model in (
        keras.Sequential([layers.Dense(3, "softmax", input_shape=(4,))]),
        network(kernel_regularizer="l2"),
        network(kernel_constraint="non_neg"),
        keras.Sequential([layers.Dense(4, input_shape=(4,)), layers.BatchNormalization()]),
        keras.Sequential([layers.Conv2D(2, 3, input_shape=(8, 8, 1))]),
        keras.Sequential([layers.Flatten(input_shape=(2, 2)), layers.Dense(2)]),
    ):
        assert not stackable(model)
    inputs = layers.Input((4,))
    branches = layers.Add()([layers.Dense(3)(inputs), layers.Dense(3)(inputs)])
    assert not stackable(keras.Model(inputs, branches))


def test_taking_apart_undoes_putting_together():
    arrays = [{"a": np.full((2, 3), n), "b": np.full(4, n)} for n in range(3)]
    together = {name: np.stack([array[name] for array in arrays], -1) for name in ("a", "b")}
    for own, back in zip(arrays, unstack(together), strict=True):
        assert own.keys() == back.keys() and all((own[name] == back[name]).all() for name in own)
    split = stack_splits([Split(np.zeros((5, 2)), np.zeros(5)), Split(np.ones((5, 2)), np.ones(5))])
    assert split.x.shape == (5, 2, 2) and split.y.shape == (5, 2) and (split.x[..., 1] == 1).all()
