"""ONNX, for onnxruntime and what else reads it."""

from __future__ import annotations

import contextlib
import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tfprune.adapters.backend import cores, keras, tf_freezing
from tfprune.adapters.loading.gate import load_onnx
from tfprune.data._base import Data
from tfprune.exporting.formats._base import Answer, Format, calibration, extra, probabilities, refused
from tfprune.utils.errors import ModelError

OPSET = 17
OWN_DOMAINS = ("", "ai.onnx", "ai.onnx.ml")
OTHERS = "use --format savedmodel, or tflite"
DTYPES = {
    "tensor(float)": np.float32,
    **{f"tensor({name})": np.dtype(name).type for name in ("uint8", "int8", "int16", "int32", "int64", "bool")},
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
}


def write(model: keras.Model, data: Data, path: Path, quantize: str) -> None:
    onnx, _ = extra("onnx"), extra("tf2onnx")
    with _quiet_logging():
        try:
            proto = _converted(model)
            onnx.checker.check_model(proto, full_check=True)
        except Exception as error:
            raise refused("ONNX", error, OTHERS) from error
    if foreign := sorted({node.op_type for node in proto.graph.node if node.domain not in OWN_DOMAINS}):
        raise refused("ONNX", f"it has no {', '.join(foreign)}", OTHERS)
    if quantize == "none":
        onnx.save(proto, str(path))
        return
    quantization = extra("onnxruntime.quantization")
    with tempfile.TemporaryDirectory() as folder:
        plain, ready = Path(folder) / "plain.onnx", Path(folder) / "ready.onnx"
        onnx.save(proto, str(plain))
        examples = calibration(data, model.input.dtype.as_numpy_dtype)
        try:
            extra("onnxruntime.quantization.shape_inference").quant_pre_process(
                str(plain), str(ready), skip_symbolic_shape=True
            )
            quantization.quantize_static(str(ready), str(path), _reader(proto.graph.input[0].name, examples))
        except Exception as error:
            raise refused("ONNX of int8", error, "leave out --quantize, or use another --format") from error


def _converted(model: keras.Model) -> Any:
    """Returns `probabilities` as ONNX: frozen first, for tf2onnx takes all that a function captures for inputs."""
    traced = probabilities(model).get_concrete_function()
    freeze = tf_freezing.convert_variables_to_constants_v2
    frozen = freeze(traced, lower_control_flow=False, aggressive_inlining=True)
    if len(frozen.inputs) > 1:
        raise ValueError("it has no tables, which lookups of texts and numbers need")
    (given,), (returned,) = frozen.inputs, frozen.outputs
    proto, _ = extra("tf2onnx").convert.from_graph_def(
        frozen.graph.as_graph_def(add_shapes=True),
        input_names=[given.name],
        output_names=[returned.name],
        tensors_to_rename={given.name: "inputs", returned.name: "probabilities"},
        opset=OPSET,
    )
    return proto


@contextlib.contextmanager
def _quiet_logging() -> Iterator[None]:
    """Holds back what tf2onnx logs of operations that it does not know: `write` says it in one line."""
    logging.disable(logging.ERROR)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


def load(path: Path) -> Answer:
    for package in ("onnx", "onnxruntime"):
        extra(package)
    session = load_onnx(path, cores())
    names = [output.name for output in session.get_outputs()]
    taken = session.get_inputs()[0]
    if len(session.get_inputs()) != 1 or taken.type not in DTYPES or "probabilities" not in names:
        raise ModelError(f"{path}: this model was not exported by tfprune (no one input, no probabilities)")
    dtype = DTYPES[taken.type]

    def answer(inputs: np.ndarray) -> np.ndarray:
        return session.run(["probabilities"], {taken.name: np.asarray(inputs, dtype)})[0]

    return answer


def _reader(name: str, examples: np.ndarray) -> object:
    class Reader(extra("onnxruntime.quantization").CalibrationDataReader):
        def __init__(self) -> None:
            self._batches = iter([{name: example[None]} for example in examples])

        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(self._batches, None)

    return Reader()


FORMAT = Format(summary="onnxruntime", suffix=".onnx", quantize=("none", "int8"), write=write, load=load)
