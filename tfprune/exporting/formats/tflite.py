"""TensorFlow Lite, for phones, small machines and fast answers on a CPU."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tfprune.adapters.backend import cores, keras, quiet_stderr, tf
from tfprune.adapters.loading.gate import load_tflite
from tfprune.data._base import Data
from tfprune.exporting.formats._base import Answer, Format, calibration, extra, probabilities
from tfprune.utils.errors import ModelError
from tfprune.utils.text import one_line


def write(model: keras.Model, data: Data, path: Path, quantize: str) -> None:
    converter = tf.lite.TFLiteConverter.from_concrete_functions([probabilities(model).get_concrete_function()], model)
    if quantize != "none":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if quantize == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if quantize == "int8":
        converter.representative_dataset = lambda: ([example[None]] for example in calibration(data))
    with quiet_stderr():
        path.write_bytes(converter.convert())


def load(path: Path) -> Answer:
    extra("ai_edge_litert.interpreter")
    interpreter = load_tflite(path, cores())
    signatures = interpreter.get_signature_list()
    if [(own["inputs"], own["outputs"]) for own in signatures.values()] != [(["inputs"], ["probabilities"])]:
        raise ModelError(f"{path}: this model was not exported by tfprune (no inputs and probabilities)")
    with quiet_stderr():
        runner = interpreter.get_signature_runner()
        taken = interpreter.get_input_details()[0]
        try:
            runner(inputs=np.zeros((1, *taken["shape"][1:]), taken["dtype"]))  # the first call says what computes
        except (RuntimeError, ValueError) as error:
            raise ModelError(f"{path}: this model cannot answer ({one_line(error)})") from None

    def answer(inputs: np.ndarray) -> np.ndarray:
        return runner(inputs=np.asarray(inputs, taken["dtype"]))["probabilities"]

    return answer


FORMAT = Format(
    summary="ai-edge-litert, phones; the fastest here on a CPU",
    suffix=".tflite",
    quantize=("none", "dynamic", "int8", "float16"),
    write=write,
    load=load,
)
