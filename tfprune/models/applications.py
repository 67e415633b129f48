"""The models of `keras.applications`, by name, in either Keras."""

from __future__ import annotations

from typing import Any

import numpy as np

from tfprune.adapters.backend import keras as tf_keras
from tfprune.adapters.backend import keras3_module as keras3
from tfprune.models._images import image_input, logits
from tfprune.models._user import APPLICATIONS, OF_KERAS3
from tfprune.utils.checks import check_fraction, check_switch
from tfprune.utils.errors import ConfigError, ModelError, choose_from
from tfprune.utils.text import one_line

# How ImageNet's weights want their images: beside [-1, 1] of `image_input` raw, or standardised a channel.
RAW = ("EfficientNet", "ConvNeXt", "RegNet", "ResNetRS", "MobileNetV3")
STANDARDISED = ("DenseNet",)
BLUE_FIRST = ("VGG", "ResNet50", "ResNet101", "ResNet152")
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
BLUE_FIRST_MEAN = (123.68, 116.779, 103.939)  # of red, green and blue


def application(
    model: str,
    input_shape: tuple[int, ...],
    classes: int,
    *,
    pretrained: bool = False,
    frozen: bool = False,
    dropout: float = 0.2,
) -> Any:
    """A model of `keras.applications` with a classifier of its own on top.

    Args:
        model: as Keras spells it, after `applications:` or, in Keras 3, `keras3:`, e.g. `keras3:MobileNetV2`.
        input_shape: height, width and channels.
        classes: number of logits.
        pretrained: start from weights trained on ImageNet, which Keras downloads.
        frozen: train the classifier alone; the rest is pruned all the same unless it is excluded (`exclude=frozen`).
        dropout: fraction of the features that is dropped before the logits in training, in [0, 1).

    Raises:
        ModelError: there is no such model, it does not take such images, or the weights cannot be had.
    """
    prefix, _, name = model.rpartition(":")
    keras, other, prefixes = tf_keras, keras3, (APPLICATIONS, OF_KERAS3)
    if f"{prefix}:" == OF_KERAS3:
        keras, other, prefixes = other, keras, prefixes[::-1]
    if name not in (names := _names(keras)):
        elsewhere = f"the other Keras has it, take {prefixes[1]}{name}"
        remedy = elsewhere if name in _names(other) else choose_from(name, names)
        raise ConfigError(f"unknown model {model}: {remedy}")
    rate = check_fraction("model.dropout", dropout)
    pretrained, frozen = check_switch("model.pretrained", pretrained), check_switch("model.frozen", frozen)
    if pretrained and input_shape[-1] != 3:
        raise ConfigError(f"model.pretrained needs images of 3 channels, got {input_shape[-1]}")
    inputs, x = _prepared(keras, model, input_shape, pretrained)
    try:
        body = getattr(keras.applications, name)(
            input_tensor=x, include_top=False, weights="imagenet" if pretrained else None
        )
    except (OSError, ValueError) as error:
        raise ModelError(f"{model} cannot be made ({one_line(error)})") from None
    except Exception as error:  # what Keras raises when a download fails is no more than that
        if not str(error).startswith("URL fetch failure"):
            raise
        raise ModelError(f"the weights of {model} cannot be downloaded ({one_line(error)})") from None
    if pretrained and name.startswith(BLUE_FIRST) and not name.endswith("V2"):
        _reads_red_first(keras, body)
    for layer in body.layers:
        layer.trainable = not frozen
    x = keras.layers.GlobalAveragePooling2D(name="features")(body.output)
    x = keras.layers.Dropout(rate, name="features_dropout")(x) if rate else x
    return keras.Model(inputs, logits(x, classes, library=keras), name=name.lower())


def _names(keras: Any) -> list[str]:
    return [key for key in dir(keras.applications) if key[0].isupper()]


def _prepared(keras: Any, model: str, input_shape: tuple[int, ...], pretrained: bool) -> tuple[Any, ...]:
    inputs, signed = image_input(model, input_shape, library=keras)
    name = model.rpartition(":")[2]
    scale, offset = 1 / 127.5, -1.0
    if name.startswith(RAW):
        scale, offset = 1.0, 0.0
    elif pretrained and name.startswith(STANDARDISED):
        scale = [1 / (255 * d) for d in DEVIATION]
        offset = [-m / d for m, d in zip(MEAN, DEVIATION, strict=True)]
    elif pretrained and name.startswith(BLUE_FIRST) and not name.endswith("V2"):
        scale, offset = 1.0, [-mean for mean in BLUE_FIRST_MEAN]
    else:
        return inputs, signed
    return inputs, keras.layers.Rescaling(scale, offset, name="rescale")(inputs)


def _reads_red_first(keras: Any, body: Any) -> None:
    """Turns the first kernel's input channels round: these weights were trained on blue, green, red."""
    first = next(layer for layer in body.layers if isinstance(layer, keras.layers.Conv2D))
    kernel, *rest = first.get_weights()
    first.set_weights([np.ascontiguousarray(kernel[:, :, ::-1]), *rest])
