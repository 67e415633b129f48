"""Kills runs at random moments, has them go on, and compares what comes out with runs that were never killed.

`scripts/chaos` calls it. Each run is a process of its own that gets SIGKILL; they are forked from one that has imported
TensorFlow and nothing more, which saves seconds a kill and changes nothing else. Just before the kill a process is made
to write down where it is, which the table at the end is made from.
"""

import argparse
import collections
import contextlib
import faulthandler
import io
import json
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(FOLDER), str(FOLDER.parent)]

PENGUINS = ("--dataset", "penguins")
IMAGES = (  # dropout, BatchNorm, augmentation
    *("--dataset", "flowers", "--epochs", "4", "--batch-size", "8", "--set", "limit=32", "--set", "model.widths=[4]"),
    *("--checkpoint-every", "0.05s"),
)
SHUFFLED = ("--set", "shuffle=true")
RUNS = {  # what is trained: small, but with everything that a state can hide in
    "unpruned, fused": (*PENGUINS, "--method", "unpruned", "--epochs", "300", "--checkpoint-every", "30"),
    "pruned, plain": (
        *(*PENGUINS, "--method", "pruned", "--epochs", "30", "--set", "loop=plain", *SHUFFLED),
        *("--set", "optimizer=sgd", "--set", "optimizer.momentum=0.9", "--checkpoint-every", "1"),
    ),
    "lottery of 2 rounds, fused": (
        *(*PENGUINS, "--method", "lottery", "--epochs", "120", "--set", "rounds=2", *SHUFFLED),
        *("--set", "rewind_epoch=3", "--scope", "global", "--checkpoint-every", "10"),
    ),
    "dynamic, plain": (
        *(*PENGUINS, "--method", "dynamic", "--epochs", "30", "--set", "loop=plain", *SHUFFLED),
        *("--set", "rate_factor=1.5", "--set", "learning_rate_schedule=cosine", "--checkpoint-every", "1"),
    ),
    "dynamic, images": (*IMAGES, "--method", "dynamic"),
    "lottery, images": (*IMAGES, "--method", "lottery", "--set", "rewind_epoch=1"),
}
PLACES = {  # the first that is on a process's stack is where it was hit
    "writing a checkpoint": ("checkpoints.py:write", "checkpoints.py:_packed", "resuming.py:save"),
    "pruning": ("training.py:prune", "callbacks.py:on_train_batch_end"),
    "reading a checkpoint": (
        "checkpoints.py:latest",
        "resuming.py:restore",
        "rundir.py:resume",
        "resuming.py:cut_back",
    ),
    "writing the model": ("export.py:export",),
    "drawing plots": ("figures.py:",),
    "writing results": ("rundir.py:write_json", "experiment.py:_write_arrays", "rundir.py:close"),
    "measuring": ("experiment.py:finish",),
    "TensorBoard's log": ("callbacks.py:log_kernels", "callbacks.py:log_scores"),
    "validation": ("training.py:evaluate",),
    "training": ("training.py:fit", "training.py:_train"),
    "reading data, building the model": ("experiment.py:_train", "experiment.py:train"),
}


def spawned(arguments, note=None):
    """Starts a command line in a process; returns its id."""
    pid = os.fork()
    if pid:
        return pid
    code = 70
    try:
        if note is not None:
            faulthandler.register(signal.SIGUSR1, open(note, "w"), all_threads=False)
        sys.argv = ["tfprune", *arguments]
        os.environ["TQDM_DISABLE"] = "1"
        _keep_slots()
        from tfprune.cli import main

        with contextlib.redirect_stdout(io.StringIO()):
            main()
    except SystemExit as stop:
        code = stop.code or 0
    except BaseException:
        import traceback

        traceback.print_exc()
    os._exit(code)


def _keep_slots():
    """Has a run leave its optimizer's variables too, which no finished run keeps."""
    from tfprune import experiment

    finish = experiment.finish

    def kept(trainer, folder, seconds):
        import numpy as np

        values = [variable.numpy() for variable in trainer.model.optimizer.variables]
        np.savez(folder.root.parent / "slots.npz", *values)
        return finish(trainer, folder, seconds)

    experiment.finish = kept


