"""What a pruned model is worth: parameters, sparsity, bytes."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np


def layer_sparsity(kernels: Mapping[str, np.ndarray]) -> dict[str, dict[str, int]]:
    """Counts the zeros of each kernel.

    >>> layer_sparsity({"a": np.array([0.0, 1.0])})
    {'a': {'zeros': 1, 'size': 2}}
    """
    return {
        name: {"zeros": int(kernel.size - np.count_nonzero(kernel)), "size": int(kernel.size)}
        for name, kernel in kernels.items()
    }


def sparsity(requested: float, kernels: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Returns requested and achieved fraction of zeros, and the counts a kernel."""
    layers = layer_sparsity(kernels)
    size = sum(layer["size"] for layer in layers.values())
    zeros = sum(layer["zeros"] for layer in layers.values())
    return {"requested": requested, "achieved": zeros / size if size else 0.0, "layers": layers}


def parameters(weights: list[np.ndarray]) -> dict[str, int]:
    """Returns how many numbers a model holds and how many of them are not zero."""
    return {
        "parameters": sum(int(weight.size) for weight in weights),
        "nonzero_parameters": sum(int(np.count_nonzero(weight)) for weight in weights),
    }


def folder_bytes(folder: Path) -> dict[str, int]:
    """Returns the size of all files of a folder, as they are and compressed one by one as gzip does."""
    contents = [path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()]
    return {"raw": sum(map(len, contents)), "gzip": sum(len(_gzip(content)) for content in contents)}


def path_bytes(path: Path) -> dict[str, int]:
    """Returns the size of a file, or of a folder as `folder_bytes` does."""
    if path.is_dir():
        return folder_bytes(path)
    content = path.read_bytes()
    return {"raw": len(content), "gzip": len(_gzip(content))}


def array_bytes(weights: list[np.ndarray]) -> dict[str, int]:
    """Returns the size of a model's numbers alone, as they are and gzipped together."""
    content = b"".join(np.ascontiguousarray(weight).tobytes() for weight in weights)
    return {"raw": len(content), "gzip": len(_gzip(content))}


def peak_memory() -> int:
    """Returns the most bytes of main memory that this process has taken so far; 0 where the system does not say."""
    try:
        import resource
    except ImportError:  # on Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def _gzip(content: bytes) -> bytes:
    compressor = zlib.compressobj(level=9, wbits=31)  # 31: with gzip's header, which then holds no time
    return compressor.compress(content) + compressor.flush()
