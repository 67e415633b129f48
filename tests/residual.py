"""A model of our own with residual branches, for tables; `--model residual:tower`."""

from tfprune.adapters.backend import keras

L = keras.layers
BRANCHES = ("one", "two", "three", "four")


def tower(input_shape, classes, width=8, norm=True):
    """Four branches of different widths, each ended by BatchNorm (if `norm`), beside one that is no branch."""
    inputs = L.Input(input_shape)
    x = L.Dense(width, "relu", name="stem")(inputs)
    for depth, name in enumerate(BRANCHES, start=1):
        y = L.Dense(4 * depth, "relu", name=name)(x)
        y = L.Dropout(0.1, name=f"{name}_dropout")(L.Dense(width, use_bias=not norm, name=f"{name}_out")(y))
        y = L.BatchNormalization(name=f"{name}_bn")(y) if norm else y
        x = L.ReLU(name=f"{name}_relu")(L.Add(name=f"{name}_add")([x, y]))
    x = L.Add(name="both")([L.Dense(6, name="left")(x), L.Dense(6, name="right")(x)])
    return keras.Model(inputs, L.Dense(classes, name="logits")(x), name="tower")
