"""NumPy archives that others may have written."""

from __future__ import annotations

import math
import zipfile
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    import numpy as np


def check_archive(archive: zipfile.ZipFile, most: int) -> None:
    """Looks through a NumPy archive for arrays that would take more memory than they have content.

    Args:
        archive: to look through; no array is made.
        most: bytes that all arrays may take together.

    Raises:
        ValueError: one claims another size than it has, is of Python objects, or they are too large.
    """
    left = most
    for member in archive.infolist():
        left -= member.file_size
        if left < 0:
            raise ValueError(f"its arrays take more than {most:,} bytes")
        with archive.open(member) as file:
            shape, dtype, read = _array_header(file)
        if dtype.hasobject or read + math.prod(shape) * dtype.itemsize != member.file_size:
            raise ValueError(f"{member.filename} is not the array that it says it is")


def _array_header(file: BinaryIO) -> tuple[tuple[int, ...], np.dtype, int]:
    """Returns the shape and the type of an array in NumPy's format, and the bytes of its header."""
    from numpy.lib import format as npy

    version = npy.read_magic(file)
    read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}.get(version)
    if read is None:
        raise ValueError(f"an array is of NumPy's format {version}")
    shape, _, dtype = read(file)
    return shape, dtype, file.tell()
