"""ONNX, for onnxruntime and what else reads it."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from tfprune.adapters.backend import cores, keras
from tfprune.adapters.loading.gate import load_onnx
from tfprune.data._base import Data
from tfprune.exporting.formats._base import Answer, Format, calibration, extra, probabilities
from tfprune.utils.errors import ModelError

OPSET = 17


def write(model: keras.Model, data: Data, path: Path, quantize: str) -> None:
    onnx, convert = extra("onnx"), extra("tf2onnx").convert
    function = probabilities(model)
    proto, _ = convert.from_function(function, input_signature=function.input_signature, opset=OPSET)
    onnx.checker.check_model(proto, full_check=True)
    if quantize == "none":
        onnx.save(proto, str(path))
        return
    quantization = extra("onnxruntime.quantization")
    with tempfile.TemporaryDirectory() as folder:
        plain, ready = Path(folder) / "plain.onnx", Path(folder) / "ready.onnx"
        onnx.save(proto, str(plain))
        extra("onnxruntime.quantization.shape_inference").quant_pre_process(
            str(plain), str(ready), skip_symbolic_shape=True
        )
        quantization.quantize_static(str(ready), str(path), _reader(proto.graph.input[0].name, calibration(data)))


def load(path: Path) -> Answer:
    for package in ("onnx", "onnxruntime"):
        extra(package)
    session = load_onnx(path, cores())
    names = [output.name for output in session.get_outputs()]
    dtypes = {"tensor(uint8)": np.uint8, "tensor(float)": np.float32}
    taken = session.get_inputs()[0]
    if len(session.get_inputs()) != 1 or taken.type not in dtypes or "probabilities" not in names:
        raise ModelError(f"{path}: this model was not exported by tfprune (no one input, no probabilities)")
    dtype = dtypes[taken.type]

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
