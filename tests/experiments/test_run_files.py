import io
import json
import os
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from written import LAYERS, write_run, write_runs

from tfprune.experiments.listing import list_runs
from tfprune.experiments.results import check_model, find_results, metrics_with_checksum, read_comparisons, read_result
from tfprune.experiments.run_files import read_json, read_masks
from tfprune.experiments.rundir import RunDir
from tfprune.reporting.made import Made
from tfprune.reporting.pages import write_html, write_json_report
from tfprune.reporting.report import sections
from tfprune.utils.archives import check_archive
from tfprune.utils.errors import RunError
from tfprune.utils.files import write_json

MADE = Made("tfprune report runs --out r.html", "2026-11-29 05:00 UTC", "0.1.0")

pytestmark = pytest.mark.usefixtures("soon")

HERE = Path(__file__).parent
DOCS = HERE.parents[1] / "docs" / "results"


def seal(run):
    """Gives a written run the checksums that a trained one has."""
    folder = RunDir(run)
    write_json(folder.metrics, metrics_with_checksum(folder, read_json(folder.metrics)))
    return folder


def edit(path, change):
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))


def save_masks(run, **arrays):
    masks = {"dense_1/kernel": np.ones((12, 12), np.uint8), "dense_2/kernel": np.ones((12, 3), np.uint8)}
    np.savez_compressed(run / "masks.npz", **(masks | arrays))


FIELDS = {
    "train.loss": (lambda m: m["train"].pop("loss"), "train: object missing required field `loss`"),
    "accuracy": (lambda m: m["test"].update(accuracy=1.5), "test.accuracy: expected `float` <= 1.0"),
    "negative": (lambda m: m["seconds"].update(total=-1), r"seconds\[\.\.\.\]: expected `float` >= 0.0"),
    "no total": (lambda m: m["cpu_seconds"].pop("total"), "expected `cpu_seconds.total` above 0"),
    "size 0": (lambda m: m["sparsity"]["layers"]["dense_1/kernel"].update(size=0), "size: expected `int` >= 1"),
    "zeros": (lambda m: m["sparsity"]["layers"]["dense_1/kernel"].update(zeros=999), "`zeros` of at most 144"),
    "huge": (lambda m: m.update(epochs=10**400), "epochs: expected `int` <= 9223372036854775807"),
    "list": (lambda m: m.update(cost=[1]), "cost: expected `object`, got `array`"),
    "gpus": (lambda m: m["machine"].update(gpus="x"), "machine.gpus: expected `array`, got `str`"),
    "versions": (lambda m: m["versions"].pop("python"), "versions: object missing required field `python`"),
    "text": (lambda m: m.update(parameters="7"), "parameters: expected `int`, got `str`"),
    "truth": (lambda m: m.update(networks=True), "networks: expected `int`, got `bool`"),
    "raw alone": (lambda m: m["bytes"].update(raw=7), "both of `raw` and `gzip`"),
    "other seed": (lambda m: m.update(seed=1), "seed: this is of another run than config.json"),
    "channels": (
        lambda m: m.update(
            channels={
                "groups": {},
                "left_alone": {},
                **{key: {"before": 1, "after": 1} for key in ("parameters", "macs")},
            }
        ),
        "channels: this is of another run than config.json",
    ),
}


@pytest.mark.parametrize("name", FIELDS)
def test_a_field_of_metrics_that_is_not_what_it_should_be_is_named(tmp_path, name):
    change, message = FIELDS[name]
    run = write_run(tmp_path)
    edit(run / "metrics.json", change)
    with pytest.raises(RunError, match=f"metrics.json: .*{message}"):
        read_result(RunDir(run))


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e400", "1" + "0" * 400])
def test_numbers_that_are_not_finite_are_refused(tmp_path, number):
    run = write_run(tmp_path)
    text = (run / "metrics.json").read_text()
    (run / "metrics.json").write_text(
        text.replace('"accuracy": 0.9,', f'"accuracy": {number},', 1).replace(
            '"accuracy": 0.9}', f'"accuracy": {number}}}', 1
        )
    )
    with pytest.raises(RunError, match=r"metrics\.json: "):
        read_result(RunDir(run))


def test_keys_of_other_versions_are_left_alone(tmp_path):
    run = write_run(tmp_path)
    edit(run / "metrics.json", lambda m: (m.update(of_the_future=[1]), m["test"].update(f1=0.5)))
    assert read_result(RunDir(run)).metrics["of_the_future"] == [1]


