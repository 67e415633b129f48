"""`tfprune.export`: any Keras model in any format, with all its inputs and outputs, compared before it counts."""

from __future__ import annotations

import dataclasses
import functools
import keyword
import logging
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tfprune.adapters import is_keras3
from tfprune.adapters.backend import keras, tf
from tfprune.adapters.loading.gate import reload_keras3
from tfprune.adapters.tf_keras.layers import has_graph, leaf_layers
from tfprune.adapters.tf_keras.wrappers import Masked
from tfprune.adapters.tf_keras.wrapping import strip
from tfprune.exporting.conversion import FIRST_BATCHES, chosen_format, drafted, must_answer, unread, writing
from tfprune.exporting.formats import FORMATS
from tfprune.exporting.formats._base import CALIBRATION, NamedAnswer, Served
from tfprune.exporting.formats.h5 import by_name, its_own_affairs
from tfprune.exporting.named import Named, examples_of, of_any
from tfprune.exporting.of_keras3 import OF_GRAPHS, check_backend, ready
from tfprune.pruning.counts import path_bytes
from tfprune.training.precision import in_float32
from tfprune.utils.errors import ConfigError, ModelError, choose_from

log = logging.getLogger(__name__)

TOLERANCE = 1e-4  # largest difference of an output, as a share of its largest number if that is above 1
MUCH = 0.1  # of the largest number of an output: what quantizing changes by more is pointed out
COMPARED = 256  # examples
BATCH = 32


@dataclasses.dataclass(frozen=True)
class Export:
    """What came of an export.

    Attributes:
        path: the file or folder.
        examples: how many were compared.
        differences: output -> the largest difference of one of its numbers, in the unit of the output.
        largest: output -> the largest of its numbers, of either sign, as the model returns them.
        raw, gzip: bytes.
        unread: a line on each library that the format is for too, and that does not read this file.

    >>> import tempfile
    >>> import numpy as np
    >>> import tf_keras as keras
    >>> import tfprune
    >>> model = keras.Sequential([keras.layers.Dense(3, input_shape=(4,), name="kind")])
    >>> done = tfprune.export(model, f"{tempfile.mkdtemp()}/model.tflite", np.ones((8, 4)))
    >>> done.examples, list(done.differences), max(done.differences.values()) < 1e-5
    (8, ['kind'], True)
    """

    path: Path
    examples: int
    differences: Mapping[str, float]
    largest: Mapping[str, float]
    raw: int
    gzip: int
    unread: tuple[str, ...] = ()


