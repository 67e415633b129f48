"""Arrays of a user's own, in a NumPy `.npz` file."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from tfprune.data._base import Data, DatasetSpec, Inputs, Split
from tfprune.data._standardising import deviation_of
from tfprune.data._targets import read_targets
from tfprune.data._user import Source
from tfprune.data.folder import images_spec
from tfprune.data.objectives import AUTO, DEFAULT, OBJECTIVES
from tfprune.data.objectives._base import Targets
from tfprune.data.objectives.classification import classes_of
from tfprune.data.table import rows_spec
from tfprune.utils.checks import check_choice, check_switch, check_whole_numbers
from tfprune.utils.errors import BROKEN_ARCHIVE, DataError
from tfprune.utils.fingerprints import fingerprint
from tfprune.utils.text import one_line, percent

if TYPE_CHECKING:
    import numpy as np

    from tfprune.adapters.backend import tf

ALONE = ("x", "y")
BY_SPLIT = {
    "train": (("x_train", "y_train"),),
    "validation": (("x_validation", "y_validation"), ("x_val", "y_val"), ("x_valid", "y_valid")),
    "test": (("x_test", "y_test"),),
}
NOTICED = 0.001  # of a column's standard deviation, lost by rounding
NEEDED = "x and y, or x_train and y_train (and x_validation, y_validation, x_test, y_test)"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arrays(Source):
    """Arrays `x` and `y`, or `x_train`, `y_train`, `x_test` and so on; `y` holds classes, numbers, or rows of 0 and 1.

    Args:
        standardise: whether rows of numbers (x of two dimensions) are standardised by the training split's mean and
            deviation; the exported model does it too.
        shape: of an example, found.
        dtype: of an example, found.
    """

    found: ClassVar[tuple[str, ...]] = ("examples", "fingerprint", "shape", "dtype")
    tasks: ClassVar[tuple[str, ...]] = ("classification", "regression", "multilabel")

    standardise: bool = True
    shape: tuple[int, ...] = ()
    dtype: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_switch("data.standardise", self.standardise)
        self._store("shape", check_whole_numbers("data.shape", self.shape))
        check_choice("data.dtype", self.dtype, ("", "uint8", "float32"))

    def described(self, path: str, data_dir: Path | None) -> Arrays:
        with _opened(Path(path)) as arrays:
            x = arrays[_pairs(arrays, path)["train"][0]]
            shape, dtype = _example_shape(x, path), _dtype(x)
            labels = {y: arrays[y] for _, y in _pairs(arrays, path).values()}
        task = self.task if self.task != AUTO else _task(next(iter(labels.values())))
        count = sum(len(_labels(y, name, path, task)) for name, y in labels.items())
        found = {"examples": count, "shape": shape, "dtype": dtype, "task": task}
        return dataclasses.replace(self, **found, fingerprint=fingerprint([Path(path)]))

    def load(self, path: str, data_dir: Path | None, stream: str) -> Data:
        import numpy as np

        from tfprune.data._splits import three_splits

        with _opened(Path(path)) as arrays:
            pairs = _pairs(arrays, path)
            parts = {split: (arrays[x], _labels(arrays[y], y, path, self.task)) for split, (x, y) in pairs.items()}
        for split, (x, y) in parts.items():
            name = pairs[split][0]
            if len(x) != len(y):
                raise DataError(f"{path}: {name} has {len(x):,} examples and {pairs[split][1]} has {len(y):,}")
            if "uint8" in {_dtype(x), self.dtype} and x.dtype != parts["train"][0].dtype:
                raise DataError(
                    f"{path}: examples of {name} are {x.dtype}, those of the training {parts['train'][0].dtype}; save "
                    "both alike, in the same unit"
                )
            if _example_shape(x, path) != self.shape:
                raise DataError(f"{path}: examples of {name} are {x.shape[1:]}, those of the training {self.shape}")
            if x.dtype.kind == "f" and not np.all(np.isfinite(x)):
                raise DataError(f"{path}: {name} has values that are not finite; fill them in or leave those rows out")
        warnings = _rounded(parts["train"][0], pairs["train"][0]) if len(self.shape) == 1 else []
        name = pairs["train"][1]
        targets = _targets(np.concatenate([y for _, y in parts.values()]), name, path, self.task)
        with np.errstate(over="ignore"):  # looked for below
            x = np.concatenate([x.reshape(len(x), *self.shape).astype(self.dtype) for x, _ in parts.values()])
        ends = np.cumsum([len(own) for own, _ in parts.values()])
        given = {name: np.arange(end - len(parts[name][1]), end) for name, end in zip(parts, ends, strict=True)}
        try:
            strata = np.zeros(len(targets.y), np.int64) if targets.strata is None else targets.strata
            labels = () if targets.strata is None else targets.labels
            how = {"validation": self.validation, "test": self.test, "seed": self.split_seed}
            places = three_splits(strata, given, labels, **how)
        except DataError as error:
            raise DataError(f"{path}: {error}") from None
        inputs = self._inputs(x[places["train"]])
        if len(self.shape) == 1:
            x = _encoded(inputs["serving_default"], x)
        if not np.all(np.isfinite(x)):
            raise DataError(f"{path}: {pairs['train'][0]} has values that are too large for float32; divide them")
        objective = OBJECTIVES[self.task].fitted(targets.y[places["train"]])
        y = objective.encoded(targets.y)
        return Data(
            **{name: Split(x[own], y[own]) for name, own in places.items()},
            labels=targets.labels,
            target=name,
            inputs=inputs,
            split_members=places,
            warnings=tuple(warnings),
            objective=objective,
            notes=(targets.note,) if targets.note else (),
        )

    def _inputs(self, train: np.ndarray) -> dict[str, Inputs]:
        import numpy as np

        from tfprune.data._tfds import image_inputs

        if self._are_images and self.shape[0] == self.shape[1]:
            return image_inputs(self.shape[0], self.shape[2])
        mean, deviation = 0.0, 1.0
        if len(self.shape) == 1 and self.standardise:
            with np.errstate(over="ignore", invalid="ignore"):  # `load` looks at what comes out
                mean, deviation = train.mean(axis=0, dtype="float64"), deviation_of(train)

        def encode(raw: dict[str, tf.Tensor]) -> tf.Tensor:
            return raw["x"] if self.dtype == "uint8" else (raw["x"] - as_float(mean)) / as_float(deviation)

        scales = {} if self.dtype == "uint8" else {"subtract": listed(mean), "divide_by": listed(deviation)}
        described = ({"array": "x", "shape": list(self.shape), "dtype": self.dtype, **scales},)
        return {"serving_default": Inputs({"x": (self.dtype, self.shape)}, encode, described=described)}

    @property
    def _are_images(self) -> bool:
        return len(self.shape) == 3 and self.dtype == "uint8" and self.shape[2] in (1, 3)

    def spec(self) -> DatasetSpec:
        if self._are_images:
            return images_spec(self.examples, min(self.shape[:2]), self.shape[2])
        return rows_spec(self.examples, f"{self.examples:,} arrays of shape {self.shape}")


def listed(value: Any) -> Any:
    """Returns a number, or the numbers of an array, as JSON holds them."""
    return value.tolist() if hasattr(value, "tolist") else value


def as_float(value: Any) -> np.ndarray:
    """Returns numbers as float32."""
    import numpy as np

    with np.errstate(over="ignore"):
        return np.asarray(value, np.float32)


def _encoded(inputs: Inputs, x: np.ndarray) -> np.ndarray:
    """Returns rows as the exported model encodes them; what it does to them NumPy does alike, without TensorFlow."""
    import numpy as np

    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # `load` looks at what comes out
        return np.asarray(inputs.encode({"x": x}))


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:
    import numpy as np

    try:
        with open(path, "rb") as file:
            yield np.load(file, allow_pickle=False)
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such file") from None
    except BROKEN_ARCHIVE as error:
        if "Object arrays" in str(error):
            names = ", ".join(_of_objects(path)) or "an array"
            raise DataError(
                f"{path}: {names} holds Python objects, which are stored as code and never read; save numbers or text: "
                "y.astype(str) for labels, x.astype('float32') for examples"
            ) from None
        raise DataError(f"{path}: cannot be read as .npz ({one_line(error)})") from None


def _of_objects(path: Path) -> list[str]:
    """Returns which arrays of an `.npz` file hold Python objects, from their headers alone."""
    import zipfile

    from numpy.lib import format as npy

    found = []
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            for member in archive.namelist():
                with archive.open(member) as file:
                    read = npy.read_array_header_1_0 if npy.read_magic(file) == (1, 0) else npy.read_array_header_2_0
                    if read(file)[2].hasobject:
                        found.append(member.removesuffix(".npy"))
    return found


def read_array(path: Path, name: str) -> np.ndarray:
    """Returns an array of an `.npz` file, or that of a `.npy` file.

    Raises:
        DataError: there is none.
    """
    import numpy as np

    with _opened(path) as content:
        if isinstance(content, np.ndarray):
            return content
        if name not in content:
            raise DataError(f"{path}: the file must hold an array {name!r}; it holds {', '.join(content) or 'nothing'}")
        return content[name]


def _pairs(arrays: Any, path: str) -> dict[str, tuple[str, str]]:
    """Returns split -> the names of its two arrays; `train` alone if the file has no splits."""
    if set(ALONE) <= set(arrays):
        return {"train": ALONE}
    pairs = {
        split: next((pair for pair in names if set(pair) <= set(arrays)), None) for split, names in BY_SPLIT.items()
    }
    if pairs["train"] is None:
        raise DataError(f"{path}: the file must hold {NEEDED}; it holds {', '.join(arrays) or 'nothing'}")
    return {split: pair for split, pair in pairs.items() if pair}


def _example_shape(x: np.ndarray, path: str) -> tuple[int, ...]:
    if x.dtype.kind not in "uifb" or x.ndim < 2:
        raise DataError(f"{path}: examples must be numbers of two dimensions or more, got {x.dtype} of {x.ndim}")
    if not x.size:
        raise DataError(f"{path}: there are no examples, or no numbers in them: an array has the shape {x.shape}")
    shape = tuple(map(int, x.shape[1:]))
    return (*shape, 1) if x.ndim == 3 and x.dtype == "uint8" else shape


def _dtype(x: np.ndarray) -> str:
    """Returns what examples are stored as: uint8 of images alone, since rows are standardised."""
    return "uint8" if x.dtype == "uint8" and x.ndim > 2 else "float32"


def _rounded(x: np.ndarray, name: str) -> list[str]:
    """Says which column of rows loses much when it becomes float32: its numbers are large beside their differences."""
    import numpy as np

    exact = x.astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):  # `load` looks for numbers beyond float32
        lost = abs(exact.astype(np.float32) - exact).max(axis=0) / deviation_of(exact)
    column = int(np.argmax(lost))
    if lost[column] < NOTICED:
        return []
    return [
        f"{name}: float32 rounds column {column} by {percent(min(1, lost[column]))} of its standard deviation; "
        "subtract a number that is near to all of its numbers"
    ]


def _task(y: np.ndarray) -> str:
    """Returns the task of labels: rows of 0 and 1 are several labels unless each has one 1; numbers with decimals, and
    other rows, are to be predicted; all else is of classes.
    """
    import numpy as np

    if y.ndim == 2 and y.shape[1] > 1 and y.dtype.kind in "uifb":
        if not np.all((y == 0) | (y == 1)):
            return "regression"
        return DEFAULT if np.all(y.sum(axis=1) == 1) else "multilabel"
    return "regression" if y.dtype.kind == "f" and not np.all(y == np.floor(y)) else DEFAULT


def _labels(y: np.ndarray, name: str, path: str, task: str) -> np.ndarray:
    """Returns labels of classes as `_class_names` does, others as rows."""
    if task == DEFAULT:
        return _class_names(y, name, path)
    if y.dtype.kind not in "uifb" or y.ndim not in (1, 2):
        raise DataError(f"{path}: {name} must hold numbers, one or a row of them an example, got {y.dtype} {y.shape}")
    return y.reshape(len(y), -1)


def _targets(y: np.ndarray, name: str, path: str, task: str) -> Targets:
    if task == DEFAULT:
        labels, numbers = classes_of(y, name, path)
        return Targets(labels, numbers, numbers)
    names = [name] if y.shape[1] == 1 else [f"{name}[{place}]" for place in range(y.shape[1])]
    cells = {own: column.astype(str).astype(object) for own, column in zip(names, y.T, strict=True)}
    return read_targets(task, cells, path)


def _class_names(y: np.ndarray, name: str, path: str) -> np.ndarray:
    import numpy as np

    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim != 1:
        raise DataError(
            f"{path}: {name} must hold one class an example, got shape {y.shape}; {name}.argmax(axis=1) makes such of "
            "one-hot rows"
        )
    if y.dtype.kind not in "uibSU" and not (y.dtype.kind == "f" and np.all(y == np.floor(y))):
        raise DataError(f"{path}: {name} must hold whole numbers or names of classes, got {y.dtype}")
    return y.astype(np.int64) if y.dtype.kind in "uif" else y.astype(str)
