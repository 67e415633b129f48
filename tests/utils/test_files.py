"""`tfprune.utils.files`."""

import hashlib
import os
import socket

import pytest

from tfprune.utils.files import open_regular, read_bytes, read_text, sha256

pytestmark = pytest.mark.usefixtures("soon")


def test_a_file_is_read_whole_up_to_its_limit(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"\xc3\xa4" * 5)
    assert read_bytes(path, 10) == b"\xc3\xa4" * 5 and read_text(path, 10) == "ä" * 5
    assert sha256(path, 10) == hashlib.sha256(b"\xc3\xa4" * 5).hexdigest()
    with pytest.raises(OSError, match="it has more than 9 bytes"):
        read_bytes(path, 9)
    link = tmp_path / "link"
    link.symlink_to(path)
    assert read_bytes(link, 10) == path.read_bytes()
    (tmp_path / "empty").touch()
    assert read_bytes(tmp_path / "empty", 0) == b""


def test_a_file_that_does_not_tell_its_size_is_bounded_too():
    """Those of /proc say that they are empty."""
    content = read_bytes("/proc/self/status", 10**6)
    assert content.startswith(b"Name:")
    with pytest.raises(OSError, match="it has more than 100 bytes"):
        read_bytes("/proc/self/status", 100)


def test_a_limit_beyond_memory_takes_none(tmp_path):
    (tmp_path / "a").write_bytes(b"x")
    assert read_bytes(tmp_path / "a", 2**60) == b"x"


@pytest.mark.parametrize("kind", ["folder", "FIFO", "socket", "/dev/zero", "/dev/tty", "link to /dev/zero"])
def test_what_is_no_regular_file_is_refused_at_once(tmp_path, kind, monkeypatch):
    monkeypatch.chdir(tmp_path)  # names of sockets are short
    path = kind if kind.startswith("/") else "path"
    if kind == "folder":
        os.mkdir(path)
    elif kind == "FIFO":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as own:
            own.bind(path)
    elif kind.startswith("link"):
        os.symlink("/dev/zero", path)
    for read in (read_bytes, sha256, lambda path, most: open_regular(path, most).__enter__()):
        with pytest.raises(OSError, match="it is a folder" if kind == "folder" else "it is no regular file"):
            read(path, 10**9)


def test_what_takes_a_files_place_while_it_is_opened_does_not_block(tmp_path, monkeypatch):
    """It was looked at by its path; what was opened is looked at again."""
    path = tmp_path / "a"
    path.touch()
    before = os.stat(path)
    path.unlink()
    os.mkfifo(path)
    monkeypatch.setattr(os, "stat", lambda *_, **__: before)
    with pytest.raises(OSError, match="it is no regular file"):
        read_bytes(path, 10)
