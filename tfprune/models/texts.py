"""Networks that read words."""

from __future__ import annotations

from tfprune.adapters.backend import keras
from tfprune.utils.checks import check_fraction, check_whole, check_whole_numbers
from tfprune.utils.errors import ModelError


def text_pool(
    input_shape: tuple[int, ...],
    classes: int,
    *,
    words: int = 5000,
    dimensions: int = 32,
    hidden: tuple[int, ...] = (32,),
    dropout: float = 0.2,
) -> keras.Model:
    """Embeds words and takes the mean and the maximum over a text, then dense layers.

    Args:
        input_shape: of a text: how many words it has, filled up with 0.
        classes: number of logits.
        words: numbers that words can have.
        dimensions: of the embedding.
        hidden: units of the dense layers before the logits.
        dropout: fraction of the inputs of the logits that is dropped in training, in [0, 1).
    """
    if len(input_shape) != 1:
        raise ModelError(f"model text_pool needs texts (--text COLUMN), the examples have the shape {input_shape}")
    words, dimensions = check_whole("model.words", words, least=2), check_whole("model.dimensions", dimensions, least=1)
    units, rate = check_whole_numbers("model.hidden", hidden), check_fraction("model.dropout", dropout)
    inputs = keras.layers.Input(input_shape, dtype="int64", name="words")
    x = keras.layers.Embedding(words, dimensions, name="embedding")(inputs)
    pooled = [
        keras.layers.GlobalAveragePooling1D(name="mean")(x),
        keras.layers.GlobalMaxPooling1D(name="maximum")(x),
    ]
    x = keras.layers.Concatenate(name="pooled")(pooled)
    for number, width in enumerate(units, start=1):
        x = keras.layers.Dense(width, activation="relu", name=f"dense_{number}")(x)
    x = keras.layers.Dropout(rate, name="dropout")(x) if rate else x
    return keras.Model(inputs, keras.layers.Dense(classes, dtype="float32", name="logits")(x), name="text_pool")
