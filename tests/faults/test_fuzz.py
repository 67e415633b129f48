"""All files of a run, altered at random from a fixed seed, under all commands that read them.

Each case ends in exit code 2 and one line, or in the right result: what the command says of the folder as it was.
A case is a function of its number alone: `python tests/faults/test_fuzz.py 1234` from the root makes one again.
"""

import contextlib
import csv
import dataclasses
import functools
import hashlib
import io
import json
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import traceback
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tfprune import cli
from tfprune.adapters.tf_keras.optimizers import OPTIMIZERS
from tfprune.experiments.experiment import _checkpoint
from tfprune.experiments.results import read_config, read_result
from tfprune.experiments.rundir import RunDir
from tfprune.methods import METHODS
from tfprune.training.config import Config
from tfprune.utils.errors import TfpruneError

SEED = 7
STRUCTURES, FLIPS = 2000, 2000
SECONDS = 30  # a case may take
HEAVY = 30  # one case in so many loads a model
DEEP, HUGE, MIDDLING = "@deep@", "@huge@", "@nested@"  # stand for text that `json.dumps` cannot write
RAW = {f'"{DEEP}"': "[" * 100_000 + "]" * 100_000, f'"{HUGE}"': "1" + "0" * 400, f'"{MIDDLING}"': "[" * 200 + "]" * 200}
VALUES = (
    *(None, True, False, 0, 1, -1, 2, 0.5, -0.5, 7.25, 1e308, -1e308, 1e-320, 10**9, 2**31, 2**63, 2**64, HUGE),
    *(
        float("nan"),
        float("inf"),
        float("-inf"),
        "",
        "x",
        "0",
        "nan",
        "1e400",
        "x" * 200_000,
        "a\nb",
        "\x1b[31m\u202e",
        "\0",
    ),
    *("\ud800", "../..", "/dev/zero", "=1+1", [], {}, [1], [None], ["x"], {"a": 1}, {"": {}}, [[]], DEEP, MIDDLING),
)
CELLS = (
    *(
        "",
        "x",
        "nan",
        "inf",
        "-1",
        "1e400",
        "0",
        "0.5",
        "1_0",
        "9" * 400,
        "x" * 200_000,
        '"',
        "\0",
        "\u0663",
        " 1",
        "2",
    ),
)
WHOLE = (
    *(b"", b"{", b"[]", b"{}", b"7", b"null", b'"x"', b"\xff\xfe", b"\0" * 99, b"[" * 100_000, b'{"schema": 2}', b"\n"),
    *(b"PK\x03\x04", b"a,b\n1,2\n", b"phase,epoch,step,loss,accuracy,val_loss,val_accuracy,sparsity\n"),
)


