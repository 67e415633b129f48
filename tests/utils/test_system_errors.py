import errno
import os

import click
import pytest

from tfprune.utils.system_errors import explained, of_output, unspeakable


def raised(action, kind):
    with pytest.raises(kind) as error:
        action()
    return error.value


def test_a_path_that_the_system_refuses_is_explained_by_its_name(tmp_path):
    error = raised((tmp_path / ("x" * 5000)).is_file, OSError)
    assert explained(error).startswith(f"{tmp_path}/xxx") and explained(error).endswith("xxx: File name too long")
    assert len(explained(error)) < 200
    (tmp_path / "a\x1b[31m").touch()
    error = raised(lambda: open(tmp_path / "a\x1b[31m" / "b"), OSError)
    assert explained(error) == rf"{tmp_path}/a\x1b[31m/b: Not a directory"
    (tmp_path / "loop").symlink_to("loop")
    assert "symbolic links" in explained(raised(lambda: os.stat(tmp_path / "loop"), OSError))


@pytest.mark.parametrize("code", [errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO, errno.EMFILE])
def test_what_is_refused_is_explained_where_a_path_is_named(code):
    assert explained(OSError(code, "No", "a/b")) == "a/b: No"
    assert explained(OSError(code, "No")) is None  # of a process, a socket: may be a bug


def test_a_full_disk_is_explained_with_and_without_a_name():
    assert "the disk is full" in explained(OSError(errno.ENOSPC, "No space left on device"))


def test_what_may_be_a_bug_is_not_explained(tmp_path):
    for error in (
        raised(lambda: open(tmp_path / "absent"), OSError),
        OSError(errno.EINVAL, "Invalid", "x"),
        OSError(errno.EBADF, "Bad file descriptor"),
        BrokenPipeError(errno.EPIPE, "Broken pipe"),
        raised(lambda: "é".encode("ascii"), UnicodeEncodeError),
        raised(lambda: "\n\ud800".encode(), UnicodeEncodeError),  # a page
        ValueError("x"),
    ):
        assert explained(error) is None


def test_a_missing_file_is_explained_where_the_working_directory_is_missing(tmp_path, monkeypatch):
    error = raised(lambda: open(tmp_path / "absent"), OSError)
    monkeypatch.setattr(os, "getcwd", lambda: open(tmp_path / "absent"))
    assert explained(error) == "the working directory has been removed; change to another one"


def test_names_that_are_no_text():
    assert unspeakable("zażółć") is None
    assert unspeakable("a\ud800") == r"a\ud800: this name cannot be used here: it is no text"
    assert explained(raised(lambda: os.stat("a\ud800"), UnicodeEncodeError)) == unspeakable("a\ud800")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no full device")
def test_an_error_of_the_output_is_told_from_one_of_a_file():
    def fails():
        raise OSError(errno.ENOSPC, "No space left on device")

    assert not of_output(raised(fails, OSError))
    with open("/dev/full", "wb", buffering=0) as full:
        error = raised(lambda: click.echo(b"x", file=full), OSError)
    assert of_output(error) and explained(error) == "the output cannot be written (No space left on device)"
