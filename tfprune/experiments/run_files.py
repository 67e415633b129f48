"""The files of a run: a schema for each, and one reader. No TensorFlow.

What a file holds beyond what is read here is left to it: older and newer versions write other keys.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from tfprune.utils.archives import check_archive
from tfprune.utils.errors import BROKEN_ARCHIVE, RunError
from tfprune.utils.files import MEGABYTE, read_bytes, sha256
from tfprune.utils.text import one_line

if TYPE_CHECKING:
    import numpy as np

MOST_JSON = 32 * MEGABYTE  # bytes of config.json, metrics.json and the like
MOST_COMPARISON = 512 * MEGABYTE  # a row a run: a thousand runs take one
MOST_CSV = 256 * MEGABYTE
MOST_LINE = MEGABYTE  # of what ended a run, of who holds a lock
MOST_ARRAYS = 4096 * MEGABYTE  # of masks, a byte a weight, also once they are unpacked
MOST_MODEL = 2**40
LONGEST_NAME = 500  # characters: of layers, groups, phases and devices
LONGEST_TEXT = 10_000
LARGEST_LOSS = 1e39  # above float32's largest number
LARGEST_AMOUNT = 1e30  # seconds, examples, FLOPs
CHECKSUM = "checksum"  # the key of a table's SHA-256 over all others

Name = Annotated[str, Meta(max_length=LONGEST_NAME)]
Text = Annotated[str, Meta(max_length=LONGEST_TEXT)]
Line = Annotated[str, Meta(max_length=LONGEST_TEXT, pattern=r"^[^\x00-\x1f\x7f]*$")]
Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Size = Annotated[int, Meta(ge=1, le=2**63 - 1)]
Share = Annotated[float, Meta(ge=0.0, le=1.0)]
Loss = Annotated[float, Meta(ge=-LARGEST_LOSS, le=LARGEST_LOSS)]
Amount = Annotated[float, Meta(ge=0.0, le=LARGEST_AMOUNT)]
Difference = Annotated[float, Meta(ge=-LARGEST_AMOUNT, le=LARGEST_AMOUNT)]
Digest = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]


class Scores(msgspec.Struct):
    """Of a model over a split."""

    loss: Loss
    accuracy: Share


class Zeros(msgspec.Struct):
    """Of a kernel."""

    zeros: Count
    size: Size

    def __post_init__(self) -> None:
        if self.zeros > self.size:
            raise ValueError(f"Expected `zeros` of at most {self.size}, the size, got {self.zeros}")


class Sparsity(msgspec.Struct):
    """What is gone."""

    achieved: Share
    layers: dict[Name, Zeros]


class Packed(msgspec.Struct):
    """Bytes, as they are and gzipped."""

    raw: Count
    gzip: Count


class Sizes(msgspec.Struct):
    """Of the weights, and of the model where there is one."""

    weights: Packed
    raw: Count | UnsetType = UNSET
    gzip: Count | UnsetType = UNSET

    def __post_init__(self) -> None:
        if (self.raw is UNSET) != (self.gzip is UNSET):
            raise ValueError("Expected both of `raw` and `gzip`, or none")


class Cost(msgspec.Struct):
    """What no machine changes."""

    examples: Amount
    forward_flops: Amount
    forward_flops_masked: Amount
    training_flops: Amount
    training_flops_masked: Amount


class Machine(msgspec.Struct):
    """What seconds depend on."""

    cpu: Name
    cores: Size
    gpus: list[Name]


class Versions(msgspec.Struct):
    """What a result depends on; more packages are named."""

    python: Name
    tensorflow: Name
    tfmot: Name = msgspec.field(name="tensorflow-model-optimization")


class Precision(msgspec.Struct):
    """The arithmetic of a training."""

    policy: Name
    step_seconds: dict[Name, Amount] = {}


class Untuned(msgspec.Struct):
    """Of the network as it was just pruned."""

    validation: Scores
    test: Scores


class Change(msgspec.Struct):
    """A number before and after channels or branches went."""

    before: Size
    after: Count

    def __post_init__(self) -> None:
        if self.after > self.before:
            raise ValueError(f"Expected `after` of at most {self.before}, which were before, got {self.after}")


class Group(Change):
    """Channels that go together, or the residual branches of a network."""

    gone: list[Name] = []


class Channels(msgspec.Struct):
    """What removing channels came to."""

    groups: dict[Name, Group]
    left_alone: dict[Name, Text]
    parameters: Change
    macs: Change


class Units(msgspec.Struct):
    """Blocks of a kernel, or its groups of m."""

    units: Count
    smaller: Count


class Pattern(msgspec.Struct):
    """What weights were pruned by."""

    layers: dict[Name, Units]


class Metrics(msgspec.Struct):
    """`metrics.json`: what is read of it."""

    seed: Annotated[int, Meta(ge=0)]
    train: Scores
    validation: Scores
    test: Scores
    sparsity: Sparsity
    parameters: Size
    nonzero_parameters: Count
    bytes: Sizes
    epochs: Size
    seconds: dict[Name, Amount]
    cpu_seconds: dict[Name, Amount]
    cost: Cost
    machine: Machine
    versions: Versions
    precision: Precision
    untuned: Untuned | None = None
    taken_over: dict[Name, Name] = {}
    networks: Size | UnsetType = UNSET
    channels: Channels | UnsetType = UNSET
    pattern: Pattern | UnsetType = UNSET
    files: dict[Text, Digest] = {}
    checksum: Digest | None = None

    def __post_init__(self) -> None:
        if self.nonzero_parameters > self.parameters:
            raise ValueError(f"Expected `nonzero_parameters` of at most {self.parameters}, which there are")
        for name, seconds in (("seconds", self.seconds), ("cpu_seconds", self.cpu_seconds)):
            if not seconds.get("total"):
                raise ValueError(f"Expected `{name}.total` above 0")
        trainings = self.cpu_seconds.keys() - {"total"}
        if self.machine.gpus and not sum(self.seconds.get(phase, 0.0) for phase in trainings):
            raise ValueError("Expected `seconds` of the trainings that `cpu_seconds` has")


class RunState(msgspec.Struct):
    """What a checkpoint holds of its run, beside the training."""

    precision: tuple[Name, dict[Name, Amount]]
    circumstances: dict[Line, Line | list[Line]]
    data: Any
    stream: Name | UnsetType = UNSET
    mlflow: Text | None = None


class PlaceState(msgspec.Struct, forbid_unknown_fields=True):
    """Where in a training a checkpoint was taken."""

    epoch: Count
    step: Count


class RowState(msgspec.Struct):
    """A row of a history."""

    phase: Name
    epoch: Size
    step: Size
    sparsity: Share
    loss: float | None = None
    accuracy: float | None = None
    val_loss: float | None = None
    val_accuracy: float | None = None


class TrainingState(msgspec.Struct):
    """The JSON of a checkpoint: what every training saves."""

    run: RunState
    events: dict[Text, Count]
    phase: Name
    place: PlaceState
    answers: list[Any]
    history: list[RowState]
    seconds: dict[Name, Amount]
    cpu_seconds: dict[Name, Amount]
    remembered: list[bool]
    scale: float | None
    shown: Any
    structure: Any
    untuned: Any
    trained_epochs: Count
    trained_masked: Amount
    scored: Amount
    scored_masked: Amount
    taken_over: dict[Name, Name]
    steps: Count = msgspec.field(name="_steps")
    prunings: Count = msgspec.field(name="_prunings")
    levels: list[Amount] = msgspec.field(name="_levels")


class Means(msgspec.Struct):
    """Of a trial, over its seeds."""

    test_accuracy: Share
    sparsity: Share


class Deviations(msgspec.Struct):
    """Of a trial, over its seeds."""

    test_accuracy: Amount | None


class Delta(msgspec.Struct):
    """To the baseline."""

    mean: Difference
    low: Difference
    high: Difference


class Trial(msgspec.Struct):
    """A method of a comparison."""

    seeds: Annotated[dict[Name, Any], Meta(min_length=1)]
    mean: Means
    sd: Deviations
    delta: Delta | None


class Judged(msgspec.Struct):
    """A verdict of a comparison."""

    statement: Text
    outcome: Name


class Settings(msgspec.Struct):
    """What a comparison's runs have in common: what is read of it."""

    model: Text
    epochs: Size


