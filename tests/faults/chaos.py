"""Kills runs at random moments, has them go on, and compares what comes out with runs that were never killed.

`scripts/chaos` calls it. Each life of a run is a process of its own that runs the command line and gets SIGKILL. It is
forked from a process of one thread that has imported TensorFlow and computed nothing, which saves the seconds of the
import; that a run started in a fresh interpreter comes to the same is looked at too. When to kill is decided from
outside: after a random time, or a random time after something has appeared in the run's folder that was drawn from what
appeared there in the run that nobody killed. So what is over in a millisecond is hit as well as what takes seconds.
"""

import argparse
import collections
import contextlib
import dataclasses
import faulthandler
import hashlib
import io
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(FOLDER), str(FOLDER.parent)]

SHUFFLED = ("--set", "shuffle=true")
FUSED = ("--dataset", "penguins", "--epochs", "60", "--checkpoint-every", "5", *SHUFFLED)
PLAIN = ("--dataset", "penguins", "--epochs", "12", "--checkpoint-every", "1", "--set", "loop=plain", *SHUFFLED)
IMAGES = (  # dropout, BatchNorm, augmentation, checkpoints in the middle of epochs
    *("--dataset", "flowers", "--epochs", "4", "--batch-size", "8", "--set", "limit=32"),
    *("--set", "model.widths=[8]", "--set", "model.dropout=0.3", "--checkpoint-every", "0.02s"),
)
FILTERS = ("--granularity", "filter", "--sparsity", "0.5")
MOMENTUM = ("--set", "optimizer=sgd", "--set", "optimizer.momentum=0.9")
RATES = ("--set", "rate_factor=1.5", "--set", "learning_rate_schedule=cosine")
TICKETS = ("--set", "rounds=2", "--set", "rewind_epoch=1")
RUNS = {  # what is trained: small, but with everything that a state can hide in
    "unpruned, fused": (*FUSED, "--method", "unpruned"),
    "pruned, plain": (*PLAIN, "--method", "pruned", *MOMENTUM),
    "lottery of 2 rounds, fused": (*FUSED, "--method", "lottery", *TICKETS, "--scope", "global"),
    "dynamic, plain": (*PLAIN, "--method", "dynamic", *RATES),
    "pruned, filters": (*PLAIN, "--method", "pruned", *FILTERS),
    "lottery of 2 rounds, filters": (*PLAIN, "--method", "lottery", *FILTERS, *TICKETS, *MOMENTUM),
    "dynamic, filters": (*PLAIN, "--method", "dynamic", *FILTERS, *RATES),
    "unpruned, images": (*IMAGES, "--method", "unpruned"),
    "pruned, images": (*IMAGES, "--method", "pruned", *MOMENTUM),
    "lottery, images": (*IMAGES, "--method", "lottery", "--set", "rewind_epoch=1"),
    "dynamic, images": (*IMAGES, "--method", "dynamic", *RATES),
    "lottery, images, filters": (*IMAGES, "--method", "lottery", *FILTERS, "--set", "rewind_epoch=1"),
    "dynamic, images, filters": (*IMAGES, "--method", "dynamic", *FILTERS, *RATES),
}
VARIES = ("seconds", "cpu_seconds", "bytes", "files", "checksum")  # of metrics: times, graphs of another process, both
PLACES = {  # the first that is on a process's stack is where it was hit
    "checkpoint, being written": ("training/checkpoints.py:write", "training/resuming.py:save"),
    "checkpoint, being read": (
        *(
            "training/checkpoints.py:latest",
            "training/resuming.py:restore_all",
            "training/resuming.py:_resume_from_checkpoint",
        ),
        *("experiments/rundir.py:resume", "training/resuming.py:truncate_files"),
    ),
    "pruning event": (
        *("training/run_task.py:_prune", "training/channel_removal.py:_prune", "training/channel_removal.py:_take_out"),
    ),
    "between trainings": (
        *("training/trainer.py:prune", "training/callbacks.py:on_train_begin"),
        *("training/trainer.py:_start", "training/channel_trainer.py:_start"),
    ),
    "export": ("exporting/savedmodel.py:export",),
    "plot": ("reporting/figures/",),
    "results": ("utils/files.py:write_json", "experiments/run_data.py:write_arrays", "experiments/rundir.py:close"),
    "measuring": ("experiments/finishing.py:finish",),
    "TensorBoard's log": ("training/callbacks.py:log_", "training/callbacks.py:flush"),
    "validation": ("src/engine/training.py:evaluate",),
    "tracing a step": ("framework/func_graph.py:", "eager/polymorphic_function/tracing_compilation.py:"),
    "batch": ("training/trainer.py:_train",),
    "data, model": ("experiments/experiment.py:_train",),
}
START = "start"
NOTED = signal.SIGTTIN  # stops a process by default: it writes down its stack, and does nothing more until it is killed
STARTING = 0.2  # of the lives end before they have written anything
LOOK = 0.001  # seconds between two looks at a folder


