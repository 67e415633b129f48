"""What a machine does to a run: a disk that is full or read-only, a folder that goes, no memory, a clock that jumps."""

import itertools
import re
import resource
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from tfprune.experiments.experiment import train
from tfprune.training.trainer import Trainer

RUN = ("train", "--dataset", "penguins", "--method", "unpruned", "--epochs", 6)


@pytest.fixture
def disk(tmp_path):
    """A file system of its own in memory; returns its folder and what mounts it anew with other options."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(options):
        return subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True).returncode

    if shutil.which("mount") is None or mount("size=32k"):
        pytest.skip("file systems cannot be mounted here")
    yield folder, mount
    subprocess.run(["umount", folder], check=True)


def test_a_run_on_a_full_or_read_only_disk_is_one_line_and_finishes_when_there_is_room(disk, call):
    folder, mount = disk
    arguments = (*RUN, "--out", folder / "runs")
    code, err = call(*arguments)
    assert code == 2 and err.count("\n") == 1
    assert "the disk is full" in err or "No space left on device" in err
    assert not list(folder.rglob("metrics.json"))
    assert mount("remount,size=32m,ro") == 0
    code, err = call(*arguments)
    assert code == 2 and err.count("\n") == 1 and "cannot write in" in err and "Read-only file system" in err
    assert mount("remount,size=32m,rw") == 0
    code, err = call(*arguments)
    assert code == 0, err
    assert len(list(folder.rglob("metrics.json"))) == 1 and not list(folder.rglob(".draft.*"))


def test_a_folder_that_is_removed_under_a_run_is_one_line(refused, tmp_path, monkeypatch):
    finish = Trainer.finish

    def removed(self):
        shutil.rmtree(tmp_path / "runs")
        finish(self)

    monkeypatch.setattr(Trainer, "finish", removed)
    assert "the run's folder has been removed" in refused(*RUN, "--out", tmp_path / "runs")
    assert not [path for path in Path(tmp_path / "runs").rglob("*") if path.name == "metrics.json"]


@pytest.fixture
def little_memory():
    """Leaves this process no more than 2 GB beside what it has."""
    size = int(re.search(r"VmSize:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (size + 2 * 2**30, hard))
    yield
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def test_a_model_that_memory_does_not_hold_is_one_line(refused, tmp_path, little_memory):
    arguments = (*RUN, "--set", "model.hidden=[60000,60000]", "--out", tmp_path / "runs")
    assert "out of memory; try a lower --batch-size or a smaller --model" in refused(*arguments)
    assert not list(tmp_path.rglob("metrics.json")) and not list(tmp_path.rglob("*.ckpt"))


def test_a_clock_that_jumps_changes_nothing(tiny, tmp_path, monkeypatch):
    """Forwards and back by days, while a run is saved by seconds."""
    config = tiny(epochs=3, checkpoint_every="1e-9s")
    whole = train(config)
    jumps, now = itertools.cycle((0, 3e6, -3e6)), time.time
    monkeypatch.setattr(time, "time", lambda: now() + next(jumps))
    again = train(config.replace(out=str(tmp_path / "again")))
    assert again.history() == whole.history() and again.metrics["test"] == whole.metrics["test"]
    assert all(0 <= seconds < 600 for seconds in again.metrics["seconds"].values())