class Comparison(msgspec.Struct):
    """What `tfprune compare --json` writes: what is read of it."""

    dataset: Text
    settings: Settings
    methods: Annotated[dict[Name, Trial], Meta(min_length=1)]
    verdicts: list[Judged]
    checksum: Digest | None = None


RemovedChannels = dict[Name, list[Count | Name]]  # `channels.json`: group -> its channels, or the names of branches

HISTORY: dict[str, tuple[type, float, float]] = {  # columns of `history.csv`: type, least, most
    "phase": (str, 0, 0),
    "epoch": (int, 1, 2**63 - 1),
    "step": (int, 1, 2**63 - 1),
    "loss": (float, -LARGEST_LOSS, LARGEST_LOSS),
    "accuracy": (float, 0.0, 1.0),
    "val_loss": (float, -LARGEST_LOSS, LARGEST_LOSS),
    "val_accuracy": (float, 0.0, 1.0),
    "sparsity": (float, 0.0, 1.0),
}
COMPLETE = ("epoch", "step", "sparsity")  # columns without empty cells
_OF_NUMBERS = "0123456789+-.einfa"

Schema = TypeVar("Schema")


def read_json(path: Path, most: int = MOST_JSON) -> dict[str, Any]:
    """Reads a JSON object.

    Raises:
        RunError: the file is missing, no regular file or too large, or holds something else.
    """
    return decode_json(read_file(path, most), path)