def test_runs_of_earlier_versions_are_read(tmp_path):
    """Those that the docs show have no checksums, and not all keys that are written now."""
    results, left_out = find_results([DOCS / "cifar10"])
    assert len(results) == 24 and left_out == []
    assert all("checksum" not in result.metrics and result.history() for result in results)
    assert len(list_runs([DOCS / "cifar10"])[0]) == 24
    write_html(sections(results), tmp_path / "r.html", MADE)
    assert len(read_comparisons(HERE / "earlier" / "comparison.json")) == 1  # of schema 2


ALTERED = {
    "a result": lambda run: edit(run / "metrics.json", lambda m: m["test"].update(accuracy=0.99)),
    "a key that nobody reads": lambda run: edit(run / "metrics.json", lambda m: m.update(x=1)),
    "another file's checksum": lambda run: edit(run / "metrics.json", lambda m: m["files"].pop("history.csv")),
    "a setting": lambda run: edit(run / "config.json", lambda c: c.update(learning_rate=0.5)),
}


@pytest.mark.parametrize("name", ALTERED)
def test_results_that_were_altered_are_noticed(tmp_path, name):
    run = write_run(tmp_path)
    seal(run)
    read_result(RunDir(run))
    ALTERED[name](run)
    with pytest.raises(RunError, match=r"(metrics|config)\.json: was altered after it was written"):
        read_result(RunDir(run))


def test_a_run_may_move_and_its_files_be_laid_out_anew(tmp_path):
    run = write_run(tmp_path / "a")
    seal(run)
    new = shutil.move(run, tmp_path / "b")
    edit(new / "config.json", lambda c: c.update(out="elsewhere", data_dir="/data", mlflow=None, checkpoint_every="5"))
    text = json.dumps(json.loads((new / "metrics.json").read_text()), indent=7)
    (new / "metrics.json").write_text(text)
    assert read_result(RunDir(new)).history()


