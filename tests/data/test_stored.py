"""Images that stay in their files: the same batches as from memory, at any size."""

import shutil
import subprocess
import sys

import numpy as np
import pytest
from prepared import write_copy

from tfprune.data import DATASETS, _tfds
from tfprune.data._base import Split
from tfprune.data._pipeline import ReplicaShard, evaluation_batches, training_batches
from tfprune.data._stored import Stored, joined
from tfprune.experiments.building import load_data
from tfprune.experiments.system_errors import translate_errors
from tfprune.training.config import Config
from tfprune.utils.errors import ConfigError, DataError


@pytest.fixture(scope="module")
def data(copies):
    """CIFAR-10's small copy: split -> its images in memory and those in files."""
    both = {stream: DATASETS["cifar10"].load(copies, 0, stream) for stream in ("memory", "shards")}
    return {name: tuple(getattr(own, name) for own in both.values()) for name in ("train", "validation", "test")}


def batches(split, steps=None, **settings):
    given = {"shuffle": True, "seed": 1} | settings
    return [tuple(map(np.asarray, batch)) for batch in training_batches(split, 48, **given).take(steps or 8)]


def check_same(some, others):
    for one, other in zip(some, others, strict=True):
        for a, b in zip(one, other, strict=True):
            np.testing.assert_array_equal(a, b)


def test_splits_are_those_of_memory_and_nothing_is_read_to_choose_them(data):
    for memory, stored in data.values():
        assert isinstance(stored.x, Stored) and isinstance(stored.x[3:5], Stored) and isinstance(memory.x, np.ndarray)
        assert (stored.x.shape, stored.x.dtype, stored.x.nbytes) == (memory.x.shape, memory.x.dtype, memory.x.nbytes)
        np.testing.assert_array_equal(stored.x, memory.x)
        np.testing.assert_array_equal(stored.y, memory.y)
        rows = np.array([7, 3, 3])
        np.testing.assert_array_equal(stored.x[rows], memory.x[rows])


@pytest.mark.parametrize(
    "settings",
    [{}, {"augment": ("crop", "flip")}, {"shuffle": False}, {"first_step": 5, "augment": ("zoom",)}, {"seed": 2}],
)
def test_batches_are_those_of_memory_in_every_epoch_from_any_step(data, settings):
    memory, stored = data["train"]
    check_same(batches(stored, **settings), batches(memory, **settings))


def test_each_epoch_has_every_example_once_in_a_new_order(data):
    _, stored = data["train"]
    numbered = Split(stored.x, np.arange(len(stored)))
    first, second = (np.concatenate([y for _, y in batches(numbered, 8)[start : start + 4]]) for start in (0, 4))
    assert sorted(first) == sorted(second) == list(range(180))
    assert list(first) != list(second)


def test_workers_read_parts_that_make_up_the_batch(data):
    memory, stored = data["train"]
    parts = [batches(stored, shard=ReplicaShard(number, 1, 2)) for number in range(2)]
    for (x, y), one, other in zip(batches(memory), *parts, strict=True):
        np.testing.assert_array_equal(np.concatenate([one[0], other[0]]), x)
        np.testing.assert_array_equal(np.concatenate([one[1], other[1]]), y)


def test_evaluation_reads_a_split_once_in_order(data):
    memory, stored = data["validation"]
    check_same(evaluation_batches(stored, 8).as_numpy_iterator(), evaluation_batches(memory, 8).as_numpy_iterator())


def test_parts_are_joined_as_arrays_are(data):
    stored, memory = ([data[name][kind].x for name in ("test", "train")] for kind in (1, 0))
    np.testing.assert_array_equal(joined(stored), joined(memory))


def test_other_contents_have_other_fingerprints(copies, tmp_path):
    own = DATASETS["cifar10"].load(copies, 0, "shards")
    assert own.fingerprint() == DATASETS["cifar10"].load(copies, 0, "shards").fingerprint()
    assert own.fingerprint() != DATASETS["cifar10"].load(copies, 1, "shards").fingerprint()
    _tfds._read_splits.cache_clear()
    write_copy(tmp_path, "cifar10", seed=1)  # the same labels and sizes
    assert own.fingerprint() != DATASETS["cifar10"].load(tmp_path, 0, "shards").fingerprint()


