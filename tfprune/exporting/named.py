"""The inputs and outputs of any model, by name."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tfprune.adapters import adapter_of, is_keras3
from tfprune.adapters.backend import keras, keras3, tf
from tfprune.adapters.tf_keras.layers import has_graph
from tfprune.utils.errors import ConfigError, ModelError, choose_from

ANY = (
    "give the examples as the model takes them: an array, a list of them in the order of its inputs, or a dict by name"
)
ANY_SIDE = 32  # of made-up examples, where a model takes any
LARGER_SIDE = 256  # of those of models that take any and make nothing of small ones
WORDS = ("a", "word", "of", "text")


@dataclasses.dataclass(frozen=True)
class Named:
    """A model as a function from inputs by name to outputs by name.

    Args:
        inputs: name -> shape with the batch, and dtype.
        call: answers, in inference mode.
    """

    inputs: Mapping[str, tuple[tuple[int | None, ...], str]]
    call: Callable[[Mapping[str, Any]], dict[str, Any]]


def of_graph(model: Any) -> Named:
    """Describes a functional or sequential model of either Keras.

    The names are the keys where the model takes or returns a dict, and otherwise those of the layers.
    """
    tree = keras3().tree if is_keras3(model) else tf.nest  # on JAX and PyTorch no TensorFlow is needed
    if is_keras3(model):
        graph = getattr(model, "_functional", None) or model  # a sequential model holds its graph
        taken, returned = graph._inputs_struct, graph._outputs_struct
        inputs = [tensor._keras_history.operation.name for tensor in model.inputs]  # names of tensors are in no file
        outputs = _unique(graph.output_names)
    else:
        taken, returned = model._nested_inputs, model._nested_outputs
        inputs, outputs = model.input_names, model.output_names
    names, outputs = _keys_or(taken, inputs), _keys_or(returned, outputs)
    specs = {name: (tuple(own.shape), own.dtype) for name, own in zip(names, tree.flatten(taken), strict=True)}
    specs = {name: (shape, getattr(dtype, "name", dtype)) for name, (shape, dtype) in specs.items()}

    # Not asked in the call, which TensorFlow traces: AutoGraph would name all of the environment in a warning.
    of_torch = is_keras3(model) and keras3().backend.backend() == "torch"

    def call(given: Mapping[str, Any]) -> dict[str, Any]:
        answers = tree.flatten(model(tree.pack_sequence_as(taken, [given[name] for name in names]), training=False))
        if of_torch:  # whose tensors NumPy does not take as they are
            answers = [keras3().ops.convert_to_numpy(own) for own in answers]
        return dict(zip(outputs, answers, strict=True))

    return Named(specs, call)


def examples_like(model: Any, count: int, side: int = ANY_SIDE) -> dict[str, np.ndarray]:
    """Returns made-up examples by input of a functional or sequential model of either Keras, see `made_up`."""
    layers = list(model._flatten_layers())
    tokens = [getattr(layer, name, None) for layer in layers for name in ("input_dim", "num_tokens")]
    known = [size for size in tokens if isinstance(size, int)]  # what an Embedding knows of
    return made_up(of_graph(model).inputs, count, below=min(known, default=256), whole=bool(known), side=side)


def made_up(
    inputs: Mapping[str, tuple[tuple[int | None, ...], str]],
    count: int,
    *,
    below: int = 256,
    whole: bool = False,
    side: int = ANY_SIDE,
) -> dict[str, np.ndarray]:
    """Returns made-up examples by input, always the same: numbers, words where it takes text.

    Args:
        inputs: name -> shape with the batch, and dtype.
        count: how many; where a batch is of one size, that many.
        below: what whole numbers are below.
        whole: whether numbers are whole where floats are taken too, as those that an Embedding looks up.
        side: how long sides of any length are.
    """
    random = np.random.default_rng(0)
    made = {}
    for name, (shape, dtype) in inputs.items():
        sides = (shape[0] or count, *(own or side for own in shape[1:]))
        if dtype in ("string", "object"):
            made[name] = np.array(WORDS)[random.integers(0, len(WORDS), sides)].astype(object)
        elif dtype == "bool":
            made[name] = random.integers(0, 2, sides).astype(bool)
        elif "int" in dtype:
            made[name] = random.integers(0, min(below, 128 if dtype == "int8" else below), sides).astype(dtype)
        else:
            made[name] = (random.integers(0, below, sides) if whole else random.normal(size=sides)).astype("float32")
    return made


def of_any(model: keras.Model, data: Any) -> Named:
    """Describes a model, of which a subclassed one takes what the examples are, and names its outputs itself.

    Raises:
        ModelError: the model takes batches of one size only, or tensors that are ragged or sparse.
    """
    if is_keras3(model):
        return _of_keras3(model, data)
    if not has_graph(model):
        return _of_examples(model, data)
    for tensor in model.inputs:
        if not isinstance(tensor.type_spec, tf.TensorSpec):
            raise ModelError(f"input {tensor.name} takes {type(tensor.type_spec).__name__[:-4]}s, which no format does")
        if tensor.shape.rank and tensor.shape[0] is not None:
            raise ModelError(
                f"input {tensor.name} takes batches of {tensor.shape[0]} alone; make the model without a batch size"
            )
    return of_graph(model)


def _of_keras3(model: Any, data: Any) -> Named:
    if not adapter_of(model).graphs.has_graph(model):
        return _of_examples(model, data)
    for tensor in model.inputs:
        if kind := next((own for own in ("sparse", "ragged") if getattr(tensor, own, False)), None):
            raise ModelError(f"input {tensor.name} takes {kind} tensors, which no format does")
        if len(tensor.shape) and tensor.shape[0] is not None:
            raise ModelError(
                f"input {tensor.name} takes batches of {tensor.shape[0]} alone; make the model without a batch size"
            )
    return of_graph(model)


def _of_examples(model: keras.Model, data: Any) -> Named:
    given = data if isinstance(data, (Mapping, list, tuple)) else [data]
    keys = list(given) if isinstance(given, Mapping) else _numbered("input", len(given))
    arrays = [np.asarray(own) for own in (given.values() if isinstance(given, Mapping) else given)]
    specs = {
        key: (
            (None, *own.shape[1:]),
            "float32" if own.dtype == np.float64 else "string" if own.dtype.kind in "OUS" else own.dtype.name,
        )
        for key, own in zip(keys, arrays, strict=True)
    }

    def call(values: Mapping[str, Any]) -> dict[str, Any]:
        ordered = [values[key] for key in keys]
        whole = dict(zip(keys, ordered, strict=True)) if isinstance(data, Mapping) else ordered
        whole = (
            whole if isinstance(data, (Mapping, list)) else tuple(ordered) if isinstance(data, tuple) else ordered[0]
        )
        answers = model(whole, training=False)
        flat = tf.nest.flatten(answers)
        return dict(zip(_keys_or(answers, _numbered("output", len(flat))), flat, strict=True))

    return Named(specs, call)


def examples_of(named: Named, data: Any) -> dict[str, np.ndarray]:
    """Returns examples by name, in the dtypes that the model takes.

    Raises:
        ConfigError: they are not as many as the model has inputs, of other shapes, or would change in its dtype.
    """
    names = list(named.inputs)
    if isinstance(data, Mapping):
        for name in (*(own for own in data if own not in names), *(own for own in names if own not in data)):
            wrong = "there is no input" if name in data else "no examples are given of input"
            raise ConfigError(f"{wrong} {name!r}: {choose_from(name, names)}")
        given = data
    else:
        several = isinstance(data, (list, tuple)) and (len(names) > 1 or len(data) == 1)
        values = list(data) if several else [data]
        if len(values) != len(names):
            raise ConfigError(
                f"the model takes {len(names)} inputs ({', '.join(names)}), got examples of {len(values)}; {ANY}"
            )
        given = dict(zip(names, values, strict=True))
    found = {name: _as(given[name], name, *named.inputs[name]) for name in names}
    counts = {name: len(own) for name, own in found.items()}
    if len(set(counts.values())) > 1 or not all(counts.values()):
        listed = ", ".join(f"{count:,} of {name}" for name, count in counts.items())
        raise ConfigError(f"the examples must be as many of each input, and one at least; got {listed}")
    return found


def _as(value: Any, name: str, shape: tuple[int | None, ...], dtype: str) -> np.ndarray:
    try:
        array = np.asarray(value)
    except ValueError:
        array = np.asarray(None)
    if dtype == "string":
        if array.dtype.kind not in "OSU":
            raise ConfigError(f"input {name} takes texts, got {array.dtype}")
        cast = array.astype(object)
    else:
        if array.dtype.kind not in "biuf":
            raise ConfigError(f"input {name} takes {dtype}, got {type(value).__name__} of {array.dtype}; {ANY}")
        kind = tf.as_dtype(dtype).as_numpy_dtype
        with np.errstate(invalid="ignore"):
            cast = array.astype(kind)
        if np.dtype(kind).kind in "biu" and not np.array_equal(cast, array):
            raise ConfigError(f"input {name} takes {dtype}, and the examples hold other numbers ({array.dtype})")
    if not tf.TensorShape(shape).is_compatible_with(cast.shape):
        raise ConfigError(f"input {name} takes examples of shape {tuple(shape[1:])}, got {cast.shape[1:]}")
    return cast


def _keys_or(structure: Any, names: Sequence[str]) -> list[str]:
    """Returns the keys of a dict of tensors in the order in which it is flattened, or else the names."""
    flat = isinstance(structure, Mapping) and not any(
        isinstance(own, (Mapping, list, tuple)) for own in structure.values()
    )
    return sorted(structure) if flat else list(names)


def _numbered(what: str, count: int) -> list[str]:
    return [f"{what}s"] if count == 1 and what == "input" else [f"{what}_{number + 1}" for number in range(count)]


def _unique(names: Sequence[str]) -> list[str]:
    """Numbers names that are there twice as tf_keras does."""
    counts: dict[str, int] = {}
    found = []
    for name in names:
        number = counts.get(name, 0)
        counts[name] = number + 1
        found.append(f"{name}_{number}" if number else name)
    return found
