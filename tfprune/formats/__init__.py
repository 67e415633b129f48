"""File formats of trained models. A new one is a file beside this one and a line in `FORMATS`."""

from tfprune.registry import Registry

FORMATS = Registry(
    "format",
    {
        "savedmodel": "tfprune.formats.savedmodel:FORMAT",
        "tflite": "tfprune.formats.tflite:FORMAT",
        "onnx": "tfprune.formats.onnx:FORMAT",
        "h5": "tfprune.formats.h5:FORMAT",
        "keras": "tfprune.formats.keras:FORMAT",
    },
)
