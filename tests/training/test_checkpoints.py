import hashlib
import io
from pathlib import Path

import numpy as np
import pytest

from tfprune.training import checkpoints
from tfprune.training.checkpoints import Checkpoints, Interval
from tfprune.utils.errors import ConfigError, RunError

ARRAYS = {"weight/0": np.arange(12, dtype=np.float32).reshape(3, 4), "weight/1": np.array(7, np.int64)}


@pytest.fixture
def written(tmp_path):
    """Three checkpoints, of which two are kept."""
    own = Checkpoints(tmp_path / "checkpoints")
    for epoch in (1, 2, 3):
        own.write({"epoch": epoch, "loss": 0.1 + epoch}, ARRAYS)
    return own


def names(own):
    return sorted(path.name for path in own.folder.iterdir())


def test_the_last_two_are_kept_and_the_last_is_read_to_the_bit(written):
    assert names(written) == ["000002.ckpt", "000003.ckpt"]
    read = written.latest()
    assert read.state == {"epoch": 3, "loss": 0.1 + 3}
    assert read.arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(read.arrays[name], array)
        assert read.arrays[name].dtype == array.dtype


def test_there_may_be_none(tmp_path):
    assert Checkpoints(tmp_path / "checkpoints").latest() is None


@pytest.mark.parametrize("place", [0, 5, 25, 60, 120, 300, -200, -1])
def test_an_altered_one_is_noticed_and_named_and_the_one_before_is_used(written, place, caplog):
    path = written.folder / "000003.ckpt"
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    assert written.latest().state["epoch"] == 2
    assert "000003.ckpt is torn or altered" in caplog.text


@pytest.mark.parametrize("kept", [0, 1, 30, 90, 0.5, 0.99])
def test_a_torn_one_is_noticed_and_the_one_before_is_used(written, kept, caplog):
    path = written.folder / "000003.ckpt"
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept) if isinstance(kept, float) else kept])
    assert written.latest().state["epoch"] == 2
    assert "000003.ckpt is torn or altered" in caplog.text


def test_where_both_are_broken_there_is_none(written):
    for path in written.folder.iterdir():
        path.write_bytes(b"")
    assert written.latest() is None
    assert names(written) == ["000002.ckpt.broken", "000003.ckpt.broken"]


@pytest.mark.parametrize("error", [OSError(24, "Too many open files"), MemoryError()])
def test_one_that_cannot_be_read_now_stays(written, monkeypatch, error):
    def fail(*_):
        raise error

    monkeypatch.setattr(checkpoints, "open_regular", fail)
    with pytest.raises(type(error)):
        written.latest()
    monkeypatch.undo()
    assert written.latest().state["epoch"] == 3


def test_one_of_another_version_is_left_alone(written):
    path = written.folder / "000003.ckpt"
    path.write_bytes(path.read_bytes().replace(b"checkpoint 1", b"checkpoint 2", 1))
    with pytest.raises(RunError, match=r"000003.ckpt is of another version of tfprune; .* use --force"):
        written.latest()
    assert names(written) == ["000002.ckpt", "000003.ckpt"]


def test_one_that_cannot_be_written_leaves_those_before(written, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoints.os, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        written.write({"epoch": 4}, ARRAYS)
    monkeypatch.undo()
    assert names(written) == ["000002.ckpt", "000003.ckpt"] and written.latest().state["epoch"] == 3


def test_one_that_is_being_written_has_no_name_that_counts(written, monkeypatch):
    seen = []
    monkeypatch.setattr(checkpoints.os, "fsync", lambda _: seen.append(names(written)))
    written.write({"epoch": 4}, ARRAYS)
    assert seen[0] == [".000004.ckpt", "000002.ckpt", "000003.ckpt"]


def test_what_a_killed_process_left_half_written_goes(written):
    (written.folder / ".000004.ckpt").write_bytes(b"half")
    assert written.latest().state["epoch"] == 3
    assert names(written) == ["000002.ckpt", "000003.ckpt"]


@pytest.mark.parametrize("array", [np.array([object()]), np.array(["text"])])
def test_nothing_is_pickled(tmp_path, array):
    with pytest.raises(TypeError, match="weight/0 cannot be stored as"):
        Checkpoints(tmp_path).write({}, {"weight/0": array})


class Touches:
    """What runs code when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_a_pickle_in_its_place_is_not_opened(written, tmp_path, caplog):
    """Even one with a checksum that fits: NumPy is told to refuse objects."""
    content = io.BytesIO()
    np.savez(content, **{checkpoints.STATE: np.array([Touches(tmp_path / "executed")], dtype=object)})
    digest = hashlib.sha256(content.getvalue()).hexdigest().encode()
    (written.folder / "000004.ckpt").write_bytes(checkpoints.MAGIC + digest + b"\n" + content.getvalue())
    assert written.latest().state["epoch"] == 3
    assert "000004.ckpt is torn or altered" in caplog.text
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (5, Interval(epochs=5)),
        ("5", Interval(epochs=5)),
        ("30s", Interval(seconds=30.0)),
        ("0.5s", Interval(seconds=0.5)),
    ],
)
def test_an_interval_is_read_and_written_the_same(value, expected):
    assert Interval.parse(value) == expected == Interval.parse(str(expected))


@pytest.mark.parametrize("value", [0, -1, "0s", "-3s", 1.5, "s", "", "soon", "infs", "nans", True, None, [5]])
def test_an_interval_that_is_none_is_refused(value):
    with pytest.raises(ConfigError, match="checkpoint_every must be epochs like 5 or seconds like 30s"):
        Interval.parse(value)