def export(model: keras.Model, path: str | Path, data: Any, *, format: str = "", quantize: str = "none") -> Export:
    """Writes a Keras model in another format, loads the file again and compares each output before it counts.

    The file has the model's inputs and outputs by name: the keys, where the model takes or returns a dict, and the
    names of layers otherwise. What the outputs are is not changed. To export the model of a run, with its labels and
    preprocessing, use `tfprune export RUN`.

    Args:
        model: a model of tf_keras or Keras 3 with any inputs and outputs; a subclassed one only as a graph
            (`savedmodel`, `tflite`, `onnx`).
        path: file or folder to write; replaced in one go.
        data: some examples, as the model takes them: an array, a list of them in the order of its inputs, or a dict by
            name. The file is compared on the first 256 of them, in batches of several sizes; int8 is calibrated on 256
            drawn from all.
        format: see `tfprune list`; "" goes by how the path ends, without a suffix it is a SavedModel.
        quantize: what numbers are stored as: `none`, `dynamic`, `int8` or `float16`, if the format can; a warning
            names outputs that then differ by more than a tenth of their largest number.

    Raises:
        TfpruneError: the format cannot hold the model, or the file answers differently.

    >>> import tempfile
    >>> import numpy as np
    >>> import tf_keras as keras
    >>> import tfprune
    >>> size, kind = keras.layers.Input((4,), name="size"), keras.layers.Input((2,), name="kind")
    >>> both = keras.layers.Concatenate()([size, kind])
    >>> outputs = [keras.layers.Dense(3, name="a")(both), keras.layers.Dense(1, name="b")(both)]
    >>> model = keras.Model([size, kind], outputs)
    >>> data = {"size": np.ones((8, 4)), "kind": np.zeros((8, 2))}
    >>> done = tfprune.export(model, f"{tempfile.mkdtemp()}/model.h5", data)
    >>> done.differences
    {'a': 0.0, 'b': 0.0}
    """
    path = Path(path)
    name = format or _by_suffix(path)
    chosen = chosen_format(name, quantize, path)
    model = _ready(model, name)
    named = of_any(model, data)
    examples = examples_of(named, data)
    if name in OF_GRAPHS:
        _check_arguments(named)
    specs = {key: tf.TensorSpec(shape, tf.as_dtype(dtype), name=key) for key, (shape, dtype) in named.inputs.items()}
    served = Served(model, specs, named.call, lambda: _drawn(examples))
    compared = {key: own[:COMPARED] for key, own in examples.items()}
    batches = list(_batches(compared))
    with its_own_affairs():
        expected = [_numpy(named.call(batch)) for batch in batches]
    is_layers = is_keras3(model) and name not in OF_GRAPHS  # perhaps of a person's own, which this process knows
    with writing(path), drafted(path) as draft:
        chosen.write_named(served, draft, quantize)
        with must_answer(path, quantize):
            answer = by_name(reload_keras3(draft)) if is_layers else chosen.load_named(draft)
            differences = _differences(path, answer, batches, expected, quantize == "none")
        lines = [
            unread(library, lambda load=load: _differences(path, load(draft), batches[:2], expected, True), draft)
            for library, load in chosen.others_named.items()
        ]
    largest = {name: max(_largest(own[name]) for own in expected) for name in expected[0]}
    if far := [name for name, own in differences.items() if own > MUCH * largest[name]]:
        log.warning(
            "%s: as %s, %s by more than %.0f %% of the largest number",
            path,
            quantize,
            ", ".join(f"output {name} differs" for name in far),
            100 * MUCH,
        )
    size = path_bytes(path)
    count = len(next(iter(compared.values())))
    return Export(path, count, differences, largest, size["raw"], size["gzip"], tuple(line for line in lines if line))


def answer_of_file(model: Any, path: Path, data: Any, format: str) -> Callable[[], Any]:
    """Writes a model as `export` does and returns a call that answers to the examples by that file.

    The file may be removed afterwards.
    """
    chosen, model = chosen_format(format, "none", path), _ready(model, format)
    examples = examples_of(of_any(model, data), data)
    export(model, path, data, format=format)
    return functools.partial(chosen.load_named(path), examples)


def _by_suffix(path: Path) -> str:
    found = [name for name in FORMATS if path.suffix.lower() in (FORMATS[name].suffix, *FORMATS[name].only)]
    if not found:
        raise ConfigError(
            f"{path}: {path.suffix!r} says no format; give it with format=. {choose_from(path.suffix, FORMATS)}"
        )
    return found[0]


def _ready(model: Any, name: str) -> Any:
    """Returns a model of either Keras, without wrappers, in float32."""
    if is_keras3(model):
        check_backend(name)
        return ready(model)
    if not isinstance(model, keras.Model):
        hint = "; pass its .model" if isinstance(getattr(model, "model", None), keras.Model) else ""
        raise ModelError(f"only Keras models are exported, got {type(model).__name__}{hint}")
    if isinstance(model, keras.Sequential) and not model.built:
        raise ModelError("the model has no shape of inputs yet; begin it with keras.layers.Input(shape)")
    if any(getattr(layer, "stateful", False) and isinstance(layer, keras.layers.RNN) for layer in leaf_layers(model)):
        raise ModelError("the model is stateful: it answers by what it was asked before, which no format holds")
    if has_graph(model):
        if any(isinstance(layer, Masked) for layer in model._flatten_layers()):
            model = strip(model)
        return in_float32(model)
    return model


