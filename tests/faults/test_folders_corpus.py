"""Run folders and models that are cut short, altered, foreign, or full of links: each is one line and exit code 2."""

import io
import json
import os
import shutil

import numpy as np
import pytest
from written import write_run

from tfprune.adapters.backend import keras
from tfprune.adapters.loading.gate import load_model
from tfprune.experiments.building import load_data
from tfprune.experiments.experiment import train
from tfprune.experiments.results import read_result
from tfprune.experiments.rundir import RunDir, unpack
from tfprune.exporting.inference import Predictor
from tfprune.exporting.savedmodel import export
from tfprune.training.config import Config
from tfprune.training.tf_keras_checkpoints import CheckpointCallback
from tfprune.utils.errors import ModelError, RunError

pytestmark = pytest.mark.usefixtures("bounded")


def replaced(name, content):
    return lambda run: (run / name).write_bytes(content)


def cut(name, share):
    return lambda run: (run / name).write_bytes((run / name).read_bytes()[: int(share * (run / name).stat().st_size)])


def edited(name, change):
    def edit(run):
        values = json.loads((run / name).read_text())
        change(values)
        (run / name).write_text(json.dumps(values))

    return edit


def set_to(*path):
    *path, last, value = path

    def change(values):
        for key in path:
            values = values[key]
        values[last] = value

    return change


NO_JSON = (b"", b"{", b"[]", b"7", b"null", b'"x"', b"\xff\xfe", b"{}", b"[" * 100_000, b'{"schema": 2}', b"\0" * 99)
BROKEN_RUNS = {
    **{
        f"{name} is {content[:12]}": replaced(name, content)
        for name in ("metrics.json", "config.json")
        for content in NO_JSON
    },
    **{
        f"{name} cut at {share}": cut(name, share)
        for name in ("metrics.json", "config.json")
        for share in (0.1, 0.5, 0.99)
    },
    "schema 1": edited("metrics.json", set_to("schema", 1)),
    "schema 99": edited("metrics.json", set_to("schema", 99)),
    "no test scores": edited("metrics.json", set_to("test", {})),
    "a score that is text": edited("metrics.json", set_to("test", "loss", "<b>")),
    "layers that are a list": edited("metrics.json", set_to("sparsity", "layers", [1])),
    "a layer without a size": edited("metrics.json", set_to("sparsity", "layers", "dense_1/kernel", {"zeros": 1})),
    "seconds that are none": edited("metrics.json", set_to("seconds", None)),
    "a setting of another version": edited("config.json", set_to("of_the_future", 1)),
    "a method of another version": edited("config.json", set_to("method", "of_the_future")),
    "settings that are a list": edited("config.json", set_to("settings", [1])),
    "epochs that are text": edited("config.json", set_to("epochs", "many")),
    "a data set that is a number": edited("config.json", set_to("dataset", 5)),
    "no metrics": lambda run: (run / "metrics.json").unlink(),
    "no settings": lambda run: (run / "config.json").unlink(),
    "an empty folder": lambda run: [path.unlink() for path in run.iterdir()],
    "metrics that are a folder": lambda run: ((run / "metrics.json").unlink(), (run / "metrics.json").mkdir()),
    "a link to nowhere": lambda run: ((run / "config.json").unlink(), (run / "config.json").symlink_to("nowhere")),
    "a link to itself": lambda run: ((run / "config.json").unlink(), (run / "config.json").symlink_to("config.json")),
    "a file": lambda run: (shutil.rmtree(run), run.write_text("x")),
    "nothing": lambda run: shutil.rmtree(run),
}


@pytest.mark.parametrize("name", BROKEN_RUNS)
def test_a_broken_run_is_one_line_for_every_command_that_reads_it(refused, tmp_path, name):
    run = write_run(tmp_path / "runs")
    BROKEN_RUNS[name](run)
    refused("show", run)
    refused("report", run, "--out", tmp_path / "report.json")
    assert not (tmp_path / "report.json").exists()


BROKEN_HISTORIES = {
    **{
        f"{content[:12]}": replaced("history.csv", content)
        for content in (b"", b"\0", b"\xff\xfe", b"a,b\n1,2\n", b'"')
    },
    "cut in a row": cut("history.csv", 0.95),
    "more cells": lambda run: (run / "history.csv").write_text(
        (run / "history.csv").read_text() + "a,1,2,3,4,5,6,7,8,9\n"
    ),
    "text for numbers": lambda run: (run / "history.csv").write_text(
        (run / "history.csv").read_text().replace("0.", "x")
    ),
    "gone": lambda run: (run / "history.csv").unlink(),
    "a FIFO": lambda run: ((run / "history.csv").unlink(), os.mkfifo(run / "history.csv")),
    "a link to what never ends": lambda run: (
        (run / "history.csv").unlink(),
        (run / "history.csv").symlink_to("/dev/zero"),
    ),
    "a hole of terabytes": lambda run: os.truncate(run / "history.csv", 2**42),
}


@pytest.mark.parametrize("name", BROKEN_HISTORIES)
def test_a_broken_history_is_one_line(refused, call, tmp_path, name):
    run = write_run(tmp_path / "runs", "unpruned")
    BROKEN_HISTORIES[name](run)
    assert "history.csv" in refused("report", run, "--out", tmp_path / "report.json")
    for command in ("show", "runs"):  # which do not read it
        assert call(command, run) == (0, "")