def read_file(path: Path, most: int) -> bytes:
    """Returns what a file of a run holds.

    Raises:
        RunError: the file is missing, no regular file or too large.
    """
    try:
        return read_bytes(path, most)
    except FileNotFoundError:
        raise RunError(f"{path}: there is no such file") from None
    except OSError as error:
        raise RunError(f"{path}: cannot be read ({error.strerror})") from None


def decode_json(content: bytes, path: Path) -> dict[str, Any]:
    """Returns the JSON object that a file holds.

    Raises:
        RunError: it holds something else.
    """
    try:
        value = msgspec.json.decode(content)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise RunError(f"{path}: cannot be read ({one_line(error)})") from None
    if not isinstance(value, dict):
        raise RunError(f"{path}: a JSON object is needed, got {type(value).__name__}")
    return value


def check(value: object, schema: type[Schema], path: Path) -> Schema:
    """Returns what a file holds as its schema has it.

    Raises:
        RunError: a field is missing, or is not what it should be.

    >>> check({"loss": 0.5, "accuracy": 2}, Scores, Path("metrics.json"))
    Traceback (most recent call last):
    tfprune.utils.errors.RunError: metrics.json: accuracy: expected `float` <= 1.0
    """
    try:
        return msgspec.convert(value, schema)
    except (msgspec.ValidationError, RecursionError, UnicodeEncodeError) as error:  # half of a letter
        reason, _, place = str(error).rpartition(" - at ")
        reason, place = (reason, place.strip("`").removeprefix("$").lstrip(".")) if reason else (str(error), "")
        raise RunError(f"{path}: {f'{place}: ' * bool(place)}{reason[:1].lower()}{reason[1:]}") from None


