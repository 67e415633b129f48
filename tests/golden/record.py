"""Records what a set of short runs comes to, so that a change that must not change any number can be held to it.

    python tests/golden/record.py [--keep FOLDER] [--groups GROUP ...]

writes `golden.json` beside this file; `--keep` leaves the run folders, to look for the reason of a difference, and
`--groups` records some of the runs anew, on the machine of the others.
Record anew only for a change that is meant to change numbers, and say so in the CHANGELOG.

Each run is recorded twice. `anywhere` holds on any x86 CPU: its id, its masks, what its history says of epochs and
sparsity, all counts, and losses and weights that are compared as numbers. `bits` are digests of all numbers, which
hold where `machine` is the same: XLA and oneDNN add in another order on another CPU.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import os
import tempfile
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from tfprune.adapters.backend import cores, keras, machine, versions
from tfprune.adapters.loading.trust import FUNCTIONS
from tfprune.adapters.tf_keras.optimizers import OPTIMIZERS
from tfprune.experiments.experiment import train
from tfprune.experiments.results import Result
from tfprune.experiments.together import train_together
from tfprune.exporting.savedmodel import load_weights
from tfprune.methods import METHODS
from tfprune.models import MODELS
from tfprune.pruning.criteria import CRITERIA
from tfprune.training.config import Config
from tfprune.training.setting_checks import WEIGHT_SCOPES

GOLDEN = Path(__file__).with_name("golden.json")
EPOCHS = 12
SEEDS = (1, 2)
EXACT_COLUMNS = ("phase", "epoch", "step", "sparsity")
NOT_COMPARED = ("seconds", "cpu_seconds", "versions", "machine", "schema")  # what the machine and the code version say
LOSSES = ("train.loss", "validation.loss", "test.loss", "untuned.test.loss")


# ---------------------------------------------------------------------------------------------------------- run ids


def run_ids(images: Path) -> dict[str, str]:
    """Returns a description of settings -> the run id that they lead to, see `_id_cases`."""
    return {name: Config(**settings).run_id for name, settings in _id_cases(images)}


def _id_cases(images: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    def case(**settings: Any) -> tuple[str, dict[str, Any]]:
        settings = {"dataset": "penguins"} | settings
        return " ".join(f"{key}={json.dumps(value)}" for key, value in settings.items()), settings

    for method in METHODS:
        kind = METHODS[method]
        setting = kind.sparsity_setting
        for dataset in ("penguins", "fashion_mnist", "flowers", "cifar10"):
            yield case(dataset=dataset, method=method)
        if setting:
            yield case(dataset="cifar10", method=method, settings={setting: 0.7}, seed=3)
        for scope in WEIGHT_SCOPES if setting else ():
            yield case(method=method, scope=scope)
        for granularity in kind.granularities if setting else ():
            yield case(method=method, granularity=granularity, scope="layer")
        if "criterion" in kind.defaults():
            yield case(method=method, settings={"criterion": "lamp"})
    for model in MODELS:
        yield case(dataset="cifar10", model=model)
    for criterion in CRITERIA:
        yield case(settings={"criterion": criterion})
    for optimizer in OPTIMIZERS:
        yield case(optimizer=optimizer)
        yield case(dataset="cifar10", optimizer=optimizer, learning_rate=0.1, learning_rate_schedule="steps")
    for pattern, pooling in (("4x1", "avg"), ("4x1", "max"), ("16x2", None), ("1x8", None)):
        yield case(granularity="block", pattern=pattern, pooling=pooling)
    for pattern in ("1:4", "2:4", "4:8"):
        yield case(method="lottery", granularity="n:m", pattern=pattern)
    for channels in (
        {"criterion": "taylor"},
        {"criterion": "bn", "multiple": 1},
        {"slots": "reset", "dropout": "scale"},
        {"recalibrate": 64},
    ):
        yield case(dataset="cifar10", granularity="filter", channel_settings=channels)
    yield case(dataset="cifar10", granularity="branch", channel_settings={"order": ["stage_2_block_1_add"]})
    yield case(method="dynamic", settings={"events": [0.25, 0.5, 0.75], "rate": 0.3, "rate_factor": 0.5})
    yield case(method="lottery", settings={"rounds": 5, "rewind_epoch": 10, "sparsity": 0.9})
    yield case(method="fine_tuned", settings={"rounds": 3})
    yield case(method="early_bird", settings={"distance": 0.05, "looks": 40, "latest": 0.25})
    yield case(method="gradual", settings={"begin": 0.1, "end": 0.9, "updates": 10})
    yield case(method="rigl", settings={"fraction": 0.1, "until": 0.5, "updates": 20})
    for own in (
        {"epochs": 300, "batch_size": 25, "learning_rate": 0.01},
        {"learning_rate_schedule": "cosine", "warmup_epochs": 5},
        {"shuffle": True},
        {"precision": "mixed_bfloat16"},
        {"xla": True, "deterministic": True},
        {"loop": "plain"},
        {"strategy": "mirrored"},
        {"limit": 50},
        {"scope": "global", "spare": ["dense_2"]},
        {"spare": ["first", "last"]},
        {"model_settings": {"hidden": [16, 8]}},
        {"optimizer": "adam", "optimizer_settings": {"beta_1": 0.8}},
        {"dataset": "fashion_mnist", "augment": []},
        {"dataset": "cifar10", "augment": ["crop"], "stream": "shards"},
        {"dataset": "cifar10", "model_settings": {"width": 8}},
        {"out": "elsewhere", "data_dir": "data", "checkpoint_every": "5", "mlflow": "tracked"},
    ):
        yield case(**own)
    for own in ({}, {"test": 0.3}, {"split_seed": 7}, {"validation": 0.1, "test": 0.1}):
        yield (
            f"images.npz {json.dumps(own)}",
            {"dataset": str(images), "data_settings": own, "model": "lenet", "method": "pruned"},
        )
    yield "as old runs wrote it", WRITTEN_EARLIER
    yield "as old runs wrote filters", WRITTEN_EARLIER | FILTERS_WRITTEN_EARLIER


# The whole `config.json` of runs that are on people's disks: its spellings are read for good.
WRITTEN_EARLIER: dict[str, Any] = {
    "dataset": "penguins", "method": "early_bird", "model": "mlp", "seed": 4, "epochs": 100, "batch_size": 50,
    "learning_rate": 0.0001, "optimizer": "adam", "learning_rate_schedule": "constant", "warmup_epochs": 0.0,
    "shuffle": False, "augment": [], "precision": "float32", "xla": False, "deterministic": False, "loop": "auto",
    "strategy": "none", "scope": "layer", "granularity": "weight", "pattern": None, "pooling": None,
    "spare": ["dense_2"],
    "settings": {"sparsity": 0.5, "distance": 0.1, "looks": 40, "latest": 0.5, "criterion": "magnitude"},
    "model_settings": {
        "hidden": [12], "activation": "relu", "output_activation": "tanh", "initializer": "fan_in_uniform",
    },
    "optimizer_settings": {"beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-08},
    "data_settings": {}, "channel_settings": {}, "limit": None, "data_dir": None, "stream": "auto",
    "out": "saved_models", "checkpoint_every": "60s", "mlflow": None,
}  # fmt: skip
FILTERS_WRITTEN_EARLIER: dict[str, Any] = {
    "method": "dynamic", "granularity": "filter", "spare": [],
    "settings": {"events": [0.5], "rate": 0.4, "final_sparsity": None, "rate_factor": 1.0, "criterion": "magnitude"},
    "channel_settings": {"criterion": "l2", "multiple": 2, "slots": "reset", "dropout": "keep", "recalibrate": 0},
}  # fmt: skip


# ------------------------------------------------------------------------------------------------------------- runs


def penguins(out: Path, method: str, **changes: Any) -> Config:
    """Returns the settings of a short run with a learning rate at which the weights move."""
    settings = {"rounds": 2, "rewind_epoch": 2} if method == "lottery" else {}
    common = {"dataset": "penguins", "epochs": EPOCHS, "learning_rate": 3e-3, "settings": settings, "out": str(out)}
    return Config(**common | {"method": method} | changes)


def plain(out: Path, images: Path, methods: Collection[str]) -> Iterator[Result]:
    """Every method with a call of the compiled function per epoch; those that can take the dense training over do."""
    common = {"loop": "plain", "epochs": 6, "shuffle": True}
    dense = train(penguins(out, "unpruned", **common))
    yield dense
    for method in methods:
        if method != "unpruned":
            yield train(penguins(out, method, **common), dense=dense)


def fused(out: Path, images: Path, methods: Collection[str]) -> Iterator[Result]:
    """Every method with many epochs per call, each from the start; then other settings."""
    for method in methods:
        yield train(penguins(out, method, loop="fused", seed=1))
    yield train(penguins(out, "dynamic", loop="fused", shuffle=True, settings={"rate_factor": 0.3}, scope="global"))
    yield train(penguins(out, "gradual", optimizer="adamw", learning_rate_schedule="cosine", warmup_epochs=2))


def stacked(out: Path, images: Path, methods: Collection[str]) -> Iterator[Result]:
    """Every method, criterion and scope, the seeds as one model; then with a new order of the examples per epoch."""
    for method in methods:
        yield from _together(out, method)
    for criterion in CRITERIA:
        yield from _together(out, "dynamic", settings={"criterion": criterion, "final_sparsity": 0.6}, scope="global")
    for scope in WEIGHT_SCOPES:
        yield from _together(out, "gradual", settings={"sparsity": 0.8}, scope=scope, shuffle=True)


def patterns(out: Path, images: Path, methods: Collection[str]) -> Iterator[Result]:
    """Blocks and n:m."""
    block = {"granularity": "block", "settings": {"final_sparsity": 0.5}}
    yield train(penguins(out, "dynamic", **block))
    yield train(penguins(out, "dynamic", granularity="n:m", pattern="2:4"))
    for pattern, pooling in (("4x1", "max"), ("3x2", "avg")):
        yield from _together(out, "dynamic", **block, pattern=pattern, pooling=pooling)
    yield from _together(out, "lottery", granularity="n:m", pattern="1:4", settings={"rounds": 1})
    yield from _together(out, "fine_tuned", granularity="n:m", pattern="2:4")


def filters(out: Path, images: Path, methods: Collection[str]) -> Iterator[Result]:
    """Units that leave the network in training."""
    common = {"granularity": "filter", "epochs": 6, "model_settings": {"hidden": [16, 12]}}
    channels = {"multiple": 2}
    once = {"events": [0.5], "rate": 0.4}
    yield train(penguins(out, "dynamic", **common, channel_settings=channels, settings=once))
    yield train(penguins(out, "lottery", **common, channel_settings=channels | {"criterion": "taylor"}, settings={}))
    yield train(
        penguins(
            out,
            "gradual",
            **common,
            channel_settings=channels | {"criterion": "l2", "slots": "reset"},
            settings={"updates": 2},
        )
    )
    yield train(penguins(out, "small_dense", **common, channel_settings=channels))


def convolutions(out: Path, images: Path, methods: Collection[str]) -> Iterator[Result]:
    """Images: BatchNorm, dropout, augmentation; then filters and residual branches."""
    common = {"dataset": str(images), "epochs": 3, "batch_size": 16, "warmup_epochs": 1.0, "out": str(out)}
    lenet = {"model": "lenet", "model_settings": {"filters": [4, 6], "hidden": [8]}, "augment": ["crop"]}
    own = {"fingerprint": "golden"}  # not that of this file
    resnet = {"model": "record:small_resnet", "model_settings": own, "augment": []}
    channels = {"criterion": "taylor", "multiple": 2, "recalibrate": 32}
    events = {"events": [0.5], "rate": 0.4}
    yield train(Config(**common, **lenet, method="dynamic", settings={"final_sparsity": 0.6}))
    yield train(
        Config(**common, **resnet, method="dynamic", settings=events, granularity="filter", channel_settings=channels)
    )
    yield train(Config(**common, **resnet, method="pruned", granularity="branch", settings={"sparsity": 0.4}))


def small_resnet(input_shape: tuple[int, ...], classes: int) -> keras.Model:
    """Three residual blocks of one convolution each; `--model record:small_resnet`."""
    layers = keras.layers
    inputs = layers.Input(input_shape)
    x = layers.Conv2D(6, 3, strides=2, name="stem")(layers.Rescaling(1 / 255)(inputs))
    for number in (1, 2, 3):
        y = layers.Conv2D(6, 3, padding="same", use_bias=False, name=f"block_{number}")(x)
        y = layers.BatchNormalization(name=f"block_{number}_bn")(y)
        x = layers.ReLU(name=f"block_{number}_relu")(layers.Add(name=f"block_{number}_add")([x, y]))
    x = layers.GlobalAveragePooling2D(name="pool")(layers.Conv2D(8, 1, activation="relu", name="wide")(x))
    return keras.Model(inputs, layers.Dense(classes, name="logits")(x), name="small_resnet")


GROUPS = {
    "plain": plain,
    "fused": fused,
    "stacked": stacked,
    "patterns": patterns,
    "filters": filters,
    "convolutions": convolutions,
}


def _together(out: Path, method: str, **changes: Any) -> list[Result]:
    return train_together([penguins(out / "together", method, seed=seed, **changes) for seed in SEEDS])


def write_images(folder: Path) -> Path:
    """Writes 80 images of 12 x 12 x 3 in 3 classes of different brightness; returns the file."""
    random = np.random.default_rng(0)
    y = np.arange(80) % 3
    x = random.integers(0, 156, (80, 12, 12, 3)) + 50 * y[:, None, None, None]
    np.savez(folder / "images.npz", x=x.astype(np.uint8), y=y)
    return folder / "images.npz"


# ---------------------------------------------------------------------------------------------------------- records


def record_group(name: str, folder: Path, methods: Collection[str] = tuple(METHODS)) -> dict[str, Any]:
    """Trains the runs of a group under a folder; returns run -> what it came to.

    Args:
        name: of the group.
        folder: where the runs are left.
        methods: that a group of every method has.
    """
    own = folder / name
    own.mkdir(parents=True)
    with mock.patch("matplotlib.figure.Figure.savefig", lambda figure, path, **_: Path(path).touch()):  # takes longest
        results = {result.folder.root: result for result in GROUPS[name](own, write_images(folder), methods)}
    return {root.relative_to(own).as_posix(): record_run(result) for root, result in results.items()}


def record_run(result: Result) -> dict[str, Any]:
    """Returns what a run came to, `anywhere` and to the `bits`."""
    masks, history = result.masks(), _rows(result.folder.history)
    metrics = dict(_numbers({k: v for k, v in result.metrics.items() if k not in NOT_COMPARED}))
    for name in [name for name in metrics if name.startswith("bytes.") and not name.startswith("bytes.weights")]:
        del metrics[name]  # the SavedModel's folder holds names of the code that wrote it
    counts = {name: value for name, value in metrics.items() if _is_count(name)}
    anywhere = {
        "masks": digest(array.tobytes() for array in _sorted(masks)),
        "alive": sum(int(mask.sum()) for mask in masks.values()),
        "epochs": digest(json.dumps([row[key] for key in EXACT_COLUMNS]).encode() for row in history),
        "counts": digest([json.dumps(counts, sort_keys=True).encode()]),
    }
    numbers = {"history": _projection(row["val_loss"] for row in history)}
    numbers |= {name: metrics[name] for name in LOSSES if name in metrics}
    bits = {
        "history": digest([json.dumps(history).encode()]),
        "metrics": digest([json.dumps(metrics, sort_keys=True).encode()]),
    }
    if removed := result.removed_channels():
        anywhere["removed"] = digest([json.dumps(removed, sort_keys=True).encode()])
    if result.folder.exported:
        weights = load_weights(result.model)
        numbers["weights"] = _projection(np.concatenate([weight.reshape(-1) for weight in weights]))
        bits["weights"] = digest(weight.tobytes() for weight in weights)
    return {"anywhere": anywhere, "numbers": {name: float(f"{v:.9g}") for name, v in numbers.items()}, "bits": bits}


def digest(parts: Iterable[bytes]) -> str:
    """Returns the first 64 bits of the SHA-256 of all parts."""
    whole = hashlib.sha256()
    for part in parts:
        whole.update(part)
    return whole.hexdigest()[:16]


def this_machine() -> dict[str, Any]:
    """Returns what the bits of a result depend on."""
    known = versions()
    packages = {name: known[name] for name in ("tensorflow", "tf-keras", "numpy")}
    return {"cpu": machine()["cpu"], "cores": cores()} | packages


def _sorted(arrays: Mapping[str, np.ndarray]) -> Iterator[np.ndarray]:
    return (np.ascontiguousarray(arrays[name]) for name in sorted(arrays))


def _projection(values: Iterable[float]) -> float:
    """Returns a number that tells values from each other, and orders of values too."""
    values = np.asarray([*values], np.float64)
    return float(np.abs(values) @ (1 + 0.5 * np.sin(np.arange(len(values)))))


def _is_count(name: str) -> bool:
    scored = ("train.", "validation.", "test.", "untuned.")
    return not name.startswith(scored) and not name.startswith("bytes.weights.gzip")


def _rows(path: Path) -> list[dict[str, Any]]:
    """Returns the rows of a history, numbers as numbers."""
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return [{key: text if key == "phase" else float(text) for key, text in row.items()} for row in rows]


def _numbers(value: Any, name: str = "") -> Iterator[tuple[str, float]]:
    """Yields the numbers of nested tables by their dotted names; words may be put in better ones."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _numbers(inner, f"{name}.{key}" if name else key)
    elif isinstance(value, (int, float)):
        yield name, value


