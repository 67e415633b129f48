"""TensorFlow Lite, for phones, small machines and fast answers on a CPU."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tfprune.adapters.backend import cores, keras, quiet_stderr, tf
from tfprune.adapters.loading.gate import load_tflite
from tfprune.data._base import Data
from tfprune.exporting.formats import ALL_INT8, QUANTIZED
from tfprune.exporting.formats._base import (
    ANY_MODEL,
    Answer,
    Format,
    NamedAnswer,
    Served,
    alone,
    classifier,
    extra,
    refused,
)
from tfprune.exporting.savedmodel import module_of
from tfprune.utils.errors import ModelError
from tfprune.utils.text import one_line

UNROLLED = {"unroll": True, "_could_use_gpu_kernel": False}  # the second is what LSTM and GRU made of the first
ANY_LENGTH = "give the model's input a length, or use the format savedmodel"


def write(model: keras.Model, data: Data, path: Path, quantize: str) -> None:
    write_named(classifier(model, data), path, quantize)


def write_named(served: Served, path: Path, quantize: str) -> None:
    """Writes a function of named tensors; where it is not given, its batch is of any size.

    Raises:
        ModelError: TensorFlow Lite cannot hold it.
    """
    model = served.model
    traced = _traced(served)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([traced], module_of(model, traced))
    if quantize != "none":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if quantize == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if quantize in ("int8", ALL_INT8):
        converter.representative_dataset = served.singles  # by name: the file may have its inputs in another order
    if quantize == ALL_INT8:
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
    content, problem = b"", None
    with (
        quiet_stderr(),
        warnings.catch_warnings(),
    ):  # which shows what it held back if an error passes, and this one is said in one line
        warnings.filterwarnings("ignore", r"\s*Warning: tf.lite.Interpreter is deprecated", UserWarning)  # its own
        try:
            content = converter.convert()
        except Exception as error:
            problem = error
    if problem is not None:
        reason = _reason(str(problem), model)
        remedy = ANY_MODEL if reason or quantize == "none" else "do not quantize it, or " + ANY_MODEL
        raise refused("TensorFlow Lite", reason or type(problem).__name__, remedy) from problem
    path.write_bytes(content)


def _traced(served: Served) -> tf.types.experimental.ConcreteFunction:
    """Returns the function with recurrent layers written out step by step.

    A loop's state has the shape of the batch, which TensorFlow Lite has to know beforehand; and what it makes of an
    LSTM for one example keeps its state from one call to the next, so that later answers are wrong.
    """
    model = served.model
    changed = [
        (layer, name, value) for layer in _recurrent(model) for name, value in UNROLLED.items() if hasattr(layer, name)
    ]
    before = [getattr(layer, name) for layer, name, _ in changed]
    for layer, name, value in changed:
        setattr(layer, name, value)
    try:
        return served.traced()
    except ModelError as error:
        if "unroll" not in str(error.__cause__).lower():
            raise
        names = ", ".join(repr(layer.name) for layer in _recurrent(model))
        raise refused("TensorFlow Lite", f"{names} takes sequences of any length", ANY_LENGTH) from None
    finally:
        for (layer, name, _), value in zip(changed, before, strict=True):
            setattr(layer, name, value)


def _recurrent(model: keras.Model) -> list[keras.layers.RNN]:
    """Returns the recurrent layers of a model of either Keras."""
    return [layer for layer in model._flatten_layers() if hasattr(layer, "unroll")]


def _reason(message: str, model: keras.Model) -> str:
    """Finds in the converter's many lines which operations TensorFlow Lite lacks."""
    if lacking := re.search(r"(?:Flex|Custom) ops: ([\w, ]+)", message):
        names = [name.strip().removeprefix("Flex") for name in lacking[1].split(",")]
        return f"it has no {', '.join(names)}"
    if "TensorListReserve" in message:
        return f"it has no such loop as that of {', '.join(repr(layer.name) for layer in _recurrent(model))}"
    if lacking := re.search(r"'tf\.(\w+)' op is neither", message):
        return f"it has no {lacking[1]}"
    said = re.search(r"error: (.*)", message)
    return said[1] if said else message


def load(path: Path) -> Answer:
    return alone(path, *_opened(path))


def load_named(path: Path) -> NamedAnswer:
    """Does what `load` does for a file of any inputs and outputs."""
    return _opened(path)[0]


def _stored(values: np.ndarray, details: Mapping[str, Any]) -> np.ndarray:
    """Returns numbers as a file takes them: whole ones, where its input is quantized."""
    scale, zero = details["quantization"]
    if not scale:
        return np.asarray(values, details["dtype"])
    limits = np.iinfo(details["dtype"])
    return np.clip(np.round(np.asarray(values) / scale) + zero, limits.min, limits.max).astype(details["dtype"])


def _taken(details: Mapping[str, Any]) -> str:
    """Returns the dtype of what `_stored` takes: a file's own, or float32 where its input is quantized."""
    return "float32" if details["quantization"][0] else np.dtype(details["dtype"]).name


def _real(values: np.ndarray, details: Mapping[str, Any]) -> np.ndarray:
    """Returns what a quantized output stands for."""
    scale, zero = details["quantization"]
    return (values.astype(np.float32) - zero) * np.float32(scale) if scale else values


def _opened(path: Path) -> tuple[NamedAnswer, list[str], list[str]]:
    """Returns what answers, and the names of its inputs and outputs."""
    extra("ai_edge_litert.interpreter")
    interpreter = load_tflite(path, cores())
    signatures = list(interpreter.get_signature_list().values())
    if len(signatures) != 1:
        raise ModelError(f"{path}: this model was not exported by tfprune (it has {len(signatures)} signatures)")
    with quiet_stderr():
        try:  # the first call says what computes
            runner = interpreter.get_signature_runner()
            taken, returned = runner.get_input_details(), runner.get_output_details()
            runner(**{name: np.zeros((1, *own["shape"][1:]), own["dtype"]) for name, own in taken.items()})
        except (RuntimeError, ValueError) as error:
            raise ModelError(f"{path}: this model cannot answer ({one_line(error)})") from None

    def answer(given: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        answers = runner(**{name: _stored(given[name], own) for name, own in taken.items()})
        return {name: _real(own, returned[name]) for name, own in answers.items()}

    answer.inputs = {
        name: (tuple(None if side < 0 else int(side) for side in own["shape_signature"]), _taken(own))
        for name, own in taken.items()
    }
    return answer, signatures[0]["inputs"], signatures[0]["outputs"]


FORMAT = Format(
    summary="ai-edge-litert, phones; the fastest here on a CPU",
    suffix=".tflite",
    quantize=("none", *QUANTIZED["tflite"]),
    write=write,
    load=load,
    write_named=write_named,
    load_named=load_named,
)
