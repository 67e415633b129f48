"""What a file of a format without preprocessing and labels needs beside it: a JSON file that says them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tfprune.data._base import Data
from tfprune.data.objectives import DEFAULT
from tfprune.utils.files import atomic_write

SCHEMA = 1
CARRIED = ("savedmodel",)  # formats that hold preprocessing and labels themselves


def description_path(path: Path) -> Path:
    """Returns where the description of an exported file stands: beside it, as `model.tflite.json` of `model.tflite`."""
    return path.with_name(f"{path.name}.json")


def described(data: Data, path: Path, name: str, quantize: str, returns: str) -> dict[str, Any]:
    """Returns how the inputs of an exported file are made of raw examples, and what its outputs are of.

    Args:
        data: that the model was trained on.
        path: the exported file.
        name, quantize: its format, and what its numbers are stored as.
        returns: `probabilities`, `logits` or `values`.
    """
    raw = data.inputs["serving_default"]
    task = {} if data.objective.name == DEFAULT else {"task": data.objective.name}
    return {
        "schema": SCHEMA,
        "file": path.name,
        "format": name,
        "quantize": quantize,
        "input": {"shape": [None, *data.input_shape], "dtype": str(data.train.x.dtype), "made_of": list(raw.described)},
        "output": {"kind": returns, "target": data.target, "labels": list(data.labels)} | task,
    }


def write_description(data: Data, path: Path, name: str, quantize: str, returns: str) -> Path | None:
    """Writes the description of an exported file beside it; returns where, None if the file holds all that itself."""
    if name in CARRIED:
        return None
    place = description_path(path)
    text = json.dumps(described(data, path, name, quantize, returns), indent=2, allow_nan=False)
    with atomic_write(place) as draft:
        draft.write_text(text + "\n", encoding="utf-8")
    return place
