"""Residual networks (He et al. 2016, arXiv:1512.03385)."""

from __future__ import annotations

from tfprune.adapters.backend import keras
from tfprune.models._images import decay, image_input, logits
from tfprune.utils.checks import check_fraction, check_least, check_whole, check_whole_numbers


def resnet8(input_shape: tuple[int, ...], classes: int, *, width: int = 16, l2: float = 2.5e-4) -> keras.Model:
    """ResNet-8 in He et al.'s CIFAR form (arXiv:1512.03385): one block in each of three stages.

    Args:
        input_shape: height, width and channels.
        classes: number of logits.
        width: filters of the first stage; the next ones have two and four times as many.
        l2: weight decay, the penalty on squared kernels.
    """
    return _cifar_resnet("resnet8", input_shape, classes, blocks=1, width=width, l2=l2)


def resnet20(input_shape: tuple[int, ...], classes: int, *, width: int = 16, l2: float = 2.5e-4) -> keras.Model:
    """ResNet-20 in He et al.'s CIFAR form (arXiv:1512.03385): three blocks in each of three stages.

    Args:
        input_shape: height, width and channels.
        classes: number of logits.
        width: filters of the first stage; the next ones have two and four times as many.
        l2: weight decay, the penalty on squared kernels.
    """
    return _cifar_resnet("resnet20", input_shape, classes, blocks=3, width=width, l2=l2)


def resnet56(input_shape: tuple[int, ...], classes: int, *, width: int = 16, l2: float = 2.5e-4) -> keras.Model:
    """ResNet-56 in He et al.'s CIFAR form (arXiv:1512.03385): nine blocks in each of three stages.

    Args:
        input_shape: height, width and channels.
        classes: number of logits.
        width: filters of the first stage; the next ones have two and four times as many.
        l2: weight decay, the penalty on squared kernels.
    """
    return _cifar_resnet("resnet56", input_shape, classes, blocks=9, width=width, l2=l2)


def flowers_resnet(
    input_shape: tuple[int, ...],
    classes: int,
    *,
    widths: tuple[int, ...] = (32, 64, 128, 256),
    dropout: float = 0.3,
    l2: float = 1e-4,
) -> keras.Model:
    """A small residual net for photographs of about 100 pixels: a stem that shrinks fourfold, a block a stage.

    Args:
        input_shape: height, width and channels.
        classes: number of logits.
        widths: filters of each stage; every stage but the first halves the image.
        dropout: fraction of the features that is dropped before the logits in training, in [0, 1).
        l2: weight decay, the penalty on squared kernels.
    """
    widths = check_whole_numbers("model.widths", widths)
    rate, l2 = check_fraction("model.dropout", dropout), check_least("model.l2", l2, 0.0)
    inputs, x = image_input("flowers_resnet", input_shape, least=2 ** (len(widths) + 1))
    x = _conv(x, widths[0], "stem", size=5, strides=2, l2=l2)
    x = keras.layers.MaxPooling2D(3, strides=2, padding="same", name="stem_pool")(x)
    for stage, width in enumerate(widths, start=1):
        x = _block(x, width, f"stage_{stage}_block_1", strides=1 if stage == 1 else 2, l2=l2)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    if rate:
        x = keras.layers.Dropout(rate, name="dropout")(x)
    return keras.Model(inputs, logits(x, classes, kernel_regularizer=decay(l2)), name="flowers_resnet")


def _cifar_resnet(
    name: str, input_shape: tuple[int, ...], classes: int, *, blocks: int, width: int, l2: float
) -> keras.Model:
    """6 x blocks + 2 layers. Where a stage widens, the shortcut is a 1 x 1 convolution with BatchNorm (option B of
    the paper, whose own CIFAR nets subsample and pad with zeros, option A): it prunes like any other layer."""
    width, l2 = check_whole("model.width", width, least=1), check_least("model.l2", l2, 0.0)
    inputs, x = image_input(name, input_shape, least=4)
    x = _conv(x, width, "stem", l2=l2)
    for stage in (1, 2, 3):
        for block in range(1, blocks + 1):
            strides = 2 if stage > 1 and block == 1 else 1
            x = _block(x, width * 2 ** (stage - 1), f"stage_{stage}_block_{block}", strides=strides, l2=l2)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(inputs, logits(x, classes, kernel_regularizer=decay(l2)), name=name)


def _block(x: keras.KerasTensor, width: int, name: str, *, strides: int, l2: float) -> keras.KerasTensor:
    shortcut = x
    if strides != 1 or x.shape[-1] != width:
        shortcut = _conv(x, width, f"{name}_shortcut", size=1, strides=strides, l2=l2, relu=False)
    x = _conv(x, width, f"{name}_conv_1", strides=strides, l2=l2)
    x = _conv(x, width, f"{name}_conv_2", l2=l2, relu=False)
    return keras.layers.ReLU(name=f"{name}_relu")(keras.layers.Add(name=f"{name}_add")([shortcut, x]))


def _conv(
    x: keras.KerasTensor, width: int, name: str, *, size: int = 3, strides: int = 1, l2: float, relu: bool = True
) -> keras.KerasTensor:
    x = keras.layers.Conv2D(
        width,
        size,
        strides=strides,
        padding="same",
        use_bias=False,
        kernel_initializer="he_normal",
        kernel_regularizer=decay(l2),
        name=name,
    )(x)
    x = keras.layers.BatchNormalization(name=f"{name}_bn")(x)
    return keras.layers.ReLU(name=f"{name}_relu")(x) if relu else x
