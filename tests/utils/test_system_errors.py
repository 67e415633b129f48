import errno
import os

import click
import pytest

from tfprune.utils.system_errors import explain_bad_name, explain_error, is_output_error


def raised(action, kind):
    with pytest.raises(kind) as error:
        action()
    return error.value


def test_a_path_that_the_system_refuses_is_explained_by_its_name(tmp_path):
    error = raised((tmp_path / ("x" * 5000)).is_file, OSError)
    assert explain_error(error).startswith(f"{tmp_path}/xxx") and explain_error(error).endswith(
        "xxx: File name too long"
    )
    assert len(explain_error(error)) < 200
    (tmp_path / "a\x1b[31m").touch()
    error = raised(lambda: open(tmp_path / "a\x1b[31m" / "b"), OSError)
    assert explain_error(error) == rf"{tmp_path}/a\x1b[31m/b: Not a directory"
    (tmp_path / "loop").symlink_to("loop")
    assert "symbolic links" in explain_error(raised(lambda: os.stat(tmp_path / "loop"), OSError))


@pytest.mark.parametrize("code", [errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO, errno.EMFILE])
def test_what_is_refused_is_explained_where_a_path_is_named(code):
    assert explain_error(OSError(code, "No", "a/b")) == "a/b: No"
    assert explain_error(OSError(code, "No")) is None  # of a process, a socket: may be a bug


def test_a_full_disk_is_explained_with_and_without_a_name():
    assert "the disk is full" in explain_error(OSError(errno.ENOSPC, "No space left on device"))


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
        assert explain_error(error) is None


def test_a_missing_file_is_explained_where_the_working_directory_is_missing(tmp_path, monkeypatch):
    error = raised(lambda: open(tmp_path / "absent"), OSError)
    monkeypatch.setattr(os, "getcwd", lambda: open(tmp_path / "absent"))
    assert explain_error(error) == "the working directory has been removed; change to another one"


def test_names_that_are_no_text():
    assert explain_bad_name("zażółć") is None
    assert explain_bad_name("a\ud800") == r"a\ud800: this name cannot be used here: it is no text"
    assert explain_error(raised(lambda: os.stat("a\ud800"), UnicodeEncodeError)) == explain_bad_name("a\ud800")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no full device")
def test_an_error_of_the_output_is_told_from_one_of_a_file():
    def fails():
        raise OSError(errno.ENOSPC, "No space left on device")

    assert not is_output_error(raised(fails, OSError))
    with open("/dev/full", "wb", buffering=0) as full:
        error = raised(lambda: click.echo(b"x", file=full), OSError)
    assert is_output_error(error) and explain_error(error) == "the output cannot be written (No space left on device)"
