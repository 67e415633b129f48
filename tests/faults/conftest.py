"""What tests of faults share: the command line as a person meets it, and bounds on what a case may take."""

import re
import signal
import sys
from pathlib import Path

import pytest

from tfprune import cli

SECONDS = 60  # a case may take, on a machine that is busy with others
LONGEST = 1100  # characters of a line
GIGABYTES = 1.4  # beside what Python and TensorFlow take by themselves, which is 0.6


@pytest.fixture
def call(capsys, monkeypatch, tmp_path):
    """Runs a command line in an empty folder; returns its exit code and what it wrote to stderr."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["tfprune", *map(str, arguments)])
        monkeypatch.chdir(tmp_path)
        with pytest.raises(SystemExit) as stop:
            cli.main()
        printed = capsys.readouterr()
        assert list(tmp_path.glob("saved_models*")) == []
        return stop.value.code, printed.err

    return run


@pytest.fixture
def refused(call):
    """Runs a command line that must end in exit code 2 and one line, which is returned."""

    def run(*arguments):
        code, err = call(*arguments)
        assert code == 2, err
        assert err.startswith("Error: ") and err.count("\n") == 1 and len(err) < LONGEST, err[:LONGEST]
        assert err[:-1].isprintable()
        return err

    return run


@pytest.fixture
def bounded():
    """Fails a test that takes longer than `SECONDS` or more memory than `GIGABYTES`, at any moment of it."""

    def too_long(*_):
        raise TimeoutError(f"not done after {SECONDS} s")

    before = signal.signal(signal.SIGALRM, too_long)
    signal.alarm(SECONDS)
    _forget_peak()
    started = _gigabytes("VmRSS")
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)
    assert _gigabytes("VmHWM") - started < GIGABYTES


def _forget_peak():
    Path("/proc/self/clear_refs").write_text("5")  # Linux: the high-water mark starts anew


def _gigabytes(name):
    return int(re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) / 2**20
