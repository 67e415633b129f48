"""Keras 3's own format, which refuses what tf_keras calls `.keras`."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from tfprune.adapters import is_keras3
from tfprune.adapters.backend import keras, keras3
from tfprune.adapters.loading.gate import load_with
from tfprune.data._base import Data
from tfprune.exporting.formats import h5
from tfprune.exporting.formats._base import Answer, Format, NamedAnswer, Served
from tfprune.exporting.formats._for_keras3 import REMEDY, check, translated, without_unknown
from tfprune.exporting.of_keras3 import save
from tfprune.utils.errors import ModelError


def write(model: keras.Model, data: Data, path: Path, quantize: str) -> None:
    _write(model, path)


def write_named(served: Served, path: Path, quantize: str) -> None:
    _write(served.model, path)


def _write(model: Any, path: Path) -> None:
    if is_keras3(model):
        save(model, path)
        return
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


def load_named(path: Path) -> NamedAnswer:
    """Does what `load` does for a model of any inputs and outputs."""
    return h5.by_name(load_with(path, keras3()))


FORMAT = Format(
    summary="Keras 3; returns logits",
    suffix=".keras",
    only=(".keras",),
    write=write,
    load=load,
    write_named=write_named,
    load_named=load_named,
)
