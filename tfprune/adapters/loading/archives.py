"""Model files as containers: HDF5 and ZIP, which must be what their names say and hold nothing that leads elsewhere."""

from __future__ import annotations

import contextlib
import io
import json
import os
import stat
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import h5py

from tfprune.adapters.loading.trust import ADVICE, trusted
from tfprune.utils.errors import BROKEN_ARCHIVE, ModelError
from tfprune.utils.text import one_line

HDF5, ZIP = (".h5", ".hdf5"), (".keras",)
MAGIC = {".h5": b"\x89HDF\r\n\x1a\n", ".hdf5": b"\x89HDF\r\n\x1a\n", ".keras": b"PK\x03\x04"}
MEMBERS = ("metadata.json", "config.json", "model.weights.h5")  # beside what is in `assets/`
WEIGHTS = MEMBERS[2]
LARGEST_JSON = 64 * 2**20  # bytes; the configurations of the largest public models take some
UNPACKED = 1100  # times its size is the most that what is packed can come to
SMALL = 64 * 2**20  # bytes that nobody minds, whatever a file says
FILTERS = {  # of HDF5, which else looks for a library to load
    h5py.h5z.FILTER_DEFLATE,
    h5py.h5z.FILTER_SHUFFLE,
    h5py.h5z.FILTER_FLETCHER32,
    h5py.h5z.FILTER_SZIP,
    h5py.h5z.FILTER_LZF,
}


def check_kind(path: Path) -> str:
    """Returns the suffix of a model's file, which its first bytes must agree with; no archive may hide behind them.

    Raises:
        ModelError: it is no regular file, is no such file, or two formats in one.
    """
    suffix = path.suffix.lower()
    if suffix not in MAGIC:
        raise ModelError(f"{path}: a model's file must end in {', '.join(MAGIC)}")
    with reading(path), _regular(path) as file:
        begins = file.read(8)
        file.seek(0)
        packed = zipfile.is_zipfile(file)
    if not begins.startswith(MAGIC[suffix]):
        raise ModelError(f"{path}: this is no {'HDF5' if suffix in HDF5 else 'Keras'} file, whatever its name says")
    if packed != (suffix in ZIP):
        raise ModelError(f"{path}: this is two formats in one file, or cut short")
    return suffix


def read_regular(path: Path) -> bytes:
    """Returns what a file holds that is no pipe and no device, which have no end.

    Raises:
        ModelError: it is one.
        OSError: it cannot be read.
    """
    with _regular(path) as file:
        return file.read()


def _regular(path: Path) -> BinaryIO:
    file = open(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb")
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise ModelError(f"{path}: this is no regular file")
    return file


def check_folder(path: Path) -> None:
    """Raises `ModelError` if a SavedModel's folder has anything but files and folders, and nobody trusts it."""
    if trusted():
        return
    for folder, folders, files in os.walk(path):
        for name in (*folders, *files):
            inner = Path(folder, name)
            mode = inner.lstat().st_mode
            if stat.S_ISLNK(mode):
                raise ModelError(f"{inner} is a link, through which it could read other files; {ADVICE}")
            if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                raise ModelError(f"{inner}: this is no regular file")


@contextlib.contextmanager
def open_hdf5(path: Path, mode: str = "r") -> Iterator[h5py.File]:
    """Opens an HDF5 file that leads to no other files, so that what is looked at is what is read.

    Raises:
        ModelError: it cannot be opened, or refers to other files.
    """
    with reading(path):
        file = h5py.File(path, mode)
    with file:
        with reading(path):
            check_hdf5(file, path)
        yield file


def check_hdf5(file: h5py.File, source: object) -> None:
    """Raises `ModelError` if an HDF5 file has links to others, data outside of itself, or filters of a user's own."""
    if trusted():
        return
    seen = {h5py.h5o.get_info(file["/"].id).addr}
    groups = [file["/"]]
    while groups:
        group = groups.pop()
        for name in group:
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise ModelError(f"{source}: {group.name}/{name} is a link, through which it could read other files")
            item = group[name]
            address = h5py.h5o.get_info(item.id).addr
            if address in seen:
                continue
            seen.add(address)
            if isinstance(item, h5py.Group):
                groups.append(item)
            elif isinstance(item, h5py.Dataset):
                _check_dataset(item, source)


def _check_dataset(data: h5py.Dataset, source: object) -> None:
    settings = data.id.get_create_plist()
    if data.is_virtual or data.external:
        raise ModelError(f"{source}: the values of {data.name} are in another file")
    if not {settings.get_filter(number)[0] for number in range(settings.get_nfilters())} <= FILTERS:
        raise ModelError(f"{source}: {data.name} is packed in a way that HDF5 does not know by itself")
    if data.nbytes > max(SMALL, UNPACKED * data.id.get_storage_size()):
        raise ModelError(f"{source}: {data.name} claims {data.nbytes:,} bytes, which the file does not hold")


def read_hdf5(file: h5py.File) -> tuple[Any, str]:
    """Returns the configuration of a model in an HDF5 file, and the version of Keras that wrote it."""
    if "model_config" not in file.attrs:
        raise ValueError("it holds weights alone, without the model")
    return json.loads(file.attrs["model_config"]), _text(file.attrs.get("keras_version", "2"))


def read_keras(path: Path) -> tuple[Any, str]:
    """Returns the configuration of a model in a `.keras` file, and the version of Keras that wrote it.

    Raises:
        ModelError: it holds anything but a model, or its weights lead to other files.
    """
    with zipfile.ZipFile(path) as file:
        size = path.stat().st_size
        for member in file.infolist():
            name = member.filename
            inside = name in MEMBERS or (
                name.startswith("assets/") and ".." not in name.split("/") and "\\" not in name
            )
            if not inside or stat.S_ISLNK(member.external_attr >> 16):
                raise ModelError(f"{path}: a model's file holds no {name!r}")
            if member.file_size > max(SMALL, UNPACKED * size) or (name.endswith(".json") and _large(member)):
                raise ModelError(f"{path}: {name} claims {member.file_size:,} bytes, which is too much")
        if len(set(file.namelist())) < len(file.namelist()):
            raise ModelError(f"{path}: it holds two files of one name")
        metadata, config = (json.loads(file.read(name)) for name in MEMBERS[:2])
        with h5py.File(io.BytesIO(file.read(WEIGHTS)), "r") as weights:
            check_hdf5(weights, path)
    return config, str(metadata.get("keras_version", "2"))


def _large(member: zipfile.ZipInfo) -> bool:
    return member.file_size > LARGEST_JSON


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


@contextlib.contextmanager
def reading(path: object) -> Iterator[None]:
    """Turns what broken files make their readers raise into one line."""
    try:
        yield
    except FileNotFoundError:
        raise ModelError(f"{path}: there is no such file") from None
    except (*BROKEN_ARCHIVE, KeyError, TypeError, AttributeError, RecursionError, NotImplementedError) as error:
        raise ModelError(f"{path}: this is no Keras model that can be opened ({one_line(error)})") from None
