"""Model files of either Keras, without a run: read, written whole in the same format, loaded again and compared."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import tempfile
import warnings
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tfprune.adapters import adapter_of, is_keras3
from tfprune.adapters.loading.archives import HDF5
from tfprune.adapters.loading.gate import load_model
from tfprune.exporting.conversion import drafted, writing
from tfprune.exporting.named import ANY_SIDE, LARGER_SIDE, examples_like, of_graph
from tfprune.pruning.counts import path_bytes
from tfprune.utils.errors import ConfigError, ModelError
from tfprune.utils.text import one_line

TOLERANCE = 1e-5  # largest difference of an output, as a share of its largest number if that is above 1
EXAMPLES = 4  # made up, on which a written file is compared with the model
SAVED_MODEL = "saved_model.pb"


@dataclasses.dataclass(frozen=True)
class ModelFile:
    """A model that was read from a file, not compiled.

    Attributes:
        path: the file, or the folder of a SavedModel.
        model: of the Keras that wrote it.
    """

    path: Path
    model: Any

    @property
    def form(self) -> str:
        """How it is stored: `keras`, `h5` or `savedmodel`."""
        return form_of(self.path)

    @property
    def written_by(self) -> str:
        """The Keras that wrote it, as people call it."""
        return "Keras 3" if is_keras3(self.model) else "tf_keras"


@dataclasses.dataclass(frozen=True)
class Size:
    """What a model in a file comes to.

    Attributes:
        parameters, zeros: numbers that it holds, and how many of them are zero.
        kernel_weights, kernel_zeros: the same of those that can be pruned.
        macs: multiply-adds of an example's forward pass; with those of `uncounted` layers left out.
        uncounted: names of layers whose multiply-adds are not all counted.
        raw, gzip: bytes of the file without the state of an optimizer.
    """

    parameters: int
    zeros: int
    kernel_weights: int
    kernel_zeros: int
    macs: int
    uncounted: tuple[str, ...]
    raw: int
    gzip: int

    @property
    def sparsity(self) -> float:
        """Share of the kernel weights that is zero."""
        return self.kernel_zeros / max(1, self.kernel_weights)


def form_of(path: Path) -> str:
    """Returns how a model at a path is stored, by how the path ends: `keras`, `h5` or `savedmodel`."""
    suffix = path.suffix.lower()
    return "h5" if suffix in HDF5 else "keras" if suffix == ".keras" and not path.is_dir() else "savedmodel"


def read_model(path: Path) -> ModelFile:
    """Opens a `.keras` or HDF5 file of either Keras or a SavedModel of tf_keras, see `gate.load_model`.

    Raises:
        ModelError: there is no such model, it cannot be opened, it has parts that are not allowed or no weights.
    """
    if not path.exists():
        raise ModelError(f"{path}: there is no such file or folder; a model is a .keras or .h5 file or a SavedModel")
    if path.is_dir() and not (path / SAVED_MODEL).is_file() and (path / "metrics.json").is_file():
        raise ModelError(
            f"{path}: this is the folder of a run, and a model file is needed; see `tfprune export {path}`"
        )
    found = ModelFile(path, load_model(path))
    adapter_of(found.model).check(found.model, copied=False)
    return found


def check_target(path: Path, source: Path, *, force: bool, same_form: bool = True) -> None:
    """Looks, before anything is computed, whether a file may be written.

    Args:
        path: to be written.
        source: the model that it is made of.
        force: whether a file that is there may be replaced.
        same_form: whether it is stored as the source is.

    Raises:
        ConfigError: it would replace the source, a file that is there, or a folder that is no SavedModel; or its name
            is that of another format than the source's.
    """
    if source.is_file() and form_of(source) == "savedmodel":
        raise ConfigError(f"{source}: this is no .keras or .h5 file, and no SavedModel, which is a folder")
    if same_form and form_of(path) != form_of(source):
        ends = {"keras": ".keras", "h5": ".h5", "savedmodel": "no suffix: it is a folder"}[form_of(source)]
        raise ConfigError(
            f"{path}: the file is stored as {source} is, so its name must end in {ends}; tfprune export changes formats"
        )
    if same_form and form_of(path) == "savedmodel" and path.suffix:
        raise ConfigError(f"{path}: a SavedModel is a folder, and its name has no suffix, got {path.suffix!r}")
    if path.exists() and path.samefile(source):
        raise ConfigError(f"{path}: this is the model that is read; name another file to write")
    inside = source.is_dir() and source.resolve() in path.resolve().parents
    if inside or path.resolve() in source.resolve().parents:
        raise ConfigError(f"{path}: this would change the folder of the model that is read; name another place")
    if path.exists() and not force:
        raise ConfigError(f"{path}: is there already; --force replaces it")
    if path.is_dir() and any(path.iterdir()) and not (path / SAVED_MODEL).is_file():
        raise ConfigError(f"{path}: this folder holds no SavedModel, and is not replaced")
    if path.is_dir() and form_of(path) != "savedmodel":
        raise ConfigError(f"{path}: this is a folder, and a file is to be written")


def write_model(model: Any, path: Path, *, force: bool) -> str:
    """Writes a model without its optimizer, loads it again and compares it before it counts.

    Args:
        model: of either Keras. Of Keras 3 it is a `.keras` or HDF5 file.
        path: says by its end how it is stored; replaced in one go.
        force: whether a file that is there may be replaced.

    Returns:
        Why its outputs were not compared, its weights alone; "" where they were.

    Raises:
        ModelError: what was written holds other weights, or answers differently.
        RunError: the path cannot be written.
    """
    with writing(path), drafted(path) as draft:
        _save(model, draft)
        again = load_model(draft)
        _check_weights(model, again, path)
        remark = _check_answers(model, again, path)
        if path.exists() and not force:
            raise ConfigError(f"{path}: is there now, and was not when this began; nothing was written")
    return remark


def size_of(model: Any, file: Path | None = None, include: Collection[str] = ()) -> Size:
    """Counts what a model comes to.

    Args:
        model: of either Keras.
        file: that holds it without an optimizer; None writes one for a moment, a `.keras` file.
        include: weights that count as kernels, as for `tfprune.prune`.
    """
    layers = adapter_of(model).layers(model, include)
    return Size(
        parameters=sum(layer.parameters for layer in layers),
        zeros=sum(layer.all_zeros for layer in layers),
        kernel_weights=sum(layer.kernel_weights for layer in layers),
        kernel_zeros=sum(layer.zeros for layer in layers),
        macs=sum(layer.macs or 0 for layer in layers),
        uncounted=tuple(layer.name for layer in layers if not layer.counted),
        **path_bytes(file),
    )


def size_in_file(model: Any, like: Path, include: Collection[str] = ()) -> Size:
    """Counts what a model comes to, in a file as `like` without the state of an optimizer."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / like.name
        _save(model, file)
        return size_of(model, file, include)


