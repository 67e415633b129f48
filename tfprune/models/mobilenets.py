"""MobileNets, as Keras has them."""

from __future__ import annotations

from pathlib import Path

from tfprune.adapters.backend import keras
from tfprune.models._images import image_input, logits
from tfprune.utils.checks import check_fraction, check_positive, check_switch
from tfprune.utils.errors import ConfigError, ModelError
from tfprune.utils.text import one_line

SIDES = (96, 128, 160, 192, 224)  # for which there are weights; 224 serves for others
ALPHAS = (0.35, 0.5, 0.75, 1.0, 1.3, 1.4)
BATCH_NORM_MOMENTUM = 0.99  # Keras has 0.999, whose statistics lag behind by thousands of steps


def mobilenetv2(
    input_shape: tuple[int, ...],
    classes: int,
    *,
    alpha: float = 1.0,
    dropout: float = 0.2,
    pretrained: bool = False,
) -> keras.Model:
    """MobileNetV2 (Sandler et al. 2018, arXiv:1801.04381), from scratch or with ImageNet's weights.

    Args:
        input_shape: height, width and channels, at least 32 x 32; pretrained only with 3 channels.
        classes: number of logits.
        alpha: width multiplier; pretrained one of 0.35, 0.5, 0.75, 1, 1.3 and 1.4.
        dropout: fraction of the features that is dropped before the logits in training, in [0, 1).
        pretrained: start from weights trained on ImageNet, which Keras downloads.

    Raises:
        ModelError: the weights are not there and cannot be downloaded.
    """
    alpha, rate = check_positive("model.alpha", alpha), check_fraction("model.dropout", dropout)
    inputs, x = image_input("mobilenetv2", input_shape, least=32)
    pretrained = check_switch("model.pretrained", pretrained)
    if pretrained and alpha not in ALPHAS:
        known = ", ".join(f"{value:g}" for value in ALPHAS)
        raise ConfigError(f"model.alpha must be one of {known} with model.pretrained, got {alpha:g}")
    if pretrained and input_shape[-1] != 3:
        raise ConfigError(f"model.pretrained needs images of 3 channels, got {input_shape[-1]}")
    try:
        body = keras.applications.MobileNetV2(
            input_tensor=x,
            alpha=alpha,
            include_top=False,
            weights="imagenet" if pretrained else None,
        )
    except (OSError, ValueError) as error:
        if not pretrained:
            raise
        raise _no_weights(input_shape, alpha, error) from None
    except Exception as error:  # what Keras raises when a download fails is no more than that
        if not str(error).startswith("URL fetch failure"):
            raise
        raise _no_weights(input_shape, alpha, error) from None
    for layer in body.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = BATCH_NORM_MOMENTUM
    x = keras.layers.GlobalAveragePooling2D(name="pool")(body.output)
    if rate:
        x = keras.layers.Dropout(rate, name="dropout")(x)
    return keras.Model(inputs, logits(x, classes), name="mobilenetv2")


def weights_file(input_shape: tuple[int, ...], alpha: float) -> Path:
    """Returns where Keras looks for ImageNet's weights before it downloads them."""
    height, width = input_shape[:2]
    side = height if height == width and height in SIDES else 224
    name = f"mobilenet_v2_weights_tf_dim_ordering_tf_kernels_{float(alpha)}_{side}_no_top.h5"
    return Path.home() / ".keras" / "models" / name


def _no_weights(input_shape: tuple[int, ...], alpha: float, error: Exception) -> ModelError:
    path = weights_file(input_shape, alpha)
    return ModelError(
        f"the weights {path.name} are not in {path.parent} and cannot be downloaded or read "
        f"({one_line(error)}); put the file into that folder"
    )
