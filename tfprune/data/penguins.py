"""Palmer penguins, read and split exactly as in the class project."""

from __future__ import annotations

from pathlib import Path

from tfprune.adapters.backend import tf
from tfprune.data._base import Data, DatasetSpec, Inputs, Split
from tfprune.data._csv import number, read_columns, text, whole
from tfprune.utils.seeds import derive

CSV = Path(__file__).with_name("penguins.csv")
LABELS = ("Adelie", "Chinstrap", "Gentoo")
TARGET = "species"
CATEGORIES = {  # alphabetical, one-hot
    "island": ("Biscoe", "Dream", "Torgersen"),
    "sex": ("female", "male"),
    "year": (2007, 2008, 2009),
}
SCALES = {"bill_length_mm": 50.0, "bill_depth_mm": 20.0, "flipper_length_mm": 200.0, "body_mass_g": 5000.0}
COLUMNS = {"island": text} | dict.fromkeys(SCALES, number) | {"sex": text, "year": whole}  # in the model's order
DESCRIBED = tuple(  # what `encode` does
    {"column": name, "kind": "number", "subtract": 0.0, "divide_by": SCALES[name]}
    if name in SCALES
    else {"column": name, "kind": "one-hot", "categories": list(CATEGORIES[name])}
    for name in COLUMNS
)
TRAIN, VALIDATION = 200, 100  # the remaining 33 are the test split


def encode(columns: dict[str, tf.Tensor]) -> tf.Tensor:
    """Turns raw columns into the 12 inputs of the model.

    Args:
        columns: the seven columns of the CSV by name, each of shape [rows].

    Returns:
        float32 [rows, 12]: island (3), bill length, bill depth, flipper length, body mass, sex (2), year (3).

    Raises:
        tf.errors.InvalidArgumentError: a category is unknown; the message lists the known ones.
    """
    parts = []
    for name in COLUMNS:
        if name in SCALES:
            parts.append(tf.cast(columns[name], tf.float32)[:, tf.newaxis] / SCALES[name])
            continue
        hits = tf.equal(columns[name][:, tf.newaxis], tf.constant(CATEGORIES[name], columns[name].dtype))
        known = ", ".join(map(str, CATEGORIES[name]))
        check = tf.debugging.Assert(tf.reduce_all(tf.reduce_any(hits, axis=1)), [f"{name} must be one of {known}"])
        with tf.control_dependencies([check]):
            parts.append(tf.cast(hits, tf.float32))
    return tf.concat(parts, axis=1)


def load(
    data_dir: Path | None = None, seed: int = 0, stream: str = "auto", *, row_order: list[int] | None = None
) -> Data:
    """Reads the embedded CSV, drops rows with a missing field (333 remain) and splits it 200 / 100 / 33.

    Args:
        data_dir: not used; the data are part of the package.
        seed: the run's seed, which decides the order of the rows.
        stream: not used.
        row_order: a permutation of the 333 rows to use instead.
    """
    import numpy as np

    columns = read_columns(CSV, COLUMNS | {TARGET: text}, drop_incomplete=True)
    y = np.array([LABELS.index(label) for label in columns.pop(TARGET)], np.int64)
    x = encode({name: tf.constant(cells) for name, cells in columns.items()}).numpy()
    if row_order is None:
        row_order = np.random.default_rng(derive(seed, "split")).permutation(len(y))
    train, validation, test = np.split(np.asarray(row_order), [TRAIN, TRAIN + VALIDATION])
    dtypes = {text: "string", number: "float32", whole: "int64"}
    return Data(
        train=Split(x[train], y[train]),
        validation=Split(x[validation], y[validation]),
        test=Split(x[test], y[test]),
        labels=LABELS,
        target=TARGET,
        inputs={
            "serving_default": Inputs(
                {name: (dtypes[kind], ()) for name, kind in COLUMNS.items()}, encode, described=DESCRIBED
            )
        },
    )


PENGUINS = DatasetSpec(
    summary="333 penguins of 3 species: 7 measurements as 12 inputs, 200 / 100 / 33 rows",
    source="Gorman, Williams & Fraser 2014, doi:10.1371/journal.pone.0090081, as in palmerpenguins (CC0)",
    load=load,
    model="mlp",
    model_settings={"hidden": (12,), "output_activation": "tanh", "initializer": "fan_in_uniform"},
    epochs=4000,
    batch_size=50,
    learning_rate=1e-4,
    optimizer="adam",
    optimizer_settings={"epsilon": 1e-8},
    shuffle=False,
)