def finished(pid):
    """Waits for a process and says whether it ended well."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def place(note):
    """Says where a process was, from the stack that it wrote down."""
    stack = [f"{Path(file).name}:{function}" for file, function in re.findall(r'File "(.*?)", line \d+ in (\S+)', note)]
    for name, marks in PLACES.items():
        if any(frame.startswith(mark) for frame in stack for mark in marks):
            return name
    return "starting" if stack else "before it could say"


def content(out):
    """Returns everything that a finished run left and that does not depend on the clock."""
    from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader

    (folder,) = (path for path in out.iterdir() if path.is_dir())
    found = {"names": sorted(path.name for path in folder.iterdir())}
    for path in [out / "slots.npz", folder / "masks.npz"]:
        import numpy as np

        with np.load(path, allow_pickle=False) as stored:
            found |= {f"{path.name} {name}": array.tobytes() for name, array in stored.items()}
    metrics = json.loads((folder / "metrics.json").read_text())
    found["metrics"] = {key: value for key, value in metrics.items() if key not in ("seconds", "cpu_seconds", "bytes")}
    found["history"] = (folder / "history.csv").read_text()
    for path in sorted((folder / "model" / "variables").iterdir()):
        found[path.name] = path.read_bytes()
    for part in ("train", "validation"):
        logged = []
        for path in sorted((folder / "tensorboard" / part).iterdir()):
            for event in LegacyEventFileLoader(str(path)).Load():
                logged += [(event.step, value.tag, value.tensor.SerializeToString()) for value in event.summary.value]
        found[f"events of {part}"] = sorted(logged)
    return found


def differences(out, whole):
    own, other = content(out), content(whole)
    return [name for name in sorted({*own, *other}) if own.get(name) != other.get(name)]


def killed_until_finished(arguments, out, kills, seconds, draw):
    """Starts a run again and again, killing it at random; returns where it was hit."""
    hits = []
    note = out.with_suffix(".stack")
    while len(hits) < kills:
        folders = [path for path in out.glob("*") if path.is_dir()] if hits else []
        again = ["resume", str(folders[0])] if folders and (folders[0] / "config.json").exists() else arguments
        pid = spawned(again if draw.random() < 0.5 else arguments, note)
        time.sleep(draw.random() * seconds)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGUSR1)
        time.sleep(0.01)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        status = os.waitpid(pid, 0)[1]
        if not os.WIFSIGNALED(status):  # it was faster
            if os.waitstatus_to_exitcode(status) != 0:
                return hits, False
            break
        hits.append(place(note.read_text()))
    return hits, finished(spawned(arguments))


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--kills", type=int, default=200)
    options.add_argument("--a-run", type=int, default=6, help="kills before a run may finish")
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--only", default="", help="runs with this in their name")
    options.add_argument("--minutes", type=float, default=float("inf"), help="start no run after so many")
    options = options.parse_args()
    import tfprune.experiment  # noqa: F401 - with all that takes long, and nothing that computes
    from tfprune.backend import tfmot

    _ = tfmot.sparsity
    import tensorflow_datasets  # noqa: F401
    from tensorboard.plugins.hparams import api  # noqa: F401

    draw = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        if _in_child(lambda: _write_copies(scratch / "copies")):
            sys.exit("the small data sets could not be written")
        os.environ["TFDS_DATA_DIR"] = str(scratch / "copies")
        whole, seconds = {}, {}
        chosen = {name: settings for name, settings in RUNS.items() if options.only in name}
        began = time.monotonic()
        for name, settings in chosen.items():
            whole[name] = scratch / f"whole {name}"
            started = time.monotonic()
            if not finished(spawned(["train", *settings, "--out", str(whole[name])])):
                sys.exit(f"{name}: the run that nobody kills fails")
            seconds[name] = time.monotonic() - started
            print(f"{name}: {seconds[name]:.1f} s when nobody kills it", flush=True)
        table, runs, bad = {name: collections.Counter() for name in chosen}, 0, 0
        while sum(counter.total() for counter in table.values()) < options.kills:
            if time.monotonic() - began > 60 * options.minutes:
                break
            name = list(chosen)[runs % len(chosen)]
            out = scratch / f"run{runs}"
            arguments = ["train", *RUNS[name], "--out", str(out)]
            hits, well = killed_until_finished(arguments, out, options.a_run, seconds[name], draw)
            table[name].update(hits)
            runs += 1
            wrong = ["it did not finish"] if not well else []
            if well and _in_child(lambda out=out, name=name: _report(differences(out, whole[name]))):
                wrong = ["it differs, see above"]
            bad += bool(wrong)
            print(f"run {runs}, {name}: {len(hits)} kills, {', '.join(wrong) or 'identical'}", flush=True)
            shutil.rmtree(out, ignore_errors=True)
        _print_table(table)
        kills = sum(counter.total() for counter in table.values())
        print(
            f"\n{kills} kills over {runs} runs; {runs - bad} ended identical to a run that was never killed, {bad} not."
        )
    sys.exit(bool(bad))


def _in_child(function):
    """Calls a function in a process of its own, as TensorFlow must not compute in the one that forks."""
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    code = 70
    try:
        code = function() or 0
    except BaseException:
        import traceback

        traceback.print_exc()
    os._exit(code)


def _write_copies(folder):
    from prepared import write_copy

    with contextlib.redirect_stderr(io.StringIO()):
        write_copy(folder, "flowers")


def _report(names):
    for name in names:
        print(f"  differs: {name}", flush=True)
    return int(bool(names))


def _print_table(table):
    from tabulate import tabulate

    places = [name for name in (*PLACES, "starting", "before it could say") if any(c[name] for c in table.values())]
    rows = [(name, *(counter[place] for place in places), counter.total()) for name, counter in table.items()]
    totals = ("all", *(sum(counter[place] for counter in table.values()) for place in places))
    print()
    print(tabulate([*rows, (*totals, sum(totals[1:]))], ("run", *places, "kills"), tablefmt="github"))


if __name__ == "__main__":
    main()
