"""Networks that answer for each pixel."""

from __future__ import annotations

from tfprune.adapters.backend import keras
from tfprune.models._images import image_input
from tfprune.utils.checks import check_switch, check_whole_numbers
from tfprune.utils.errors import ModelError


def unet(
    input_shape: tuple[int, ...],
    classes: int,
    *,
    filters: tuple[int, ...] = (16, 32, 64),
    batch_norm: bool = True,
) -> keras.Model:
    """A small U-Net (Ronneberger et al. 2015, arXiv:1505.04597): one convolution a level, with padding.

    Args:
        input_shape: height, width and channels.
        classes: number of logits of each pixel.
        filters: of each level; every one but the first halves the image.
        batch_norm: whether BatchNorm stands between each convolution and its ReLU.
    """
    filters, norm = check_whole_numbers("model.filters", filters), check_switch("model.batch_norm", batch_norm)
    multiple = 2 ** (len(filters) - 1)
    inputs, x = image_input("unet", input_shape, least=multiple)
    if input_shape[0] % multiple or input_shape[1] % multiple:
        raise ModelError(
            f"model unet halves images {len(filters) - 1} times, so their sides must be multiples of {multiple}: set "
            f"--set data.side, or fewer model.filters"
        )
    passed = []
    for level, width in enumerate(filters, start=1):
        x = _convolved(x, width, f"down_{level}", norm)
        if level < len(filters):
            passed.append(x)
            x = keras.layers.MaxPooling2D(name=f"pool_{level}")(x)
    for level in range(len(filters) - 1, 0, -1):
        x = keras.layers.UpSampling2D(name=f"double_{level}")(x)
        x = keras.layers.Concatenate(name=f"join_{level}")([passed.pop(), x])
        x = _convolved(x, filters[level - 1], f"up_{level}", norm)
    outputs = keras.layers.Conv2D(classes, 1, dtype="float32", name="logits")(x)
    return keras.Model(inputs, outputs, name="unet")


def _convolved(x: keras.KerasTensor, width: int, name: str, norm: bool) -> keras.KerasTensor:
    x = keras.layers.Conv2D(width, 3, padding="same", use_bias=not norm, name=name)(x)
    if norm:
        x = keras.layers.BatchNormalization(name=f"{name}_bn")(x)
    return keras.layers.ReLU(name=f"{name}_relu")(x)