def sealed(values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a table with a checksum of all that it holds, see `check_seal`."""
    return {**values, CHECKSUM: digest_of({key: value for key, value in values.items() if key != CHECKSUM})}


def check_seal(values: Mapping[str, Any], path: Path) -> None:
    """Raises a `RunError` if a table has been altered since it was sealed. Those of earlier versions were not."""
    if CHECKSUM in values and sealed(values)[CHECKSUM] != values[CHECKSUM]:
        raise altered(path)


def digest_of(values: object) -> str:
    """Returns the SHA-256 of plain JSON values, however they are laid out in a file."""
    # By Python's `json`, whose numbers are spelled the same in all versions; in the order in which they stand.
    return hashlib.sha256(json.dumps(values, separators=(",", ":")).encode()).hexdigest()


def digests(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """Returns the SHA-256 of the files of a run that are there, by their path in its folder.

    Args:
        folder: the run's.
        names: of files and of folders, of which all files count.
    """
    found = {}
    for name in names:
        path = folder / name
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file():
                found[file.relative_to(folder).as_posix()] = sha256(file, MOST_MODEL)
    return found


def altered(path: Path) -> RunError:
    """Returns what is raised of a file that does not fit its checksum."""
    return RunError(f"{path}: was altered after it was written: its checksum is another one; make it anew")


def read_history(content: bytes, path: Path, names: Sequence[str] = ()) -> dict[str, Sequence[Any]]:
    """Reads columns of `history.csv`, of which thousands are read when runs are compared.

    Args:
        content: of the file.
        path: of the file, for errors.
        names: of the columns; all of `HISTORY` if none is named.

    Returns:
        Column -> its cells, numbers as numbers; None is a number that was not measured, or is not finite.

    Raises:
        RunError: it is no history of a run.
    """
    try:
        header, *rows = csv.reader(io.StringIO(content.decode(), newline=""), strict=True)
    except (ValueError, csv.Error) as error:  # cut short or altered
        raise RunError(f"{path}: cannot be read ({error})") from None
    if len(set(header)) < len(header):
        raise RunError(f"{path}: cannot be read (a column is there twice)")
    for name in HISTORY:
        if name not in header:
            raise RunError(f"{path}: this is no history of a run (it has no {name!r})")
    if not rows or set(map(len, rows)) != {len(header)}:
        raise RunError(f"{path}: cannot be read ({'its rows are not of one length' if rows else 'it has no rows'})")
    cells = dict(zip(header, zip(*rows, strict=True), strict=True))
    return {name: _column(name, cells[name], path) for name in names or HISTORY}


def _column(name: str, cells: Sequence[str], path: Path) -> Sequence[Any]:
    """Returns a column of a history."""
    kind, low, high = HISTORY[name]
    if kind is str:
        if max(map(len, cells)) > LONGEST_NAME:
            raise RunError(f"{path}: {name}: a name of more than {LONGEST_NAME} characters")
        return cells
    try:
        if "".join(cells).strip(_OF_NUMBERS):  # what `int` and `float` take beyond what is written: 1_0, spaces
            raise ValueError("there is a cell that is no number")
        numbers = [kind(cell) if cell else None for cell in cells]
    except ValueError as error:
        raise RunError(f"{path}: {name}: cannot be read ({error})") from None
    if kind is float:
        numbers = [number if number is not None and math.isfinite(number) else None for number in numbers]
    known = [number for number in numbers if number is not None]
    if name in COMPLETE and len(known) < len(cells):
        raise RunError(f"{path}: {name}: a cell is empty, or no finite number")
    if known and not low <= min(known) <= max(known) <= high:
        raise RunError(f"{path}: {name}: numbers from {low} to {high:g} are expected, got {min(known)} to {max(known)}")
    return numbers


def read_masks(content: bytes, path: Path, kernels: Mapping[str, int]) -> dict[str, np.ndarray]:
    """Reads `masks.npz`.

    Args:
        content: of the file.
        path: of the file, for errors.
        kernels: kernel -> its weights, as `metrics.json` has it.

    Raises:
        RunError: these are no masks of these kernels. Nothing is unpickled, and nothing is made that is larger than the
            file says and `MOST_ARRAYS` allows.
    """
    import numpy as np  # here, so that `tfprune --help` does without

    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            check_archive(archive, MOST_ARRAYS)
        masks = dict(np.load(io.BytesIO(content), allow_pickle=False))
    except (*BROKEN_ARCHIVE, TypeError) as error:  # an array alone is no archive of some
        raise RunError(f"{path}: cannot be read ({error})") from None
    for name, mask in masks.items():
        if mask.dtype != np.uint8 or (mask.size and mask.max() > 1):
            raise RunError(f"{path}: {name}: a mask is of 0 and 1 in uint8, this is of {mask.dtype}")
    for name, size in kernels.items():
        if name not in masks or masks[name].size != size:
            found = f"one of {masks[name].size:,}" if name in masks else "none"
            raise RunError(f"{path}: {name}: a mask of {size:,} weights is needed, there is {found}")
    return masks