@dataclasses.dataclass(frozen=True)
class Place:
    """A file of a folder of runs, and the commands that read it.

    Attributes:
        path: from the folder of all.
        light, heavy: commands; `heavy` ones load models.
    """

    path: str
    light: tuple[str, ...]
    heavy: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a command came to: its exit code, what it printed and wrote, and the traceback if it left one."""

    code: int | None
    out: str
    err: str
    written: bytes = b""
    trace: str = ""

    @property
    def result(self):
        # The command that is suggested next says the settings as they stand, names of altered paths too.
        return self.code, re.sub(r"^Next .*(?:\n +tfprune .*)*", "", self.out, flags=re.M), self.err, self.written

    def fault(self):
        """Says what is wrong with it, whatever was altered; None if nothing is."""
        if self.trace:
            return self.trace
        lines = self.err.splitlines()
        lines = [line for line in lines if not line.startswith(SAID)]
        errors = [line for line in lines if line.startswith("Error: ")]
        if lines != errors:
            return f"more than a line: {self.err[:500]!r}"
        if not all(line.isprintable() for line in errors):
            return f"characters that move a cursor: {self.err[:500]!r}"
        if (self.code, len(errors)) not in ((0, 0), (2, 1)):
            return f"exit code {self.code} with {len(errors)} errors"
        return None


SAID = ("Left out: ", "Warning: ")  # how lines begin that come before the result


class TooLong(BaseException):
    """A case hangs. No `Exception`, which a command may catch."""


def command(*arguments, writes=None):
    """Runs a command line in this process."""
    out, err = io.StringIO(), io.StringIO()
    code, trace, before = None, "", sys.argv
    sys.argv = ["tfprune", *map(str, arguments)]
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            cli.main()
    except SystemExit as stop:
        code = stop.code
    except (Exception, TooLong):
        trace = traceback.format_exc()
    finally:
        sys.argv = before
    written = b""
    if writes is not None and writes.is_file():
        written = writes.read_bytes()
        writes.unlink()
    return Outcome(code, out.getvalue(), err.getvalue(), written, trace)


def measured(*arguments):
    """Runs `bench`; of what it prints the table without times counts."""
    outcome = command("bench", *arguments, "--rounds", 1, "--batch", 1)
    return dataclasses.replace(outcome, out=outcome.out.partition("\n\n")[0])


def read(call):
    """Does what a person does in Python."""
    try:
        return Outcome(0, repr(call()), "")
    except TfpruneError as error:
        return Outcome(2, "", f"Error: {' '.join(str(error).split())!a}")
    except (Exception, TooLong):
        return Outcome(None, "", "", trace=traceback.format_exc())


def _masks(run):
    return {name: (mask.dtype, mask.shape, mask.tobytes()) for name, mask in read_result(RunDir(run)).masks().items()}


COMMANDS: dict[str, Callable[[Path, Path], Outcome]] = {  # the run, the folder of runs -> what came out
    "show": lambda run, runs: command("show", run),
    "runs": lambda run, runs: command("runs", runs),
    "runs --json": lambda run, runs: command("runs", "--json", run),
    "report csv": lambda run, runs: command("report", runs, "--out", runs / "r.csv", writes=runs / "r.csv"),
    "report json": lambda run, runs: command("report", run, "--out", runs / "r.json", writes=runs / "r.json"),
    "report html": lambda run, runs: command("report", runs, "--out", runs / "r.html", writes=runs / "r.html"),
    "report md": lambda run, runs: command("report", runs, "--out", runs / "r.md", writes=runs / "r.md"),
    "overview": lambda run, runs: command("overview", run),
    "resume": lambda run, runs: command("resume", run),
    "compare": lambda run, runs: command(
        *("compare", "--dataset", "penguins", "--methods", "unpruned,dynamic", "--seeds", "1", "--epochs", "4"),
        *("--out", runs, "--figures", runs / "figures", "--set", "loop=plain"),
    ),
    "compare --dry-run": lambda run, runs: command(
        *("compare", "--dataset", "penguins", "--methods", "unpruned,dynamic", "--seeds", "1", "--epochs", "4"),
        *("--out", runs, "--dry-run", "--set", "loop=plain"),
    ),
    "predict": lambda run, runs: command("predict", run, runs.parent / "rows.csv"),
    "export": lambda run, runs: command("export", run, "--format", "h5", "--out", runs / "x.h5"),
    "compact": lambda run, runs: command("compact", run, "--out", runs / "x"),
    "bench": lambda run, runs: measured(run),
    "sweep --dry-run": lambda run, runs: command("sweep", runs.parent / "plan.json", "--dry-run", "--out", runs),
    "masks": lambda run, runs: read(lambda: _masks(run)),
    "history": lambda run, runs: read(lambda: read_result(RunDir(run)).history()),
    "channels": lambda run, runs: read(lambda: read_result(RunDir(run)).removed_channels()),
    "checkpoint": lambda run, runs: read(lambda: bool(_checkpoint(read_config(RunDir(run)), RunDir(run)))),
    "notebook": lambda run, runs: read(lambda: read_result(RunDir(run))._repr_html_()),
}
ALTERS = ("resume", "compare", "export", "compact")  # what may write into a folder
RUN = ("show", "show", "show", "runs", "runs --json", "report csv", "report json", "notebook")
PLACES = (
    Place(
        "trained/penguins-dynamic-seed0*/metrics.json",
        (*RUN, "resume", "compare --dry-run", "sweep --dry-run"),
        ("report html", "compare", "predict", "export", "compact", "bench"),
    ),
    Place(
        "trained/penguins-dynamic-seed0*/config.json",
        (*RUN, "resume", "compare --dry-run", "sweep --dry-run"),
        ("report html", "compare", "predict", "export", "compact", "bench"),
    ),
    Place(
        "trained/penguins-unpruned-seed0*/history.csv",
        ("report csv", "report json", "history", "show"),
        ("report html", "report md", "compare"),
    ),
    Place("trained/penguins-dynamic-seed0*/masks.npz", ("masks", "show")),
    Place("trained/penguins-dynamic-seed0*/model/saved_model.pb", ("show",), ("predict", "export", "bench")),
    Place("trained/penguins-dynamic-seed0*/model/variables/variables.index", ("show",), ("predict", "export")),
    Place("trained/penguins-dynamic-seed0*/model/variables/variables.data*", ("show",), ("predict", "compact")),
    Place("together/penguins-dynamic-seed1*/metrics.json", RUN, ("report html", "report md")),
    Place("together/penguins-lottery-seed1*/config.json", RUN, ("report html", "report md")),
    Place("together/penguins-lottery-seed0*/history.csv", ("report csv", "history"), ("report md",)),
    Place("narrowed/penguins-dynamic-seed0*/metrics.json", (*RUN, "show", "show")),
    Place("narrowed/penguins-dynamic-seed0*/config.json", (*RUN, "show", "show")),
    Place("narrowed/penguins-dynamic-seed0*/channels.json", ("channels", "show"), ("export",)),
    Place("own/insects-dynamic-seed0*/config.json", (*RUN, "resume"), ("export",)),
    Place("own/insects-dynamic-seed0*/splits.csv", ("show", "resume")),
    Place("own/insects-dynamic-seed0*/architecture.json", ("show", "resume"), ("export",)),
    Place("cut_off/penguins-dynamic-seed0*/config.json", ("runs", "runs --json", "show"), ("resume",)),
    Place("cut_off/penguins-dynamic-seed0*/failure.txt", ("runs", "runs --json")),
    Place("cut_off/penguins-dynamic-seed0*/checkpoints/000002.ckpt", ("checkpoint",), ("resume",)),
    Place("overview.json", ("overview",)),
    Place("several.json", ("overview",)),
)


def folders(root):
    """Makes all folders of runs that are altered, small ones of each kind, in `root`."""
    from tfprune.adapters.backend import keras
    from tfprune.experiments.experiment import train
    from tfprune.experiments.together import train_together
    from tfprune.training.tf_keras_checkpoints import CheckpointCallback

    tiny = functools.partial(Config, dataset="penguins", epochs=4, loop="plain")
    for method in ("unpruned", "dynamic"):
        train(tiny(method=method, out=str(root / "trained")))
    train(tiny(method="dynamic", granularity="filter", out=str(root / "narrowed")))
    train_together([tiny(method=m, seed=n, loop="auto", out=str(root / "together")) for m in TOGETHER for n in (0, 1)])
    with open(root / "insects.csv", "w", newline="") as file:
        csv.writer(file).writerows([("a", "b", "label"), *((n, n % 7, "xyz"[n % 3]) for n in range(60))])
    keras.Sequential([keras.layers.Input((2,)), keras.layers.Dense(4), keras.layers.Dense(3)]).save(root / "net.h5")
    own = tiny(dataset=str(root / "insects.csv"), data_settings={"label": "label"}, model=str(root / "net.h5"))
    train(own.replace(out=str(root / "own")))

    save, saved = CheckpointCallback._save, []

    def twice(self, place):
        save(self, place)
        saved.append(place)
        if len(saved) == 2:
            raise TfpruneError("cut off")

    with pytest.MonkeyPatch.context() as patched, pytest.raises(TfpruneError):
        patched.setattr(CheckpointCallback, "_save", twice)
        train(tiny(checkpoint_every="1", out=str(root / "cut_off")))
    runs = root / "trained"
    command("report", runs, "--out", root / "overview.json")
    command("report", runs, root / "together", "--out", root / "several.json")
    plan = {"dataset": "penguins", "methods": ["unpruned", "dynamic"], "epochs": 4, "loop": "plain"}
    (root / "plan.json").write_text(json.dumps(plan))
    with open(root / "rows.csv", "w", newline="") as file:
        from tfprune.data.penguins import CSV

        file.writelines(CSV.read_text().splitlines(keepends=True)[:4])


TOGETHER = ("unpruned", "lottery", "dynamic")


class Fuzz:
    """Folders of runs, what all commands say of them, and cases that alter them.

    Args:
        root: an empty folder.
    """

    def __init__(self, root):
        self.pristine, self.root = root / "pristine", root / "work"
        self.pristine.mkdir()
        # Where the folders are altered: paths are part of what commands print, so the originals are made there too.
        self.root.mkdir()
        folders(self.root)
        shutil.rmtree(self.pristine)
        shutil.copytree(self.root, self.pristine)
        self.places = [(place, self._found(place)) for place in PLACES]
        self.known = {}

    def _found(self, place):
        (path,) = self.root.glob(place.path)
        return path

    def expected(self, place, path, name):
        """What a command says of the folders as they were made."""
        key = path, name
        if key not in self.known:
            self.known[key] = self.run(path, name)
            assert self.known[key].fault() is None, (path, name, self.known[key])
            self.restore(path, name)
        return self.known[key]

    def run(self, path, name):
        run = path if path.parent == self.root else self.root / "/".join(path.relative_to(self.root).parts[:2])
        before = signal.signal(signal.SIGALRM, _too_long)
        signal.alarm(SECONDS)
        try:
            return COMMANDS[name](run, run.parent)
        except TooLong as error:
            return Outcome(None, "", "", trace=f"not done after {SECONDS} s: {error}")
        finally:
            signal.alarm(0)
            signal.signal(signal.SIGALRM, before)

    def restore(self, path, name):
        """Puts back what a case has altered, and what a command may have."""
        if name in ALTERS and path.parent != self.root:
            folder = self.root / path.relative_to(self.root).parts[0]
            shutil.rmtree(folder)
            shutil.copytree(self.pristine / folder.name, folder)
        else:
            path.write_bytes((self.pristine / path.relative_to(self.root)).read_bytes())

    def case(self, number):
        """Returns what a case alters and how, the command, and what is wrong with the outcome: None if nothing is."""
        rng = random.Random(f"{SEED} {number}")
        place, path = rng.choice(self.places)
        heavy = place.heavy and number % HEAVY == 0
        name = rng.choice(place.heavy if heavy else place.light)
        content = path.read_bytes()
        if number < STRUCTURES:
            altered, what = structure(content, path, rng)
            loose = rng.random() < 0.7 and loosen(path, altered)
        else:
            bit = rng.randrange(8 * len(content))
            altered, what, loose = flipped(content, bit), f"bit {bit} of {8 * len(content)}", False
        told = f"case {number}: {path.relative_to(self.root)}, {what}{', loose' * bool(loose)}, {name}"
        expected = self.expected(place, path, name)
        try:
            if loose:
                for other, own in loose.items():
                    other.write_bytes(own)
            else:
                path.write_bytes(altered)
            outcome = self.run(path, name)
        finally:
            for other in loose or ():
                other.write_bytes((self.pristine / other.relative_to(self.root)).read_bytes())
            self.restore(path, name)
        fault = outcome.fault()
        if fault is None and not loose and outcome.code == 0 and "Left out: " not in outcome.err:
            if outcome.result != expected.result and not place.path.startswith("cut_off"):
                fault = f"another answer:\n{outcome.out}\n{outcome.err}"
        return told, fault


def _too_long(*_):
    raise TooLong


def loosen(path, altered):
    """Returns contents of files in which no checksum gives an alteration away; None where there is no such thing."""
    if path.suffix == ".ckpt":
        return None  # see `structure`: it is altered inside
    metrics = path.with_name("metrics.json")
    if path == metrics or path.name in ("overview.json", "several.json"):
        try:
            values = json.loads(altered)
            for own in (values, *values.get("comparisons", ())):
                own.pop("checksum", None)
        except (ValueError, RecursionError, AttributeError, TypeError):
            return None
        text = json.dumps(values).encode()
        return {path: text} if json.loads(text) == values else {path: altered}
    if not metrics.is_file():
        return None
    values = json.loads(metrics.read_text())
    return {path: altered, metrics: json.dumps({k: v for k, v in values.items() if k not in SEALS}).encode()}


SEALS = ("checksum", "files")


def flipped(content, bit):
    altered = bytearray(content)
    altered[bit // 8] ^= 1 << bit % 8
    return bytes(altered)


def structure(content, path, rng):
    """Returns a file altered in its structure, and how."""
    if rng.random() < 0.12:
        kind = rng.choice(("whole", "cut", "bom", "utf-16", "nul", "twice", "latin"))
        match kind:
            case "whole":
                altered = rng.choice(WHOLE)
            case "cut":
                altered = content[: rng.randrange(len(content))]
            case "bom":
                altered = b"\xef\xbb\xbf" + content
            case "utf-16":
                altered = content.decode("latin-1").encode("utf-16")
            case "nul":
                altered = content + b"\0" * 4
            case "twice":
                altered = content + content
            case "latin":
                altered = content.replace(b"a", b"\xe4")
        return altered, kind
    if path.suffix == ".json":
        return json_structure(json.loads(content), rng)
    if path.suffix == ".csv":
        return csv_structure(content.decode(), rng)
    if path.suffix == ".ckpt":
        return checkpoint_structure(content, rng)
    if path.suffix == ".npz":
        return npz_structure(content, rng)
    place = rng.randrange(len(content))
    length = rng.choice((1, 4, 64))
    how = rng.choice(("zeros", "without", "noise"))
    new = {"zeros": bytes(length), "without": b"", "noise": rng.randbytes(length)}[how]
    return content[:place] + new + content[place + length :], f"{how} at {place}, {length}"


def json_structure(values, rng):
    nodes = [(None, None, values)]
    for owner, _, value in nodes:
        inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        nodes += [((*(owner or ()), key), value, item) for key, item in inner]
    path, parent, value = rng.choice(nodes[1:])
    key, how = path[-1], rng.choice(("value", "value", "value", "without", "name", "more", "swap", "wrap", "number"))
    where = ".".join(map(str, path))
    match how:
        case "value":
            parent[key] = rng.choice(VALUES)
            how = f"set to {str(parent[key])[:30]!r}"
        case "without":
            del parent[key]
        case "name" if isinstance(parent, dict):
            parent[rng.choice(("", "x", "a\nb", "\x1b[2J", "x" * 5000, f"{key} "))] = parent.pop(key)
        case "more" if isinstance(parent, dict):
            parent["of_the_future"] = value
        case "swap":
            _, others, _ = rng.choice(nodes[1:])
            name = rng.choice(list(others) if isinstance(others, dict) else range(len(others))) if others else None
            if name is not None:
                parent[key], others[name] = json.loads(json.dumps(others[name])), json.loads(json.dumps(value))
        case "wrap":
            parent[key] = rng.choice(([value], {"x": value}, str(value)))
        case "number" if isinstance(value, (int, float)):
            parent[key] = rng.choice((-value, value + 1, value * 1000, value / 3, -value - 1, float(value)))
        case _:
            parent[key] = None
    text = json.dumps(values)
    for mark, raw in RAW.items():
        text = text.replace(mark, raw)
    return text.encode(), f"{where}: {how}"


def csv_structure(text, rng):
    rows = list(csv.reader(io.StringIO(text)))
    row, column = rng.randrange(len(rows)), rng.randrange(len(rows[0]))
    how = rng.choice((*["cell"] * 3, "row", "column", "same", "more", "fewer", "order", "header", "name", "end"))
    match how:
        case "cell":
            rows[row][column] = rng.choice(CELLS)
            how = f"cell is {rows[row][column][:20]!r}"
        case "row":
            del rows[row]
        case "column":
            rows = [own[:column] + own[column + 1 :] for own in rows]
        case "same":
            rows = [[*own, own[column]] for own in rows]
        case "more":
            rows[row].append("1")
        case "fewer":
            rows[row].pop()
        case "order":
            rng.shuffle(rows)
        case "header":
            rows = rows[:1]
        case "name":
            rows[0][column] = rng.choice(("", "x", *rows[0]))
        case "end":
            rows.insert(row, [])
    out = io.StringIO()
    csv.writer(out, lineterminator=rng.choice(("\n", "\r\n", "\r"))).writerows(rows)
    return out.getvalue().encode(), f"row {row}, column {column}: {how}"


def checkpoint_structure(content, rng):
    magic, _, rest = content.split(b"\n", 2)
    with np.load(io.BytesIO(rest)) as stored:
        arrays = dict(stored)
    text, what = json_structure(json.loads(arrays["state.json"].tobytes()), rng)
    arrays["state.json"] = np.frombuffer(text, np.uint8)
    if rng.random() < 0.2:
        del arrays[name := rng.choice(list(arrays))]
        what = f"without {name}"
    out = io.BytesIO()
    np.savez(out, **arrays)
    return b"\n".join((magic, hashlib.sha256(out.getvalue()).hexdigest().encode(), out.getvalue())), what


def npz_structure(content, rng):
    with np.load(io.BytesIO(content)) as stored:
        arrays = dict(stored)
    name = rng.choice(list(arrays))
    array = arrays[name]
    how = rng.choice(("floats", "twos", "shape", "less", "more", "objects", "claim", "bomb", "text", "empty", "plain"))
    out = io.BytesIO()
    match how:
        case "floats":
            arrays[name] = array.astype(np.float64)
        case "twos":
            arrays[name] = array + np.uint8(1)
        case "shape":
            arrays[name] = array[:1]
        case "less":
            del arrays[name]
        case "more":
            arrays["../x"] = array
        case "objects":
            arrays[name] = np.array([Path("x")], object)
        case "text":
            arrays[name] = np.array(["a", "b"])
        case "empty":
            arrays = {}
        case "plain":
            np.save(out, array)
            return out.getvalue(), how
        case "claim" | "bomb":
            size = 10**13 if how == "claim" else 3 * 10**9
            header = io.BytesIO()
            shape = {"descr": "|u1", "fortran_order": False, "shape": (size,)}
            np.lib.format.write_array_header_1_0(header, shape)
            with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
                file.writestr(f"{name}.npy", header.getvalue() + bytes(10**6))
            return out.getvalue(), how
    np.savez_compressed(out, **arrays)
    return out.getvalue(), f"{name}: {how}"


@pytest.fixture(scope="module")
def fuzz(tmp_path_factory):
    return Fuzz(tmp_path_factory.mktemp("fuzz"))


@pytest.mark.parametrize("every", [25, pytest.param(1, marks=pytest.mark.slow)])
def test_altered_files_are_one_line_or_change_nothing(fuzz, every, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    faults = [told for told in map(fuzz.case, range(0, STRUCTURES + FLIPS, every)) if told[1]]
    for told, fault in faults[:20]:
        print(f"{told}: {fault}")
    assert [told for told, _ in faults] == []


def kinds_of_settings():
    """Yields settings of each method, optimizer, granularity and kind of data."""
    for method in METHODS:
        yield Config(dataset="penguins", method=method)
    for optimizer in OPTIMIZERS:
        yield Config(dataset="penguins", optimizer=optimizer)
    yield Config(dataset="fashion_mnist", granularity="filter")
    yield Config(dataset="cifar10", granularity="branch")
    yield Config(dataset="penguins", granularity="block", pattern="4x1")
    yield Config(dataset="penguins", granularity="n:m", pattern="2:4")
    for path, own in (
        ("t.csv", {"kind": "table", "label": "l"}),
        ("images", {"kind": "images", "side": 32, "channels": 3}),
        ("a.npz", {"kind": "arrays", "shape": [8, 8, 3], "dtype": "uint8"}),
        ("tfds:x", {"kind": "tfds", "label": "l", "what": "images", "side": 32, "channels": 3, "image": "i"}),
    ):
        yield Config(dataset=path, data_settings={**own, "fingerprint": "f", "examples": 60})


def fields(values, before=()):
    for key, value in values.items():
        yield (*before, key)
        if isinstance(value, dict):
            yield from fields(value, (*before, key))


def test_each_setting_set_to_anything_is_one_line_or_counts(tmp_path):
    """Of a run's config.json, by way of JSON; what settings are asked for must not fail later."""
    path, faults = tmp_path / "config.json", []
    signal.signal(signal.SIGALRM, _too_long)
    for kind, config in enumerate(kinds_of_settings()):
        stored = json.loads(json.dumps(config.to_dict()))
        for place, field in enumerate(fields(stored)):
            for number, value in enumerate((*VALUES, [10**9], "1,2", 10**6, 2**40)):
                if len(field) == 1 and (kind + place + number) % 6:  # each value in a sixth of all kinds
                    continue
                altered = owner = json.loads(json.dumps(stored))
                for key in field[:-1]:
                    owner = owner[key]
                owner[field[-1]] = value
                text = json.dumps(altered)
                for mark, raw in RAW.items():
                    text = text.replace(mark, raw)
                path.write_text(text)
                signal.alarm(SECONDS)
                try:
                    read = read_config(RunDir(tmp_path))
                    read.replace(seed=read.seed + 1).as_baseline().identity()
                    read.pruning.total_epochs(read.epochs)
                    assert read.run_id and read.requested_sparsity < 1 and read.data_name and read.model_name
                except TfpruneError as error:
                    if "\n" in str(error) or "config.json: " not in str(error):
                        faults.append((config.run_id, field, str(value)[:20], str(error)[:200]))
                except (Exception, TooLong) as error:
                    faults.append((config.run_id, field, str(value)[:20], repr(error)[:200]))
                finally:
                    signal.alarm(0)
    assert faults[:20] == []


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        made = Fuzz(Path(folder))
        os.chdir(folder)
        numbers = [int(argument) for argument in sys.argv[1:]] or range(STRUCTURES + FLIPS)
        for number in numbers:
            told, fault = made.case(number)
            if fault or len(sys.argv) > 1:
                print(f"{told}: {fault}")