class Opened:
    """What leaves a file behind when it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


def test_masks_that_are_broken_or_pickled_are_one_line(tmp_path):
    run = write_run(tmp_path / "runs")
    pickled = io.BytesIO()
    np.savez(pickled, a=np.array([Opened(tmp_path / "executed")], object))
    for content in (b"", b"PK\x03\x04", pickled.getvalue(), pickled.getvalue()[:100]):
        (run / "masks.npz").write_bytes(content)
        with pytest.raises(RunError, match="masks.npz: cannot be read"):
            read_result(RunDir(run)).masks()
    assert not (tmp_path / "executed").exists()


@pytest.fixture(scope="module")
def cut_off(tmp_path_factory):
    """The folder of a run that ended with its first checkpoint, in the middle of its training."""
    save = CheckpointCallback._save

    def last(self, position):
        save(self, position)
        raise KeyboardInterrupt

    config = Config(dataset="penguins", epochs=6, checkpoint_every=3, out=str(tmp_path_factory.mktemp("cut_off")))
    with pytest.MonkeyPatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(CheckpointCallback, "_save", last)
        train(config)
    return RunDir(config.out).root / config.run_id


@pytest.mark.parametrize(
    "name", ["tensorboard", "tensorboard/train", "checkpoints", "model", "exports", "history.csv", ".lock"]
)
def test_a_run_neither_writes_nor_removes_through_a_link(cut_off, call, tmp_path, name):
    """A folder from elsewhere, with a link to what is a person's own; the run could go on but for that."""
    own = tmp_path / "own"
    own.mkdir()
    left = {".000009.ckpt": b"precious", "000001.ckpt": b"precious"}
    for file, content in left.items():
        (own / file).write_bytes(content)
    run = shutil.copytree(cut_off, tmp_path / "runs" / cut_off.name)
    for command in (("resume", run), ("train", "--config", run / "config.json", "--out", run.parent, "--force")):
        link = run / name
        if not link.is_symlink():
            shutil.rmtree(link) if link.is_dir() else link.unlink(missing_ok=True)
            link.symlink_to(own / "000001.ckpt" if name in ("history.csv", ".lock") else own)
        code, err = call(*command)
        assert {path.name: path.is_file() and path.read_bytes() for path in own.iterdir()} == left
        assert code == 2 and err.count("\n") == 1 and run.name in err and "symbolic link" in err


@pytest.mark.parametrize("command", [("export", "--format", "h5"), ("compact",)], ids=["export", "compact"])
def test_nothing_is_exported_through_a_link(call, tmp_path, command):
    run = train(Config(dataset="penguins", epochs=1, method="unpruned", out=str(tmp_path / "runs"))).folder
    (tmp_path / "own").mkdir()
    run.exports.symlink_to(tmp_path / "own")
    code, err = call(*command, run.root)
    assert list((tmp_path / "own").iterdir()) == []
    assert code == 2 and err.count("\n") == 1 and "exports: this is a symbolic link" in err


@pytest.mark.parametrize("name", ["../outside", "a/../../outside", "/outside-of-a-run"])
def test_files_of_a_run_that_travels_stay_in_its_folder(tmp_path, name):
    with pytest.raises(RunError, match="which lies outside of its folder"):
        unpack({"config.json": b"{}", name: b"x"}, RunDir(tmp_path / "deep" / "run"))
    assert list(tmp_path.rglob("*")) == []


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """The folder of an exported model, untrained."""
    folder = tmp_path_factory.mktemp("exported") / "model"
    model = keras.Sequential([keras.layers.Input((12,)), keras.layers.Dense(3, name="logits")])
    export(model, load_data(Config(dataset="penguins")), {}, folder)
    return folder


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.9])
@pytest.mark.parametrize(
    "part", ["saved_model.pb", "variables/variables.index", "variables/variables.data-00000-of-00001"]
)
def test_a_saved_model_that_is_cut_short_is_one_line(exported, tmp_path, part, share):
    shutil.copytree(exported, tmp_path / "model")
    cut(part, share)(tmp_path / "model")
    with pytest.raises(ModelError, match="model") as caught:
        Predictor(tmp_path / "model")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", ["h5", "keras", "saved_model"])
def test_a_model_file_that_is_cut_short_or_altered_is_one_line(tmp_path, suffix):
    path = tmp_path / f"net.{suffix}"
    model = keras.Sequential([keras.layers.Input((12,)), keras.layers.Dense(3)])
    model.save(path, **({"save_format": "tf"} if suffix == "saved_model" else {}))
    file = path / "saved_model.pb" if path.is_dir() else path
    content = file.read_bytes()
    for share in (0.0, 0.1, 0.5, 0.9, 0.999):
        file.write_bytes(content[: int(share * len(content))])
        with pytest.raises(ModelError) as caught:
            load_model(path)
        assert "\n" not in str(caught.value)
    for position in range(0, len(content), max(1, len(content) // 12)):  # it is opened, or it is not
        file.write_bytes(content[:position] + bytes(8) + content[position + 8 :])
        try:
            load_model(path)
        except ModelError as error:
            assert "\n" not in str(error)


def test_a_run_whose_files_are_cut_anywhere_reads_or_is_one_line(tmp_path):
    """Every length of metrics.json and config.json."""
    run = write_run(tmp_path / "runs")
    for name in ("metrics.json", "config.json"):
        content = (run / name).read_bytes()
        for length in range(0, len(content) - 1, 7):
            (run / name).write_bytes(content[:length])
            with pytest.raises(RunError) as caught:
                read_result(RunDir(run))
            assert "\n" not in str(caught.value)
        (run / name).write_bytes(content)
    assert read_result(RunDir(run)).metrics["schema"] == 2


def test_a_folder_that_is_no_run_is_not_emptied(tmp_path):
    config = Config(dataset="penguins", epochs=6, out=str(tmp_path / "runs"))
    (tmp_path / "runs" / config.run_id).mkdir(parents=True)
    (tmp_path / "runs" / config.run_id / "diary.txt").write_text("mine")
    train(config)
    assert (tmp_path / "runs" / config.run_id / "diary.txt").read_text() == "mine"
