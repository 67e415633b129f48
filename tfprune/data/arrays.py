"""Arrays of a user's own, in a NumPy `.npz` file."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from tfprune.data._base import Data, DatasetSpec, Inputs, Split
from tfprune.data._user import Source
from tfprune.data.folder import images_spec
from tfprune.data.table import classes_of, rows_spec
from tfprune.utils.checks import check_choice, check_switch, check_whole_numbers
from tfprune.utils.errors import BROKEN_ARCHIVE, DataError
from tfprune.utils.fingerprints import fingerprint
from tfprune.utils.text import one_line

if TYPE_CHECKING:
    import numpy as np

    from tfprune.adapters.backend import tf

ALONE = ("x", "y")
BY_SPLIT = {
    "train": (("x_train", "y_train"),),
    "validation": (("x_validation", "y_validation"), ("x_val", "y_val"), ("x_valid", "y_valid")),
    "test": (("x_test", "y_test"),),
}
NEEDED = "x and y, or x_train and y_train (and x_validation, y_validation, x_test, y_test)"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arrays(Source):
    """Arrays `x` and `y`, or `x_train`, `y_train`, `x_test` and so on; `y` holds numbers or names of classes.

    Args:
        standardise: whether rows of numbers (x of two dimensions) are standardised by the training split's mean and
            deviation; the exported model does it too.
        shape: of an example, found.
        dtype: of an example, found.
    """

    found: ClassVar[tuple[str, ...]] = ("examples", "fingerprint", "shape", "dtype")

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
            shape, dtype = _example_shape(x, path), "uint8" if x.dtype == "uint8" else "float32"
            count = sum(len(_class_names(arrays[y], y, path)) for _, y in _pairs(arrays, path).values())
        return dataclasses.replace(
            self, examples=count, shape=shape, dtype=dtype, fingerprint=fingerprint([Path(path)])
        )

    def load(self, path: str, data_dir: Path | None, stream: str) -> Data:
        import numpy as np

        from tfprune.data._splits import three_splits

        with _opened(Path(path)) as arrays:
            pairs = _pairs(arrays, path)
            parts = {split: (arrays[x], _class_names(arrays[y], y, path)) for split, (x, y) in pairs.items()}
        for split, (x, y) in parts.items():
            name = pairs[split][0]
            if len(x) != len(y):
                raise DataError(f"{path}: {name} has {len(x):,} examples and {pairs[split][1]} has {len(y):,}")
            if _example_shape(x, path) != self.shape:
                raise DataError(f"{path}: examples of {name} are {x.shape[1:]}, those of the training {self.shape}")
            if x.dtype.kind == "f" and not np.all(np.isfinite(x)):
                raise DataError(f"{path}: {name} has values that are not finite; fill them in or leave those rows out")
        labels, y = classes_of(np.concatenate([y for _, y in parts.values()]), pairs["train"][1], path)
        with np.errstate(over="ignore"):  # looked for below
            x = np.concatenate([x.reshape(len(x), *self.shape).astype(self.dtype) for x, _ in parts.values()])
        ends = np.cumsum([len(own) for own, _ in parts.values()])
        given = {name: np.arange(end - len(parts[name][1]), end) for name, end in zip(parts, ends, strict=True)}
        try:
            places = three_splits(y, given, labels, validation=self.validation, test=self.test, seed=self.split_seed)
        except DataError as error:
            raise DataError(f"{path}: {error}") from None
        inputs = self._inputs(x[places["train"]])
        if len(self.shape) == 1:
            x = _encoded(inputs["serving_default"], x)
        if not np.all(np.isfinite(x)):
            raise DataError(f"{path}: {pairs['train'][0]} has values that are too large for float32; divide them")
        return Data(
            **{name: Split(x[own], y[own]) for name, own in places.items()},
            labels=labels,
            target=pairs["train"][1],
            inputs=inputs,
            split_members=places,
        )

    def _inputs(self, train: np.ndarray) -> dict[str, Inputs]:
        import numpy as np

        from tfprune.data._tfds import image_inputs

        if self._are_images and self.shape[0] == self.shape[1]:
            return image_inputs(self.shape[0], self.shape[2])
        mean, deviation = 0.0, 1.0
        if len(self.shape) == 1 and self.standardise:
            with np.errstate(over="ignore", invalid="ignore"):  # `load` looks at what comes out
                mean, deviation = train.mean(axis=0, dtype="float64"), train.std(axis=0, dtype="float64")
            deviation[deviation == 0] = 1.0

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
