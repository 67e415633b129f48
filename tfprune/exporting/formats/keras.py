"""Keras 3's own format, which refuses what tf_keras calls `.keras`."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from tfprune.adapters.backend import keras, keras3
from tfprune.adapters.loading.gate import load_with
from tfprune.data._base import Data
from tfprune.exporting.formats import h5
from tfprune.exporting.formats._base import Answer, Format
from tfprune.exporting.formats._for_keras3 import REMEDY, check, translated, without_unknown
from tfprune.utils.errors import ModelError


def write(model: keras.Model, data: Data, path: Path, quantize: str) -> None:
    problems: list[str] = []

    def changed(config: dict[str, Any]) -> dict[str, Any]:
        return translated(without_unknown(config, problems))

    with tempfile.TemporaryDirectory() as folder, h5.its_own_affairs():
        bridge = Path(folder) / "model.h5"
        h5.write_with(model, bridge, changed)
        check(problems)
        try:
            load_with(bridge, keras3()).save(str(path))
        except ModelError as error:
            raise ModelError(
                f"Keras 3 has no such model ({str(error).removeprefix(f'{bridge}: ')}); {REMEDY}"
            ) from error


def load(path: Path) -> Answer:
    return h5.answering(load_with(path, keras3()))


FORMAT = Format(summary="Keras 3; returns logits", suffix=".keras", write=write, load=load)
