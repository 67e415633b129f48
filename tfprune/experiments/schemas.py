"""What the files of a run hold: a schema for each. No TensorFlow.

What a file holds beyond what is read here is left to it: older and newer versions write other keys.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from tfprune.data.objectives import DEFAULT, OBJECTIVES, primary_metric

LONGEST_NAME = 500  # characters: of layers, groups, phases and devices
LONGEST_TEXT = 10_000
LARGEST_LOSS = 1e39  # above float32's largest number
LARGEST_AMOUNT = 1e30  # seconds, examples, FLOPs

PRIMARY = {task: primary_metric(task).name for task in OBJECTIVES}  # the metric that no run is without

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


def _primaries(prefix: str, share: Any, amount: Any) -> list[tuple[str, Any, Any]]:
    """Returns a field for the metric of each task, of which a file has one."""
    found = {metric.name: metric.share for metric in map(primary_metric, OBJECTIVES)}
    return [(f"{prefix}{name}", (share if own else amount) | UnsetType, UNSET) for name, own in found.items()]


Scores = msgspec.defstruct("Scores", [("loss", Loss), *_primaries("", Share, Amount)])  # of a model over a split


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
    """What a result depends on; more packages are named, those of the Keras that trained it."""

    python: Name
    tensorflow: Name | UnsetType = UNSET
    tfmot: Name | UnsetType = msgspec.field(name="tensorflow-model-optimization", default=UNSET)


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


class Described(msgspec.Struct):
    """Of the data of a run."""

    task: Name = DEFAULT
    constant: dict[Name, Scores] = {}
    notes: list[Text] = []


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
    backend: Name | UnsetType = UNSET
    channels: Channels | UnsetType = UNSET
    pattern: Pattern | UnsetType = UNSET
    data: Described = msgspec.field(default_factory=Described)
    files: dict[Text, Digest] = {}
    checksum: Digest | None = None

    def __post_init__(self) -> None:
        primary = PRIMARY.get(self.data.task)
        if primary is None:
            raise ValueError(f"Expected a task of {', '.join(PRIMARY)}, got {self.data.task!r}")
        for name in ("train", "validation", "test"):
            if getattr(getattr(self, name), primary) is UNSET:
                raise ValueError(f"Object missing required field `{primary}` - at `$.{name}`")
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


# of a trial, over its seeds
Means = msgspec.defstruct("Means", [("sparsity", Share), *_primaries("test_", Share, Amount)])
Deviations = msgspec.defstruct("Deviations", _primaries("test_", Amount | None, Amount | None))


class Timed(msgspec.Struct):
    """Of a file of a model, called with so many examples; `ratio` to such a file of the first run, if it has one."""

    file: Name
    batch: Size
    median_seconds: Annotated[float, Meta(gt=0.0, le=LARGEST_AMOUNT)]
    ratio: Annotated[float, Meta(gt=0.0, le=LARGEST_AMOUNT)] | None


class Inference(msgspec.Struct):
    """`latency.json`: times that can be compared with those of the same measurement."""

    measurement: Name
    date: Name
    machine: Machine
    times: list[Timed]


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
    task: Name = DEFAULT
    constant: Amount | None = None

    def __post_init__(self) -> None:
        if self.task not in PRIMARY:
            raise ValueError(f"Expected a task of {', '.join(PRIMARY)}, got {self.task!r}")
        for values, place in ((self.mean, "mean"), (self.sd, "sd")):
            if getattr(values, name := f"test_{PRIMARY[self.task]}") is UNSET:
                raise ValueError(f"Object missing required field `{name}` - at `$.{place}`")


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
    "val_loss": (float, -LARGEST_LOSS, LARGEST_LOSS),
    "sparsity": (float, 0.0, 1.0),
}
SCORES = {  # columns of metrics, of which each history has some
    f"{prefix}{metric.name}": (float, 0.0, 1.0) if metric.share else (float, -LARGEST_LOSS, LARGEST_LOSS)
    for task in OBJECTIVES
    for metric in OBJECTIVES[task].metrics.values()
    for prefix in ("", "val_")
}
COMPLETE = ("epoch", "step", "sparsity")  # columns without empty cells
