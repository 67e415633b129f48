"""Fully connected networks."""

from __future__ import annotations

from tfprune.adapters.backend import keras
from tfprune.models._images import image_input
from tfprune.utils.checks import check_choice, check_whole_numbers

INITIALIZERS = ("glorot_uniform", "he_normal", "fan_in_uniform")
ACTIVATIONS = ("linear", "relu", "tanh", "sigmoid", "elu", "selu", "gelu", "swish")


def mlp(
    input_shape: tuple[int, ...],
    classes: int,
    *,
    hidden: tuple[int, ...] = (300, 100),
    activation: str = "relu",
    output_activation: str = "linear",
    initializer: str = "glorot_uniform",
) -> keras.Model:
    """Dense layers, one after the other.

    Args:
        input_shape: shape of one example: features, or an image, which is flattened.
        classes: number of logits.
        hidden: units of the hidden layers; the default is LeNet-300-100.
        activation: of the hidden layers.
        output_activation: of the logits (the class project has a tanh there).
        initializer: `fan_in_uniform` draws kernels and biases from U(-1/sqrt(fan_in), 1/sqrt(fan_in)),
            as PyTorch does; the others are Keras' own, with zero biases.
    """
    check_choice("model.initializer", initializer, INITIALIZERS)
    check_choice("model.activation", activation, ACTIVATIONS)
    check_choice("model.output_activation", output_activation, ACTIVATIONS)
    units = check_whole_numbers("model.hidden", hidden)
    if len(input_shape) > 1:
        inputs, x = image_input("mlp", input_shape)
        x = keras.layers.Flatten(name="flatten")(x)
    else:
        x = inputs = keras.layers.Input(input_shape, name="inputs")
    for number, width in enumerate([*units, classes], start=1):
        last = number > len(units)
        bound = x.shape[-1] ** -0.5
        uniform = initializer == "fan_in_uniform"
        x = keras.layers.Dense(
            width,
            activation=output_activation if last else activation,
            kernel_initializer=keras.initializers.RandomUniform(-bound, bound) if uniform else initializer,
            bias_initializer=keras.initializers.RandomUniform(-bound, bound) if uniform else "zeros",
            dtype="float32" if last else None,  # logits need all their digits, under mixed precision too
            name=f"dense_{number}",
        )(x)
    return keras.Model(inputs, x, name="mlp")