def _check_arguments(named: Named) -> None:
    for name in named.inputs:
        if not name.isidentifier() or keyword.iskeyword(name) or name == "self":
            raise ModelError(
                f"input {name!r} must be called as a variable can be: letters, digits and underscores, no word of "
                "Python's own and not self"
            )


def _drawn(examples: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Returns examples to calibrate with: a draw that is always the same."""
    count = len(next(iter(examples.values())))
    chosen = np.sort(np.random.default_rng(0).permutation(count)[:CALIBRATION])
    return {name: own[chosen] for name, own in examples.items()}


def _batches(examples: Mapping[str, np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
    """Yields the examples in batches of several sizes; few examples are given more than once."""
    count = len(next(iter(examples.values())))
    for size in FIRST_BATCHES:
        places = np.arange(size) % count
        yield {name: own[places] for name, own in examples.items()}
    for start in range(0, count, BATCH):
        yield {name: own[start : start + BATCH] for name, own in examples.items()}


def _numpy(answers: Mapping[str, Any]) -> dict[str, np.ndarray]:
    return {name: np.asarray(own) for name, own in answers.items()}


def _differences(
    path: Path,
    answer: NamedAnswer,
    batches: list[dict[str, np.ndarray]],
    expected: list[dict[str, np.ndarray]],
    exact: bool,
) -> dict[str, float]:
    """Returns the largest difference of each output.

    Raises:
        ModelError: the outputs have other names or shapes, or differ by more than `TOLERANCE` and are `exact`.
    """
    differences = dict.fromkeys(expected[0], 0.0)
    for batch, wanted in zip(batches, expected, strict=False):
        given = answer(batch)
        if set(given) != set(wanted):
            raise ModelError(
                f"{path}: it returns {', '.join(sorted(given))}, and the model {', '.join(sorted(wanted))}"
            )
        size = len(next(iter(batch.values())))
        for name, own in wanted.items():
            shape = given[name].shape
            if shape != own.shape:
                raise ModelError(
                    f"{path}: of {size} examples output {name} has the shape {shape}, the model's {own.shape}"
                )
            difference = _difference(given[name], own)
            most = _tolerance(own) if own.dtype.kind == "f" else TOLERANCE
            if not np.isfinite(difference) or (exact and difference > most):
                raise ModelError(
                    f"{path}: of {size} examples output {name} differs from the model's by {difference:.2g}"
                )
            differences[name] = max(differences[name], difference)
    return differences


def _tolerance(numbers: np.ndarray) -> float:
    """Returns the largest difference: `TOLERANCE`, or some of the last digits of what has fewer."""
    return max(TOLERANCE, 8 * float(np.finfo(numbers.dtype).eps)) * max(1.0, _largest(numbers))


def _largest(numbers: np.ndarray) -> float:
    """Returns the largest finite number, of either sign; 0 if there is none."""
    if numbers.dtype.kind not in "biuf":
        return 0.0
    numbers = np.asarray(numbers, np.float64)
    return float(np.max(np.abs(numbers[np.isfinite(numbers)]), initial=0.0))


def _difference(given: np.ndarray, wanted: np.ndarray) -> float:
    """Returns the largest difference; NaN and infinities count as equal to themselves alone."""
    if wanted.dtype.kind not in "biuf":
        return 0.0 if np.array_equal(given.astype(object), wanted.astype(object)) else np.inf
    given, wanted = np.asarray(given, np.float64), np.asarray(wanted, np.float64)
    apart = ~((given == wanted) | (np.isnan(given) & np.isnan(wanted)))
    differences = np.abs(given[apart] - wanted[apart])
    return float(np.max(np.where(np.isnan(differences), np.inf, differences), initial=0.0))
