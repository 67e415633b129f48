"""The models. A new one is a file beside this one (or a function in one) and a line in `MODELS`.

A model is a function `(input_shape, classes, *, settings...) -> keras.Model` that returns logits.
"""

from tfprune.registry import Registry

MODELS = Registry("model", {"mlp": "tfprune.models.mlp:mlp"})
