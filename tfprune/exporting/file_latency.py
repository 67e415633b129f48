"""How fast models in files answer, without a run: `.keras`, HDF5, SavedModels, TFLite and ONNX side by side."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfprune.adapters import adapter_of, is_keras3
from tfprune.adapters.backend import keras3, tf
from tfprune.exporting.formats import FORMATS
from tfprune.exporting.formats._base import NamedAnswer
from tfprune.exporting.latency import Latency, interleaved_latency
from tfprune.exporting.model_files import SAVED_MODEL, read_model, size_in_file
from tfprune.exporting.named import examples_like, made_up, of_graph
from tfprune.pruning.counts import path_bytes
from tfprune.utils.checks import check_whole
from tfprune.utils.errors import ConfigError, ModelError
from tfprune.utils.notebook import html_table, text_table
from tfprune.utils.text import milliseconds, one_line, printable, ratio_text

HEADERS = ("model", "kB gzipped", "batch", "ms per call", "time / first's")


@dataclasses.dataclass(frozen=True)
class Measured:
    """A model in a file.

    Attributes:
        path: the file or folder.
        kind: what it is, for people.
        answer: from examples by input to what it returns.
        inputs: name -> shape with the batch, and dtype.
        raw, gzip: bytes, without the state of an optimizer.
        model: of either Keras; None where the file has a graph alone.
        macs: multiply-adds of an example; None where they are not known.
        sparsity: share of the kernel weights that is zero; None where they are not known.
    """

    path: Path
    kind: str
    answer: NamedAnswer
    inputs: Mapping[str, tuple[tuple[int | None, ...], str]]
    raw: int
    gzip: int
    model: Any = None
    macs: int | None = None
    sparsity: float | None = None


def open_for_latency(path: Path) -> Measured:
    """Opens a model in a file of any format that tfprune reads.

    Raises:
        ModelError: there is no such model, it cannot be opened, or it has parts that are not allowed.
    """
    for name in ("tflite", "onnx"):
        if path.is_file() and path.suffix.lower() == FORMATS[name].suffix:
            answer = FORMATS[name].load_named(path)
            return Measured(path, name, answer, answer.inputs, **path_bytes(path))
    if (path / SAVED_MODEL).is_file() and not (path / "keras_metadata.pb").is_file():
        answer = FORMATS["savedmodel"].load_named(path)
        return Measured(path, "SavedModel", answer, answer.inputs, **path_bytes(path))
    found = read_model(path)
    return _of_keras(path, found.model, found.written_by, path)


def of_model(model: Any) -> Measured:
    """Returns a model in memory, with the size that it would have as a file."""
    ready = adapter_of(model)
    ready.check(model, copied=False)
    return _of_keras(Path(model.name), model, "Keras 3" if is_keras3(model) else "tf_keras", Path("model.keras"))


def _of_keras(path: Path, model: Any, kind: str, like: Path) -> Measured:
    size = size_in_file(model, like)
    return Measured(
        *(path, kind, _compiled(model), of_graph(model).inputs),
        raw=size.raw,
        gzip=size.gzip,
        model=model,
        macs=None if size.uncounted else size.macs,
        sparsity=size.sparsity,
    )


@dataclasses.dataclass(frozen=True)
class Benchmark:
    """Sizes and times of models side by side; prints itself, also in a notebook.

    Attributes:
        models: what was measured.
        times: for each size of batch, one for each model.

    >>> import tf_keras as keras
    >>> import tfprune
    >>> model = keras.Sequential([keras.layers.Dense(64, input_shape=(8,)), keras.layers.Dense(2)])
    >>> done = tfprune.bench([model], batch=(1, 4), rounds=2)
    >>> [[own.batch for own in times] for times in done.times]
    [[1], [4]]
    """

    models: Sequence[Measured]
    times: Sequence[Sequence[Latency]]

    def rows(self) -> list[tuple[str, ...]]:
        """Returns the cells of the table: the models in the order given, size of batch by size of batch."""
        found = []
        for own in self.times:
            for model, took in zip(self.models, own, strict=True):
                ratio = "" if took is own[0] else ratio_text(took.ratio(own[0]))
                size, speed = f"{model.gzip / 1000:,.1f}", milliseconds(took.median)
                found.append((printable(str(model.path)), size, f"{took.batch:,}", speed, ratio))
        return found

    def __str__(self) -> str:
        return text_table(self.rows(), HEADERS)

    def _repr_html_(self) -> str:
        return html_table(self.rows(), HEADERS)


def bench(
    models: Mapping[str, Any] | Sequence[Any] | Any, *, batch: Sequence[int] | int = (1, 32), rounds: int = 100
) -> Benchmark:
    """Measures the size and speed of models side by side, on made-up inputs.

    Args:
        models: of either Keras, functional or sequential, or paths: `.keras`, `.h5`, `.tflite` and `.onnx` files,
            SavedModels; a dict names them. All take the same inputs; the first is what the others are compared with.
        batch: examples per call, one size or several.
        rounds: interleaved calls per model.

    Raises:
        TfpruneError: a model cannot be opened, or takes other inputs than the first.

    >>> import tf_keras as keras
    >>> import tfprune
    >>> model = keras.Sequential([keras.layers.Dense(64, input_shape=(8,)), keras.layers.Dense(2)])
    >>> done = tfprune.bench([model, tfprune.shrink(model, 0.5)], batch=4, rounds=3)
    >>> [own.macs for own in done.models], [name.replace(model.name, "name") for name, *_ in done.rows()]
    ([640, 320], ['name', 'name (2)'])
    >>> [name for name, *_ in tfprune.bench({"before": model, "after": model}, batch=4, rounds=1).rows()]
    ['before', 'after']
    """
    named = dict(models) if isinstance(models, Mapping) else {}
    if isinstance(models, Mapping):
        models = list(named.values())
    listed = list(models) if isinstance(models, (list, tuple)) else [models]
    if not listed:
        raise ConfigError("models has none: give bench a model, a list or a dict of models, or paths of files")
    sizes = [check_whole("batch", size, least=1) for size in ([batch] if np.ndim(batch) == 0 else batch)]
    rounds = check_whole("rounds", rounds, least=1)
    found = [open_for_latency(Path(own)) if isinstance(own, (str, Path)) else of_model(own) for own in listed]
    names = list(named) or _told_apart([str(own.path) for own in found])
    found = [dataclasses.replace(own, path=Path(name)) for own, name in zip(found, names, strict=True)]
    checked(found)
    return Benchmark(found, [file_latencies(found, size, rounds) for size in sizes])


def _told_apart(names: Sequence[str]) -> list[str]:
    """Returns names of which none is there twice: later ones are counted."""
    return [
        f"{name} ({names[:place].count(name) + 1})" if name in names[:place] else name
        for place, name in enumerate(names)
    ]


def _compiled(model: Any) -> NamedAnswer:
    """Returns a model as a compiled function, made on its first call for each size: of TensorFlow, else Keras' own."""
    named = of_graph(model)
    if is_keras3(model) and keras3().backend.backend() != "tensorflow":
        struct, tree = (getattr(model, "_functional", None) or model)._inputs_struct, keras3().tree
        names = list(named.inputs)

        def predicted(given: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
            returned = model.predict_on_batch(tree.pack_sequence_as(struct, [given[name] for name in names]))
            return {str(number): np.asarray(own) for number, own in enumerate(tree.flatten(returned))}

        return predicted
    function = tf.function(named.call)

    def answer(given: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        tensors = {name: tf.convert_to_tensor(own) for name, own in given.items()}
        return {name: own.numpy() for name, own in function(tensors).items()}

    return answer


def file_latencies(models: Sequence[Measured], batch: int, rounds: int) -> list[Latency]:
    """Measures how long each model takes for a batch of made-up examples, see `interleaved_latency`.

    Raises:
        ConfigError: the models take other inputs than the first, or batches of one other size only.
    """
    examples = [_examples(models[0], own, batch) for own in models]
    calls = [functools.partial(own.answer, given) for own, given in zip(models, examples, strict=True)]
    return interleaved_latency(calls, batch, rounds)


def _examples(first: Measured, own: Measured, batch: int) -> dict[str, np.ndarray]:
    """Returns the same examples for each model, by its own names of inputs."""
    made = examples_like(first.model, batch) if first.model is not None else made_up(first.inputs, batch)
    fitting = set(own.inputs) == set(first.inputs)
    names = {name: name for name in made} if fitting else dict(zip(own.inputs, made, strict=False))
    if len(names) != len(made) or len(own.inputs) != len(made):
        raise ConfigError(_unlike(first, own))
    given = {name: made[other] for name, other in names.items()}
    for name, (shape, dtype) in own.inputs.items():
        if shape and shape[0] not in (None, batch):
            raise ConfigError(f"{own.path}: it takes batches of {shape[0]} alone; measure it with --batch {shape[0]}")
        sides = given[name].shape
        if len(sides) != len(shape) or any(a not in (None, b) for a, b in zip(shape[1:], sides[1:], strict=True)):
            raise ConfigError(_unlike(first, own))
        if dtype not in ("string", "object") and given[name].dtype != object:
            given[name] = given[name].astype("float32" if dtype == "bfloat16" else dtype)
    return given


def _unlike(first: Measured, own: Measured) -> str:
    def said(inputs: Mapping[str, tuple[tuple[int | None, ...], str]]) -> str:
        return ", ".join(f"{name} {shape[1:]}" for name, (shape, _) in inputs.items())

    return (
        f"{own.path} takes {said(own.inputs)}, and {first.path} takes {said(first.inputs)}: what is compared must take "
        "the same"
    )


def checked(models: Sequence[Measured]) -> None:
    """Raises `ModelError` if a model does not answer examples that nobody made for it."""
    for own in models:
        try:
            own.answer(_examples(models[0], own, own.inputs[next(iter(own.inputs))][0][0] or 1))
        except ConfigError:
            raise
        except Exception as error:  # of any library: what a model makes of such numbers
            raise ModelError(f"{own.path}: it does not answer made-up examples ({one_line(error)})") from None