@dataclasses.dataclass(frozen=True)
class Reference:
    """A run that nobody killed.

    Args:
        name: the run's folder in that of its runs.
        starting: seconds until something appeared in its folder.
        seen: what appeared in its folder, in order -> seconds until the next thing did.
        content: see `content`.
    """

    name: str
    starting: float
    seen: dict[str, float]
    content: dict[str, str]


def spawned(arguments, out):
    """Starts a command line in a process of its own, whose output goes to `out`.log; returns its id."""
    pid = os.fork()
    if pid:
        with contextlib.suppress(PermissionError, ProcessLookupError):
            os.setpgid(pid, pid)  # so that it can be stopped: Linux stops no group that its session has lost
        return pid
    code = 70
    try:
        os.setpgid(0, 0)
        with open(out.with_suffix(".log"), "a") as printed, open(os.devnull) as nothing:
            os.dup2(nothing.fileno(), 0)
            os.dup2(printed.fileno(), 1)
            os.dup2(printed.fileno(), 2)
        faulthandler.register(NOTED, open(out.with_suffix(".stack"), "w"), all_threads=False, chain=True)
        sys.argv = ["tfprune", *arguments]
        _keep_slots()
        from tfprune.cli import main

        main()
    except SystemExit as stop:
        code = stop.code or 0
    except BaseException:
        import traceback

        traceback.print_exc()
    os._exit(code)


def _keep_slots():
    """Has a run leave its optimizer's variables too, which no finished run keeps."""
    import numpy as np

    from tfprune.experiments import experiment

    finish = experiment.finish

    def kept(trainer, folder, seconds):
        values = [variable.numpy() for variable in trainer.model.optimizer.variables]
        np.savez(folder.root.parent / "slots.npz", *values)
        return finish(trainer, folder, seconds)

    experiment.finish = kept


def alive(pid):
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None


