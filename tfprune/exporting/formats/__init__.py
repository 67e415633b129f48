"""File formats of trained models. A new one is a file beside this one and a line in `FORMATS`."""

from tfprune.utils.registry import Registry

ALL_INT8 = "int8-io"  # inputs and outputs are int8 too, as microcontrollers want it
QUANTIZED = {"tflite": ("dynamic", "int8", ALL_INT8, "float16"), "onnx": ("int8",)}  # what numbers can be stored as

FORMATS = Registry(
    "format",
    {
        "savedmodel": "tfprune.exporting.formats.savedmodel:FORMAT",
        "tflite": "tfprune.exporting.formats.tflite:FORMAT",
        "onnx": "tfprune.exporting.formats.onnx:FORMAT",
        "h5": "tfprune.exporting.formats.h5:FORMAT",
        "keras": "tfprune.exporting.formats.keras:FORMAT",
    },
)
