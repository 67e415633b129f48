"""Plain convolutional networks."""

from __future__ import annotations

from collections.abc import Sequence

from tfprune.adapters.backend import keras
from tfprune.models._images import image_input, logits
from tfprune.utils.checks import check_fraction, check_switch, check_whole, check_whole_numbers
from tfprune.utils.errors import ConfigError


def lenet(
    input_shape: tuple[int, ...],
    classes: int,
    *,
    filters: tuple[int, ...] = (32, 64),
    hidden: tuple[int, ...] = (128,),
    kernel_size: int = 3,
    batch_norm: bool = True,
    dropout: float = 0.25,
) -> keras.Model:
    """LeNet-5's plan (convolutions with pooling, then dense layers), wider, with ReLU, BatchNorm and dropout.

    Not LeCun et al.'s network of 1998 (doi:10.1109/5.726791): that had 6 and 16 filters, tanh and average pooling.

    Args:
        input_shape: height, width and channels.
        classes: number of logits.
        filters: of each convolution; every one halves the image.
        hidden: units of the dense layers before the logits.
        kernel_size: height and width of the convolutions' kernels.
        batch_norm: whether BatchNorm stands between each layer and its ReLU.
        dropout: fraction of the inputs of each dense layer that is dropped in training, in [0, 1).
    """
    filters, units = check_whole_numbers("model.filters", filters), check_whole_numbers("model.hidden", hidden)
    kernel_size = check_whole("model.kernel_size", kernel_size, least=1)
    norm, rate = check_switch("model.batch_norm", batch_norm), check_fraction("model.dropout", dropout)
    inputs, x = image_input("lenet", input_shape, least=2 ** len(filters))
    for number, width in enumerate(filters, start=1):
        x = keras.layers.Conv2D(width, kernel_size, padding="same", use_bias=not norm, name=f"conv_{number}")(x)
        x = _relu(x, norm, f"conv_{number}")
        x = keras.layers.MaxPooling2D(name=f"pool_{number}")(x)
    x = keras.layers.Flatten(name="flatten")(x)
    for number, width in enumerate(units, start=1):
        x = _dropout(x, rate, f"dense_{number}_dropout")
        x = keras.layers.Dense(width, use_bias=not norm, name=f"dense_{number}")(x)
        x = _relu(x, norm, f"dense_{number}")
    return keras.Model(inputs, logits(_dropout(x, rate, "logits_dropout"), classes), name="lenet")


def conv2(
    input_shape: tuple[int, ...],
    classes: int,
    *,
    filters: tuple[int, ...] = (64,),
    hidden: tuple[int, ...] = (256, 256),
) -> keras.Model:
    """Conv-2 of Frankle & Carbin 2019 (arXiv:1803.03635): two convolutions, a pool, three dense layers.

    Args:
        input_shape: height, width and channels.
        classes: number of logits.
        filters: of each pair of convolutions.
        hidden: units of the dense layers before the logits.
    """
    return _pairs("conv2", input_shape, classes, filters, hidden, pairs=1)


def conv4(
    input_shape: tuple[int, ...],
    classes: int,
    *,
    filters: tuple[int, ...] = (64, 128),
    hidden: tuple[int, ...] = (256, 256),
) -> keras.Model:
    """Conv-4 of Frankle & Carbin 2019 (arXiv:1803.03635): two pairs of convolutions with pools, three dense layers.

    Args:
        input_shape: height, width and channels.
        classes: number of logits.
        filters: of each pair of convolutions.
        hidden: units of the dense layers before the logits.
    """
    return _pairs("conv4", input_shape, classes, filters, hidden, pairs=2)


def conv6(
    input_shape: tuple[int, ...],
    classes: int,
    *,
    filters: tuple[int, ...] = (64, 128, 256),
    hidden: tuple[int, ...] = (256, 256),
) -> keras.Model:
    """Conv-6 of Frankle & Carbin 2019 (arXiv:1803.03635): three pairs of convolutions with pools, three dense layers.

    Args:
        input_shape: height, width and channels.
        classes: number of logits.
        filters: of each pair of convolutions.
        hidden: units of the dense layers before the logits.
    """
    return _pairs("conv6", input_shape, classes, filters, hidden, pairs=3)


def _pairs(
    name: str,
    input_shape: tuple[int, ...],
    classes: int,
    filters: Sequence[int],
    hidden: Sequence[int],
    *,
    pairs: int,
) -> keras.Model:
    filters, units = check_whole_numbers("model.filters", filters), check_whole_numbers("model.hidden", hidden)
    if len(filters) != pairs:
        raise ConfigError(f"model.filters must have {pairs} for {name}, one a pair of convolutions, got {len(filters)}")
    inputs, x = image_input(name, input_shape, least=2**pairs)
    initial = {"kernel_initializer": "glorot_normal"}  # as in the paper
    for pair, width in enumerate(filters, start=1):
        for number in (2 * pair - 1, 2 * pair):
            x = keras.layers.Conv2D(width, 3, padding="same", activation="relu", name=f"conv_{number}", **initial)(x)
        x = keras.layers.MaxPooling2D(name=f"pool_{pair}")(x)
    x = keras.layers.Flatten(name="flatten")(x)
    for number, width in enumerate(units, start=1):
        x = keras.layers.Dense(width, activation="relu", name=f"dense_{number}", **initial)(x)
    return keras.Model(inputs, logits(x, classes, **initial), name=name)


def _relu(x: keras.KerasTensor, norm: bool, name: str) -> keras.KerasTensor:
    if norm:
        x = keras.layers.BatchNormalization(name=f"{name}_bn")(x)
    return keras.layers.ReLU(name=f"{name}_relu")(x)


def _dropout(x: keras.KerasTensor, rate: float, name: str) -> keras.KerasTensor:
    return keras.layers.Dropout(rate, name=name)(x) if rate else x