def ended_well(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def things_in(folder):
    """Returns what there is in a run's folder, by names that every run of the same settings uses."""
    things = set()
    for part in ("", "checkpoints", "tensorboard"):
        with contextlib.suppress(OSError):
            things |= {f"{part}/{re.sub(r'[.]draft[.][0-9]+', '.draft', name)}" for name in os.listdir(folder / part)}
    return things


def reference(settings, out):
    """Trains a run that nobody kills, and takes down what appears in its folder when; None if it fails."""
    started = time.monotonic()
    pid = spawned(["train", *settings, "--out", str(out)], out)
    times = {}
    while alive(pid):
        for folder in out.glob("*/") if out.is_dir() else ():
            for thing in sorted(things_in(folder) - set(times)):
                times[thing] = time.monotonic()
        time.sleep(LOOK)
    ended = time.monotonic()
    if not ended_well(pid):
        return None
    gaps = [after - before for before, after in zip(times.values(), [*list(times.values())[1:], ended], strict=True)]
    [folder] = out.glob("*/")
    return Reference(folder.name, min(times.values()) - started, dict(zip(times, gaps, strict=True)), digests(out))


def moment(whole, folder, left, draw):
    """Draws when a life ends, the first of so many: things of which one must have appeared, and seconds after that."""
    there = things_in(folder)
    order = list(whole.seen)
    ahead = order[max((order.index(thing) for thing in there if thing in whole.seen), default=-1) + 1 :]
    if not ahead or draw.random() < STARTING:
        return (), draw.random() * whole.starting
    awaited = ahead[int(len(ahead) * min(draw.random() for _ in range(left))) :]  # not all appear in each run
    return awaited, draw.random() * whole.seen[awaited[0]]


def killed(pid, awaited, seconds, folder):
    """Kills a life when its moment has come; returns whether it was still there, and if not whether it ended well."""
    while awaited and alive(pid) and things_in(folder).isdisjoint(awaited):
        time.sleep(LOOK)
    end = time.monotonic() + seconds
    while alive(pid) and (left := end - time.monotonic()) > 0:
        time.sleep(min(left, 0.1))
    os.kill(pid, NOTED)
    _, status = os.waitpid(pid, os.WUNTRACED)
    if not os.WIFSTOPPED(status):
        return False, os.waitstatus_to_exitcode(status) == 0
    os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL, True


def killed_until_finished(settings, out, whole, kills, draw):
    """Starts a run again and again, and kills it; returns where it was hit and whether it came to its end."""
    hits, folder = [], out / whole.name
    command = ["train", *settings, "--out", str(out)]
    while len(hits) < kills:
        going_on = (folder / "config.json").exists() and draw.random() < 0.5
        awaited, seconds = moment(whole, folder, kills - len(hits), draw)
        hit, well = killed(spawned(["resume", str(folder)] if going_on else command, out), awaited, seconds, folder)
        if not hit:  # it was faster
            return hits, well
        hits.append(place(out.with_suffix(".stack").read_text()))
    return hits, ended_well(spawned(command, out))


def place(note):
    """Says where a process was, from the stack that it wrote down."""
    frames = re.findall(r'File ".*?([^/"]+/[^/"]+/[^/"]+)", line \d+ in (\S+)', note)
    stack = [f"/{file}:{function}" for file, function in frames]
    for name, marks in PLACES.items():
        if any(f"/{mark}" in frame for frame in stack for mark in marks):
            return name
    return START


def content(out):
    """Returns everything that a finished run left and that does not depend on the clock."""
    import numpy as np
    from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader

    [folder] = out.glob("*/")
    found = {"names": sorted(path.name for path in folder.iterdir())}
    for path in filter(Path.is_file, (out / "slots.npz", folder / "masks.npz")):
        with np.load(path, allow_pickle=False) as stored:
            found |= {f"{path.name} {name}": array.tobytes() for name, array in stored.items()}
    metrics = json.loads((folder / "metrics.json").read_text())
    found["metrics"] = {key: value for key, value in metrics.items() if key not in VARIES}
    for path in (folder / "history.csv", folder / "channels.json", *(folder / "model" / "variables").iterdir()):
        if path.is_file():
            found[path.name] = path.read_bytes()
    for part in ("train", "validation"):
        logged = []
        for path in sorted((folder / "tensorboard" / part).iterdir()):
            for event in LegacyEventFileLoader(str(path)).Load():
                logged += [(event.step, value.tag, value.tensor.SerializeToString()) for value in event.summary.value]
        found[f"events of {part}"] = sorted(logged)
    return found


def digests(out):
    """Returns a digest of each part of a run's `content`; read in a process of its own."""
    path = out.with_suffix(".json")
    if _in_child(lambda: path.write_text(json.dumps({name: _digest(part) for name, part in content(out).items()}))):
        return {"content": "cannot be read"}
    return json.loads(path.read_text())


def _digest(part):
    return hashlib.sha256(part if isinstance(part, bytes) else repr(part).encode()).hexdigest()


def differences(own, other):
    return [name for name in sorted({*own, *other}) if own.get(name) != other.get(name)]


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--kills", type=int, default=200)
    options.add_argument("--a-run", type=int, default=6, help="kills before a run may finish")
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--jobs", type=int, default=2, help="runs at a time")
    options.add_argument("--only", default="", help="runs with this in their name")
    options.add_argument("--minutes", type=float, default=float("inf"), help="start no run after so many")
    options = options.parse_args()
    _import_all()
    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        os.environ["TFDS_DATA_DIR"] = str(scratch / "copies")
        if _in_child(lambda: _write_copies(scratch / "copies")):
            sys.exit("the small data sets could not be written")
        chosen = {name: settings for name, settings in RUNS.items() if options.only in name}
        began = time.monotonic()
        whole = {}
        for name, settings in chosen.items():
            whole[name] = reference(settings, scratch / f"whole {name}")
            if whole[name] is None:
                sys.exit(f"{name}: the run that nobody kills fails\n" + (scratch / f"whole {name}.log").read_text())
            print(f"{name}: done by one that nobody kills", flush=True)
        first = next(iter(chosen))
        if wrong := differences(_started_fresh(chosen[first], scratch / "fresh"), _without_slots(whole[first].content)):
            sys.exit(f"{first}: started in a fresh interpreter it comes to other {', '.join(wrong)}")
        print(f"{first}: a process that was not forked comes to the same", flush=True)
        workers = []
        for number in range(options.jobs):
            run = lambda number=number: _work(number, options, chosen, whole, scratch, began)  # noqa: E731
            workers.append(_forked(run))
        broken = [os.waitpid(worker, 0)[1] for worker in workers]
        runs = [json.loads(line) for path in scratch.glob("worker*.jsonl") for line in path.read_text().splitlines()]
    bad = sum(bool(run["wrong"]) for run in runs)
    _print_table(chosen, runs)
    kills = sum(len(run["hits"]) for run in runs)
    minutes = (time.monotonic() - began) / 60
    print(f"\n{kills} kills over {len(runs)} runs, in {minutes:.1f} minutes with the runs that nobody killed.")
    print(f"{len(runs) - bad} runs ended identical to one that was never killed, {bad} did not.")
    sys.exit(bool(bad or any(broken) or not runs))


def _import_all():
    """Imports what takes long, and makes sure that forking is sound: there is one thread."""
    os.environ["TQDM_DISABLE"] = "1"
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # NumPy's and SciPy's would start a thread each
    import matplotlib.pyplot  # noqa: F401
    import tensorflow_datasets  # noqa: F401
    from tensorboard.plugins.hparams import api  # noqa: F401

    import tfprune.experiments.experiment  # noqa: F401
    from tfprune.adapters.backend import tfmot

    _ = tfmot.sparsity
    if len(os.listdir("/proc/self/task")) > 1:
        sys.exit("the imports have started threads: a fork would lose them")


def _work(number, options, chosen, whole, scratch, began):
    """Kills runs until this worker's share of the kills is done."""
    share, kills, names = -(-options.kills // options.jobs), 0, list(chosen)
    with open(scratch / f"worker{number}.jsonl", "w") as lines:
        while kills < share and time.monotonic() - began < 60 * options.minutes:
            name, out = names[number % len(names)], scratch / f"run{number}"
            draw = random.Random(f"{options.seed}/{number}")
            hits, well = killed_until_finished(chosen[name], out, whole[name], options.a_run, draw)
            wrong = differences(digests(out), whole[name].content) if well else ["it did not finish"]
            lines.write(json.dumps({"name": name, "hits": hits, "wrong": wrong}) + "\n")
            print(f"run {number}, {name}: {len(hits)} kills, {', '.join(wrong) or 'identical'}", flush=True)
            if wrong:
                print(out.with_suffix(".log").read_text(), flush=True)
            shutil.rmtree(out)
            kills, number = kills + len(hits), number + options.jobs
    return 0


def _started_fresh(settings, out):
    """Trains a run as people do, in an interpreter of its own; returns the digests of its content."""
    command = [sys.executable, "-m", "tfprune", "train", *settings, "--out", str(out)]
    environment = {name: value for name, value in os.environ.items() if name != "OPENBLAS_NUM_THREADS"}
    subprocess.run(command, check=True, capture_output=True, cwd=FOLDER.parent, env=environment)
    return digests(out)


def _without_slots(found):
    return {name: digest for name, digest in found.items() if not name.startswith("slots.npz")}


def _in_child(function):
    """Calls a function in a process of its own, as TensorFlow must not compute in the one that forks."""
    return os.waitstatus_to_exitcode(os.waitpid(_forked(function), 0)[1])


def _forked(function):
    pid = os.fork()
    if pid:
        return pid
    code = 70
    try:
        function()
        code = 0
    except BaseException:
        import traceback

        traceback.print_exc()
    sys.stdout.flush()
    os._exit(code)


def _write_copies(folder):
    from prepared import write_copy

    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        write_copy(folder, "flowers")


def _print_table(chosen, runs):
    from tabulate import tabulate

    counts = {name: collections.Counter() for name in chosen}
    for run in runs:
        counts[run["name"]].update(run["hits"])
    total = sum(counts.values(), collections.Counter())
    places = [place for place in (*PLACES, START) if total[place]]
    rows = [(name, *(counter[place] for place in places), counter.total()) for name, counter in counts.items()]
    print()
    print(
        tabulate(
            [*rows, ("all", *(total[place] for place in places), total.total())],
            ("run", *places, "kills"),
            tablefmt="github",
        )
    )


if __name__ == "__main__":
    main()