def _save(model: Any, path: Path) -> None:
    form = form_of(path)
    optimizer = {} if form == "keras" else {"include_optimizer": False}
    kind = {} if is_keras3(model) else {"save_format": {"savedmodel": "tf"}.get(form, form)}
    try:
        with _quiet():
            model.save(str(path), **optimizer, **kind)
    except (NotImplementedError, TypeError, ValueError) as error:  # a class without a configuration, and the like
        raise ModelError(f"{path}: Keras cannot save this model ({one_line(error)})") from None
    except Exception as error:
        if isinstance(error, OSError) or type(error).__module__.partition(".")[0] != "tensorflow":
            raise
        raise ModelError(f"{path}: TensorFlow cannot write this model ({one_line(error)})") from None


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Holds back what both Keras warn and log of formats while they save."""
    logger, absl = logging.getLogger("tensorflow"), logging.getLogger("absl")
    levels = [own.level for own in (logger, absl)]
    for own in (logger, absl):
        own.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for own, level in zip((logger, absl), levels, strict=True):
            own.setLevel(level)


def _check_weights(model: Any, again: Any, path: Path) -> None:
    weights, read = model.get_weights(), again.get_weights()
    if [own.shape for own in weights] != [own.shape for own in read]:
        raise ModelError(f"{path}: what was written holds other weights than the model; nothing was kept")
    for own, other in zip(weights, read, strict=True):
        if not np.array_equal(np.asarray(own), np.asarray(other), equal_nan=own.dtype.kind == "f"):
            raise ModelError(f"{path}: what was written holds other numbers than the model; nothing was kept")


def _check_answers(model: Any, again: Any, path: Path) -> str:
    examples, expected, problem = _answered(model, ANY_SIDE)
    if problem:
        examples, expected, problem = _answered(model, LARGER_SIDE)
    if problem:
        return f"its outputs were not compared, its weights were: it takes no made-up inputs ({problem})"
    given = answers(again, examples)
    for name, own in expected.items():
        other = given.get(name)
        if other is None or other.shape != own.shape:
            raise ModelError(f"{path}: the file that was written returns no {name} as the model does; nothing was kept")
        own, other = own.astype(np.float64), other.astype(np.float64)
        scale = max(1.0, float(np.max(np.abs(own), initial=0.0, where=np.isfinite(own))))
        if not np.allclose(own, other, rtol=0, atol=TOLERANCE * scale, equal_nan=True):
            raise ModelError(f"{path}: the file that was written answers differently than the model; nothing was kept")
    return ""


def _answered(model: Any, side: int) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], str]:
    """Returns made-up examples, what a model answers, and why it does not; "" if it does."""
    try:
        examples = examples_like(model, EXAMPLES, side)
        return examples, answers(model, examples), ""
    except ImportError:
        raise
    except Exception as error:  # of any library: what a model makes of numbers that nobody made for it
        return {}, {}, one_line(error, 100)


def answers(model: Any, examples: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns what a functional or sequential model of either Keras answers, by name."""
    with _quiet():
        found = of_graph(model).call(examples)
    if is_keras3(model):
        from tfprune.adapters.backend import keras3

        return {name: keras3().ops.convert_to_numpy(own) for name, own in found.items()}
    return {name: np.asarray(own) for name, own in found.items()}
