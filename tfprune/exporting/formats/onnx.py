"""ONNX, for onnxruntime and what else reads it."""

from __future__ import annotations

import contextlib
import logging
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tfprune.adapters.backend import cores, keras, tf, tf_freezing
from tfprune.adapters.loading.gate import load_onnx
from tfprune.data._base import Data
from tfprune.exporting.formats import QUANTIZED
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
from tfprune.utils.errors import ModelError

if TYPE_CHECKING:
    from typing import TypeAlias

    Function: TypeAlias = tf.types.experimental.ConcreteFunction

OPSET = 17
OWN_DOMAINS = ("", "ai.onnx", "ai.onnx.ml")
DTYPES = {
    "tensor(float)": np.float32,
    **{f"tensor({name})": np.dtype(name).type for name in ("uint8", "int8", "int16", "int32", "int64", "bool")},
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(string)": np.object_,
}


def write(model: keras.Model, data: Data, path: Path, quantize: str) -> None:
    write_named(classifier(model, data), path, quantize)


def write_named(served: Served, path: Path, quantize: str) -> None:
    """Writes a function of named tensors, of any batch.

    Raises:
        ModelError: ONNX cannot hold it.
    """
    onnx, _ = extra("onnx"), extra("tf2onnx")
    with _quiet_logging():
        traced = served.traced()
        try:
            frozen = _frozen(traced)
            if any(node.op.endswith("PartitionedCall") for node in frozen.graph.as_graph_def().node):
                traced = served.traced(inlined=True)
                frozen = _frozen(traced)
            proto = _converted(served, traced, frozen)
            onnx.checker.check_model(proto, full_check=True)
        except Exception as error:
            raise refused("ONNX", error, ANY_MODEL) from error
    if foreign := sorted({node.op_type for node in proto.graph.node if node.domain not in OWN_DOMAINS}):
        raise refused("ONNX", f"it has no {', '.join(foreign)}", ANY_MODEL)
    if quantize == "none":
        onnx.save(proto, str(path))
        return
    quantization = extra("onnxruntime.quantization")
    with tempfile.TemporaryDirectory() as folder:
        plain, ready = Path(folder) / "plain.onnx", Path(folder) / "ready.onnx"
        onnx.save(proto, str(plain))
        try:
            extra("onnxruntime.quantization.shape_inference").quant_pre_process(
                str(plain), str(ready), skip_symbolic_shape=True
            )
            # Processors without AVX512-VNNI add products of whole bytes in 16 bits, where they may not fit: weights
            # of 7 bits always do.
            quantization.quantize_static(str(ready), str(path), _reader(served), reduce_range=True, per_channel=True)
        except Exception as error:
            raise refused("ONNX of int8", error, "do not quantize it") from error


def _frozen(traced: Function) -> Function:
    """Returns the function with constants for all that it captures, which tf2onnx takes for inputs."""
    freeze = tf_freezing.convert_variables_to_constants_v2
    return freeze(traced, lower_control_flow=False, aggressive_inlining=True)


def _converted(served: Served, traced: Function, frozen: Function) -> Any:
    """Returns the function as ONNX."""
    if len(frozen.inputs) > len(served.inputs):
        raise ValueError("it has no tables, which lookups of texts and numbers need")
    given = {name: _tensor_of(name, frozen) for name in served.inputs}
    returned = dict(zip(sorted(traced.structured_outputs), frozen.outputs, strict=True))  # as functions flatten them
    if same := sorted(given.keys() & returned.keys()):
        raise ValueError(f"its output {same[0]} has the name of an input")
    if len({tensor.name for tensor in (*given.values(), *returned.values())}) < len(given) + len(returned):
        raise ValueError("an output of it is an input or another output, unchanged")
    proto, _ = extra("tf2onnx").convert.from_graph_def(
        frozen.graph.as_graph_def(add_shapes=True),
        input_names=[tensor.name for tensor in given.values()],
        output_names=[tensor.name for tensor in returned.values()],
        tensors_to_rename={tensor.name: name for name, tensor in (given | returned).items()},
        opset=OPSET,
    )
    return proto


def _tensor_of(name: str, frozen: Function) -> tf.Tensor:
    return next(tensor for tensor in frozen.inputs if tensor.op.name == name)


@contextlib.contextmanager
def _quiet_logging() -> Iterator[None]:
    """Holds back what tf2onnx logs of operations that it does not know: `write` says it in one line."""
    logging.disable(logging.ERROR)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


def load(path: Path) -> Answer:
    return alone(path, *_opened(path))


def load_named(path: Path) -> NamedAnswer:
    """Does what `load` does for a file of any inputs and outputs."""
    return _opened(path)[0]


def _opened(path: Path) -> tuple[NamedAnswer, list[str], list[str]]:
    """Returns what answers, and the names of its inputs and outputs."""
    for package in ("onnx", "onnxruntime"):
        extra(package)
    session = load_onnx(path, cores())
    taken = {own.name: own.type for own in session.get_inputs()}
    names = [output.name for output in session.get_outputs()]
    if unknown := [kind for kind in taken.values() if kind not in DTYPES]:
        raise ModelError(f"{path}: this model was not exported by tfprune (it takes {unknown[0]})")

    def answer(given: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        fed = {name: np.asarray(given[name], DTYPES[kind]) for name, kind in taken.items()}
        return dict(zip(names, session.run(names, fed), strict=True))

    answer.inputs = {
        own.name: (
            tuple(side if isinstance(side, int) else None for side in own.shape),
            np.dtype(DTYPES[own.type]).name,
        )
        for own in session.get_inputs()
    }
    return answer, list(taken), names


def _reader(served: Served) -> object:
    class Reader(extra("onnxruntime.quantization").CalibrationDataReader):
        def __init__(self) -> None:
            self._batches = served.singles()

        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(self._batches, None)

    return Reader()


FORMAT = Format(
    summary="onnxruntime",
    suffix=".onnx",
    quantize=("none", *QUANTIZED["onnx"]),
    write=write,
    load=load,
    write_named=write_named,
    load_named=load_named,
)
