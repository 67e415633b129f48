import json
import os
import subprocess
import sys
import time

import pytest

from tfprune.utils.errors import RunError
from tfprune.utils.locks import holder, locked

HOLD = """
import sys, time
from pathlib import Path
from tfprune.utils.locks import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
"""


@pytest.fixture
def holding(tmp_path):
    """Starts a process that holds the lock of a folder for some seconds."""
    processes = []

    def start(seconds):
        command = [sys.executable, "-c", HOLD, str(tmp_path / "run"), str(seconds)]
        processes.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        assert processes[-1].stdout.readline() == "held\n"
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.wait()
        process.stdout.close()


def test_it_says_who_holds_it_and_leaves_nothing(tmp_path):
    run = tmp_path / "run"
    with locked(run) as held:
        assert held
        values = json.loads((run / ".lock").read_text())
        assert values["pid"] == os.getpid() and values["host"] and values["since"]
        assert holder(run / ".lock") == f"process {os.getpid()} on {values['host']} since {values['since']}"
    assert not run.exists()


def test_a_folder_with_something_in_it_stays(tmp_path):
    with locked(tmp_path / "run"):
        (tmp_path / "run" / "config.json").touch()
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["config.json"]


def test_a_second_process_waits_and_says_for_whom(tmp_path, holding, caplog):
    process = holding(1.0)
    started = time.monotonic()
    with locked(tmp_path / "run") as held:
        assert held and time.monotonic() - started > 0.3
    assert f"is in use by process {process.pid} on" in caplog.text and "waiting for it" in caplog.text


def test_it_can_be_left_to_whoever_holds_it(tmp_path, holding):
    holding(60)
    with locked(tmp_path / "run", wait=False) as held:
        assert not held
    assert (tmp_path / "run" / ".lock").exists()  # it is not ours to remove


def test_the_lock_of_a_dead_process_is_taken_over(tmp_path, holding):
    process = holding(60)
    process.kill()
    process.wait()
    assert (tmp_path / "run" / ".lock").exists()
    with locked(tmp_path / "run", wait=False) as held:
        assert held
        assert json.loads((tmp_path / "run" / ".lock").read_text())["pid"] == os.getpid()


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(RunError, match="cannot write in .*run .*choose another folder with --out"),
        locked(tmp_path / "file" / "run"),
    ):
        pass


def test_without_the_locks_of_posix_there_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr("tfprune.utils.locks.fcntl", None)
    with pytest.raises(RunError, match="runs need Linux or macOS, or WSL 2 on Windows"), locked(tmp_path / "run"):
        pass
    assert not (tmp_path / "run").exists()
