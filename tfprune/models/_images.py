"""What all image models begin and end with."""

from __future__ import annotations

from typing import Any

from tfprune.adapters.backend import keras
from tfprune.utils.errors import ModelError


def image_input(
    name: str, input_shape: tuple[int, ...], *, least: int = 1, library: Any = keras
) -> tuple[keras.KerasTensor, ...]:
    """Returns the input, uint8 as images are stored, and the same in [-1, 1].

    Args:
        name: of the model, for the error message.
        input_shape: height, width and channels.
        least: smallest height and width that the model can shrink.
        library: the Keras that makes it.

    Raises:
        ModelError: the examples are no images, or too small ones.
    """
    if len(input_shape) != 3 or min(input_shape[:2]) < least:
        shape = " x ".join(map(str, input_shape))
        raise ModelError(f"model {name} needs images of at least {least} x {least} pixels, the examples are {shape}")
    inputs = library.layers.Input(input_shape, dtype="uint8", name="images")
    return inputs, library.layers.Rescaling(1 / 127.5, offset=-1.0, name="rescale")(inputs)


def logits(x: keras.KerasTensor, classes: int, *, library: Any = keras, **kwargs: Any) -> keras.KerasTensor:
    """Returns the classifier on top; float32 under mixed precision too."""
    return library.layers.Dense(classes, dtype="float32", name="logits", **kwargs)(x)


def decay(l2: float) -> keras.regularizers.Regularizer | None:
    """Returns the penalty of `l2` times the sum of a kernel's squares, None for 0."""
    return keras.regularizers.L2(l2) if l2 else None