# ------------------------------------------------------------------------------------------------------- comparison


def differences(made: Mapping[str, Any], golden: Mapping[str, Any], *, bits: bool, rtol: float = 1e-5) -> list[str]:
    """Returns a line for each thing in which runs differ from the recorded ones; what is new since is not looked at.

    Args:
        made: run -> what it came to, see `record_run`.
        golden: the same as it was recorded.
        bits: whether the digests of all numbers must be the same too.
        rtol: relative tolerance of the numbers.
    """
    lines = [f"{run}: recorded, and not run" for run in golden.keys() - made.keys()]
    for run in (run for run in golden if run in made):
        for part in ("anywhere", "bits") if bits else ("anywhere",):
            if made[run][part].keys() != golden[run][part].keys():
                lines.append(f"{run}: {part} has {sorted(made[run][part])}, recorded {sorted(golden[run][part])}")
            lines += [
                f"{run}: {part}.{name} is {made[run][part][name]}, recorded {value}"
                for name, value in golden[run][part].items()
                if name in made[run][part] and made[run][part][name] != value
            ]
        for name, value in golden[run]["numbers"].items():
            found = made[run]["numbers"].get(name, np.nan)
            if not abs(found - value) <= rtol * abs(value):
                lines.append(f"{run}: {name} is {found:.9g}, recorded {value:.9g}")
    return lines