@pytest.mark.parametrize("name", ["history.csv", "masks.npz"])
def test_each_file_of_results_is_checked_when_it_is_read(tmp_path, name):
    run = write_run(tmp_path)
    save_masks(run)
    result = read_result(seal(run))
    reads = {"history.csv": result.history, "masks.npz": result.masks}
    content = (run / name).read_bytes()
    for place in (0, len(content) // 2, len(content) - 1):
        (run / name).write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with pytest.raises(RunError, match=f"{name}: was altered"):
            reads[name]()
        reads["history.csv" if name == "masks.npz" else "masks.npz"]()
    assert len(list_runs([run])[0]) == 1  # which reads neither


def test_the_model_is_checked_file_by_file(tmp_path):
    run = write_run(tmp_path)
    (run / "model" / "variables").mkdir(parents=True)
    (run / "model" / "saved_model.pb").write_bytes(b"graph")
    (run / "model" / "variables" / "data").write_bytes(b"weights")
    check_model(seal(run))
    (run / "model" / "variables" / "data").write_bytes(b"weightz")
    with pytest.raises(RunError, match="model/variables/data: was altered"):
        check_model(RunDir(run))
    (run / "model" / "variables" / "data").unlink()
    with pytest.raises(RunError, match="model/variables/data: cannot be read"):
        check_model(RunDir(run))


def test_a_comparison_that_was_altered_is_noticed(tmp_path):
    write_runs(tmp_path / "runs", ("unpruned", "dynamic"), 2)
    path = tmp_path / "r.json"
    write_json_report(sections(find_results([tmp_path / "runs"])[0]), path, MADE)
    assert len(read_comparisons(path)) == 1
    edit(path, lambda c: c["methods"]["dynamic"]["mean"].update(test_accuracy=0.999))
    with pytest.raises(RunError, match="r.json: was altered"):
        read_comparisons(path)


HISTORIES = {
    "no rows": (lambda text: text.splitlines()[0], "it has no rows"),
    "twice": (lambda text: text.replace("val_loss", "loss"), "a column is there twice"),
    "no column": (lambda text: text.replace("sparsity", "x"), "it has no 'sparsity'"),
    "empty sparsity": (lambda text: text.replace(",0.3\r", ",\r"), "sparsity: a cell is empty"),
    "epoch 0": (lambda text: text.replace("dense,6,", "dense,0,"), "epoch: numbers from 1"),
    "accuracy": (lambda text: text.replace("0.8", "1.8"), "accuracy: numbers from 0.0 to 1"),
    "digits": (lambda text: text.replace("0.8", "0.8_1"), "accuracy: cannot be read"),
    "steps": (lambda text: "".join(text.splitlines(keepends=True)[n] for n in (0, 2, 1, 3, 4)), "rows have been moved"),
    "phase": (lambda text: text.replace("dense", "x"), "has no seconds and cpu_seconds of 'x'"),
}


@pytest.mark.parametrize("name", HISTORIES)
def test_a_history_that_is_none_is_named(tmp_path, name):
    change, message = HISTORIES[name]
    run = write_run(tmp_path, "lottery")
    text = (run / "history.csv").read_bytes().decode()
    (run / "history.csv").write_bytes(change(text).encode())
    with pytest.raises(RunError, match=f"history.csv: .*{message}"):
        read_result(RunDir(run)).history()


def test_numbers_of_a_history_that_are_not_finite_were_not_measured(tmp_path):
    """A loss may have been too large on the way."""
    run = write_run(tmp_path, "unpruned")
    text = (run / "history.csv").read_text()
    first = text.splitlines()[1].split(",")
    (run / "history.csv").write_text(text.replace(first[5], "inf").replace(first[3], "nan"))
    row = read_result(RunDir(run)).history()[0]
    assert row["loss"] is None and row["val_loss"] is None and row["accuracy"] == 0.8
    write_html(sections(find_results([run])[0]), tmp_path / "r.html", MADE)


def zipped(**members):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as file:
        for name, own in members.items():
            file.writestr(name, own)
    return content.getvalue()


def header(**changes):
    content = io.BytesIO()
    fields = {"descr": "|u1", "fortran_order": False, "shape": (144,)} | changes
    np.lib.format.write_array_header_1_0(content, fields)
    return content.getvalue()


MASKS = {
    "claims terabytes": (zipped(**{"a.npy": header(shape=(10**13,)) + bytes(144)}), "not the array that it says it is"),
    "objects": (zipped(**{"a.npy": header(descr="|O") + bytes(144)}), "not the array that it says it is"),
    "no array": (zipped(**{"a.txt": b"x"}), "cannot be read"),
    "nothing": (b"", "cannot be read"),
    "twos": ({"dense_1/kernel": np.full((12, 12), 2, np.uint8)}, "dense_1/kernel: a mask is of 0 and 1 in uint8"),
    "floats": ({"dense_1/kernel": np.ones((12, 12))}, "dense_1/kernel: a mask is of 0 and 1 in uint8"),
    "another kernel's": (
        {"dense_1/kernel": np.ones(7, np.uint8)},
        "a mask of 144 weights is needed, there is one of 7",
    ),
}


@pytest.mark.parametrize("name", MASKS)
def test_masks_that_are_none_are_named(tmp_path, name):
    content, message = MASKS[name]
    run = write_run(tmp_path)
    if isinstance(content, dict):
        save_masks(run, **content)
    else:
        (run / "masks.npz").write_bytes(content)
    with pytest.raises(RunError, match=f"masks.npz: .*{message}"):
        read_result(RunDir(run)).masks()


def test_an_archive_that_unpacks_to_more_than_its_limit_is_refused():
    bomb = zipped(**{f"{n}.npy": header(shape=(10**6,)) + bytes(10**6) for n in range(9)})
    assert len(bomb) < 20_000
    with zipfile.ZipFile(io.BytesIO(bomb)) as archive:
        check_archive(archive, 10**7)
        with pytest.raises(ValueError, match="its arrays take more than 5,000,000 bytes"):
            check_archive(archive, 5 * 10**6)


def test_masks_are_read_by_kernel(tmp_path):
    run = write_run(tmp_path)
    save_masks(run)
    masks = read_masks((run / "masks.npz").read_bytes(), run / "masks.npz", LAYERS)
    assert {name: (mask.shape, mask.dtype.name) for name, mask in masks.items()} == {
        "dense_1/kernel": ((12, 12), "uint8"),
        "dense_2/kernel": ((12, 3), "uint8"),
    }


def test_a_config_of_elsewhere_has_nothing_looked_up(tmp_path):
    """A path that is no data set of its own would be searched for data when the settings are made."""
    run = write_run(tmp_path)
    edit(run / "config.json", lambda c: c.update(dataset="/", data_settings={}))
    with pytest.raises(RunError, match="dataset / has no fingerprint, which a run's always has"):
        read_result(RunDir(run))


@pytest.mark.parametrize("kind", ["FIFO", "/dev/zero", "folder", "endless"])
@pytest.mark.parametrize("name", ["history.csv", "masks.npz", "config.json", "metrics.json", "failure.txt"])
def test_a_file_of_a_run_that_is_none_is_refused_at_once(tmp_path, name, kind):
    run = write_run(tmp_path, finished=name != "failure.txt")
    path = run / name
    path.unlink(missing_ok=True)
    if kind == "FIFO":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "endless":
        with open(path, "wb") as file:
            file.truncate(2**42)  # a hole
    else:
        path.symlink_to(kind)

    def read():
        if name == "failure.txt":
            RunDir(run).read_failure()
        result = read_result(RunDir(run))
        result.history() if name == "history.csv" else result.masks()

    with pytest.raises(RunError, match=name if name != "metrics.json" or kind == "endless" else "not finished"):
        read()