def test_auto_streams_what_would_take_more_than_its_share_of_memory(copies, monkeypatch):
    assert not DATASETS["cifar10"].load(copies, 0).train.stored
    _tfds._read_splits.cache_clear()
    monkeypatch.setattr(_tfds, "MAX_OF_MEMORY", 1e-9)
    assert DATASETS["cifar10"].load(copies, 0).train.stored
    _tfds._read_splits.cache_clear()


def test_what_is_no_set_of_images_is_read_whole(tiny):
    with pytest.raises(ConfigError, match="stream=shards is for images in TFDS or in a folder; penguins is read whole"):
        tiny(stream="shards")
    with pytest.raises(ConfigError, match="loop=fused needs the data in memory"):
        Config(dataset="cifar10", stream="shards", loop="fused")
    assert Config(dataset="cifar10", stream="shards").run_id == Config(dataset="cifar10").run_id


@pytest.fixture
def folder(tmp_path):
    from PIL import Image

    random = np.random.default_rng(0)
    for name in ("one", "two"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(12):
            pixels = random.integers(0, 256, (20, 30, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{number}.png")
    (tmp_path / "photos" / "one" / "broken.png").write_bytes(b"no image")
    return tmp_path / "photos"


@pytest.mark.parametrize("kind", ["folder", "tfds"])
def test_own_images_stay_in_their_files_too(kind, folder, copies):
    if kind == "folder":
        config = Config(dataset=str(folder), data_settings={"broken": "skip"})
    else:
        config = Config(dataset="tfds:cifar10", data_dir=str(copies))
    memory, stored = (load_data(config.replace(stream=stream)) for stream in ("memory", "shards"))
    assert stored.stream == "shards" and memory.stream == "memory" and stored.warnings == memory.warnings
    for name in ("train", "validation", "test"):
        np.testing.assert_array_equal(getattr(stored, name).x, getattr(memory, name).x)
        np.testing.assert_array_equal(getattr(stored, name).y, getattr(memory, name).y)


def test_files_that_go_while_they_are_read_are_named_in_one_line(folder, tmp_path):
    config = Config(dataset=str(folder), stream="shards", data_settings={"broken": "skip"})
    data = load_data(config)
    shutil.rmtree(folder)
    with (
        pytest.raises(DataError, match=r"cannot be read any more \(/.*png; No such file or dir.*\); put it") as caught,
        translate_errors(tmp_path),
    ):
        batches(data.train)
    assert "\n" not in str(caught.value)


PEAKS = """
import re, sys
from pathlib import Path

from tfprune.data._pipeline import evaluation_batches, training_batches
from tfprune.data._tfds import read_images

def status(name):
    return int(re.search(rf"{name}:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024

def read(folder, stream):
    (split,), _ = read_images("tf_flowers", ("train",), Path(folder), side=96, channels=3, stream=stream)
    for _ in training_batches(split, 64, shuffle=True, seed=0, augment=("crop",)).take(-(-len(split) // 64)):
        pass
    for _ in evaluation_batches(split, 64):
        pass

read(sys.argv[1], sys.argv[3])  # what is taken once
Path("/proc/self/clear_refs").write_text("5")  # Linux: the high-water mark starts anew
before = status("VmRSS")
read(sys.argv[2], sys.argv[3])
print(status("VmHWM") - before)
"""


@pytest.fixture(scope="module")
def sizes(tmp_path_factory):
    """Folders with copies of a data set, of 150 and of 3,000 images: 4 MB and 83 MB in memory, and as much in files."""
    folders = [tmp_path_factory.mktemp(name) for name in ("few", "many")]
    for folder, a_class in zip(folders, (30, 600), strict=True):
        write_copy(folder, "flowers", shape=(96, 96, 3), a_class={"train": a_class})
    return folders


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.slow
@pytest.mark.parametrize(("stream", "least", "most"), [("shards", -30, 30), ("memory", 60, 400)])
def test_memory_does_not_grow_with_the_number_of_examples(sizes, stream, least, most):
    """In MB. Images in memory show that the measurement would see it."""
    command = [sys.executable, "-c", PEAKS, *map(str, sizes), stream]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert least < float(done.stdout) < most