def main() -> None:
    """Writes the golden file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", type=Path, help="folder to leave the runs in")
    parser.add_argument("--groups", nargs="+", choices=GROUPS, default=[*GROUPS], help="record these alone")
    options = parser.parse_args()
    os.environ[FUNCTIONS] = "record:small_resnet"  # counts as typed
    before = json.loads(GOLDEN.read_text(encoding="utf-8"))
    if len(options.groups) < len(GROUPS) and before["machine"] != this_machine():
        parser.error(f"the others were recorded on {before['machine']}, and this is {this_machine()}: record all")
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        golden = {"machine": this_machine(), "run_ids": run_ids(write_images(folder))}
        golden["runs"] = before["runs"]
        for name in options.groups:
            started = time.perf_counter()
            golden["runs"][name] = record_group(name, folder)
            print(f"{name}: {len(golden['runs'][name])} runs, {time.perf_counter() - started:.0f} s", flush=True)
    GOLDEN.write_text(_to_text(golden) + "\n", encoding="utf-8")


def _to_text(value: Any, depth: int = 0) -> str:
    """Returns JSON with one line per run id and per run."""
    if depth == 3 or not isinstance(value, Mapping):
        return json.dumps(value)
    lines = (f"{json.dumps(key)}: {_to_text(inner, depth + 1)}" for key, inner in value.items())
    return "{\n" + ",\n".join(lines) + "\n}"


if __name__ == "__main__":
    main()
