"""Checkpoints of a training; interrupted runs resume bit-for-bit.

A method is a program that calls its task: `fit`, `prune`, `fit`. To resume a run is to run that program once
more. Operations that were done before the checkpoint are skipped and give the answer that they gave; the one
in which it was taken starts as ever, is then given all that the checkpoint holds, and continues at its step.
"""

from __future__ import annotations

import dataclasses
import functools
import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfprune.adapters import adapter_of
from tfprune.adapters.backend import cores, machine
from tfprune.training.checkpoints import Checkpoint, Checkpoints, Interval
from tfprune.training.clock import Clock
from tfprune.training.listeners import Listener, Logs, broken_layer
from tfprune.training.stopping import SignalHandler
from tfprune.training.strategies import DistributedContext
from tfprune.utils.errors import RunError

log = logging.getLogger(__name__)


@dataclasses.dataclass(kw_only=True)
class CheckpointPolicy:
    """Where and how often a run is saved, and what it resumes from.

    Args:
        checkpoints: where.
        every: how often.
        signals: watches for signals.
        checkpoint: what the run resumes from; None: it starts.
        run: what is saved along, for whoever resumes the run.
        events: folder of event files; what was written to them after the checkpoint is cut off.
        distributed: the processes that train the run together, which save it at the same place: the end of an epoch.
    """

    checkpoints: Checkpoints
    every: Interval
    signals: SignalHandler
    checkpoint: Checkpoint | None = None
    run: dict[str, Any] = dataclasses.field(default_factory=dict)
    events: Path | None = None
    distributed: DistributedContext = dataclasses.field(default_factory=DistributedContext)

    def write(self, state: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        """Writes a checkpoint; where that fails the training goes on, with a warning.

        Raises:
            RunError: the run's folder is gone.
        """
        try:
            self.checkpoints.write({**state, "run": dict(self.run), "events": _sizes(self.events)}, arrays)
        except OSError as error:
            folder = self.checkpoints.folder
            if not folder.parent.is_dir():
                raise RunError(
                    f"{folder.parent}: the run's folder has been removed; nothing is left to go on"
                ) from None
            log.warning("%s: no checkpoint can be written (%s); the training goes on", folder, error.strerror)


def environment_info(versions: Mapping[str, str]) -> dict[str, Any]:
    """Returns what bits may depend on beside the settings: versions of packages, and the machine."""
    threads = os.environ.get("TF_NUM_INTRAOP_THREADS") or cores()
    return {**versions, "cpu": machine()["cpu"], "gpus": machine()["gpus"], "threads": str(threads)}


def warn_of_differences(then: Mapping[str, Any], now_here: Mapping[str, Any]) -> None:
    """Warns if a checkpoint was written under other `environment_info` than it is read under."""
    for name, now in now_here.items():
        if then.get(name) != now:
            log.warning("the run began with %s %s and goes on with %s: bits may differ", name, then.get(name), now)


def truncate_files(folder: Path, sizes: Mapping[str, int]) -> None:
    """Makes a folder of files that only grow what it was when `sizes` were taken."""
    for path in [path for path in folder.rglob("*") if path.is_file()]:
        size = sizes.get(path.relative_to(folder).as_posix())
        if size is None:
            path.unlink()
        elif size < path.stat().st_size:
            os.truncate(path, size)


def _sizes(folder: Path | None) -> dict[str, int]:
    files = (path for path in folder.rglob("*") if path.is_file()) if folder else ()
    return {path.relative_to(folder).as_posix(): path.stat().st_size for path in files}


def operation(method: Callable) -> Callable:
    """Marks what a method asks of its task. It is skipped where a checkpoint was taken after it.

    What it returns must be plain JSON: it is saved, for methods that go by it.
    """

    @functools.wraps(method)
    def run(self: Resumable, *args: Any, **kwargs: Any) -> Any:
        if self.operations.inside:  # of another operation, e.g. a cut in the middle of a training
            return method(self, *args, **kwargs)
        return self.operations.run(functools.partial(method, self, *args, **kwargs))

    return run


class Operations:
    """The operations of a run so far.

    Args:
        answers: of those that a checkpoint says were done.
    """

    def __init__(self, answers: list[Any]) -> None:
        self.answers: list[Any] = []
        self.inside = False
        self._done = answers

    @property
    def at_checkpoint(self) -> bool:
        """Whether the operation that runs now is the one in which the checkpoint was taken."""
        return len(self.answers) == len(self._done)

    def run(self, call: Callable[[], Any]) -> Any:
        """Returns what an operation answers, or answered."""
        if len(self.answers) < len(self._done):
            answer = self._done[len(self.answers)]
        else:
            self.inside = True
            try:
                answer = call()
            finally:
                self.inside = False
        self.answers.append(answer)
        return answer


@dataclasses.dataclass(frozen=True)
class TrainingPosition:
    """Where in a training a checkpoint was taken: after so many whole epochs, and steps of the next one."""

    epoch: int
    step: int = 0


class CheckpointListener(Listener):
    """Saves a training; the last of what listens to it, so that it sees what the others did.

    Args:
        checkpointing: where and how often.
        save: writes a checkpoint of a `TrainingPosition`.
        restore: gives model, optimizer and callbacks what the checkpoint holds; None: the training starts.
        position: where that was.
        steps_per_epoch: steps of the optimizer.
        ready: whether the model can be saved now; where not, it is soon after.

    Attributes:
        first_step: of an epoch that the framework calls batch 0, where it was begun in the middle.
    """

    def __init__(
        self,
        checkpointing: CheckpointPolicy,
        save: Callable[[TrainingPosition], None],
        restore: Callable[[], None] | None,
        position: TrainingPosition,
        steps_per_epoch: int,
        ready: Callable[[], bool],
    ) -> None:
        self.ready = ready
        self.checkpointing = checkpointing
        self.save = save
        self.restore = restore
        self.position = position
        self.steps_per_epoch = steps_per_epoch
        self.saved_epoch, self.saved_at = position.epoch, time.monotonic()
        self.epoch = 0
        self.first_step = 0

    def broken_layer(self) -> str | None:
        """Returns the name of the first layer with a weight that is no finite number, None if all are."""
        adapter_of(self.model).sync(self.model)
        return broken_layer(self.model)

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        self.epoch = epoch
        self._restore()  # not before: Keras has just emptied the metrics

    def on_train_end(self, logs: Logs = None) -> None:
        self._restore()  # if no epoch was left

    def _restore(self) -> None:
        if self.restore is not None:
            self.restore()
            self.restore = None

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        step = self.first_step + batch + 1
        alone = self.checkpointing.distributed.strategy is None
        if alone and step < self.steps_per_epoch and (self.checkpointing.signals.asked or self._time_is_up()):
            self._save(TrainingPosition(self.epoch, step))

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        done, every = epoch + 1, self.checkpointing.every.epochs
        due = (every and done - self.saved_epoch >= every) or self.checkpointing.signals.asked or self._time_is_up()
        if self.checkpointing.distributed.any(due):
            self._save(TrainingPosition(done))

    def _time_is_up(self) -> bool:
        seconds = self.checkpointing.every.seconds
        return seconds is not None and time.monotonic() - self.saved_at >= seconds

    def _save(self, position: TrainingPosition) -> None:
        if not self.ready():
            return
        layer = self.broken_layer()
        if layer is None:
            self.save(position)
        else:
            log.warning("not saved: %s has weights that are not finite; the checkpoint before is kept", layer)
        self.saved_epoch, self.saved_at = position.epoch, time.monotonic()
        self.checkpointing.signals.stop()


def put_back(variables: Sequence[Any], values: Sequence[np.ndarray], part: str) -> None:
    """Gives variables the values that a checkpoint holds.

    Raises:
        RunError: they are those of another model.
    """
    if [value.shape for value in values] != [tuple(variable.shape) for variable in variables]:
        raise RunError(f"the checkpoint is of another model or optimizer ({part}s differ); use --force to run anew")
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def with_prefix(arrays: Mapping[str, np.ndarray], of: str) -> dict[str, np.ndarray]:
    """Returns the arrays called `of/NAME`, by NAME."""
    return {name.removeprefix(f"{of}/"): array for name, array in arrays.items() if name.startswith(f"{of}/")}


def numbered_arrays(arrays: Mapping[str, np.ndarray], part: str) -> list[np.ndarray]:
    """Returns the arrays called `part/0`, `part/1` ... in order."""
    own = with_prefix(arrays, part)
    if own.keys() != {str(number) for number in range(len(own))}:
        raise RunError(f"the checkpoint has not all arrays of {part!r}; use --force to run anew")
    return [own[str(number)] for number in range(len(own))]


def plain(value: Any) -> Any:
    """Turns NumPy's numbers into Python's, which JSON keeps to the bit."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value.item() if isinstance(value, np.generic) else value


class Resumable:
    """What a trainer keeps so that it can be resumed.

    Args:
        checkpointing: where and how often it is saved, and what it resumes from; None saves nothing.
    """

    def __init__(self, checkpointing: CheckpointPolicy | None) -> None:
        self.history: list[dict[str, Any]] = []
        self.clock = Clock()
        self._rewindings: list[Any] = []
        self._checkpointing = checkpointing
        self._checkpoint = checkpointing and checkpointing.checkpoint
        self.operations = Operations(self._checkpoint.state["answers"] if self._checkpoint else [])

    def rewinding(self, epoch: int) -> Any:
        """Returns what rewinds to `epoch` of the first training that it sees."""
        self._rewindings.append(self._rewinding(epoch))
        return self._rewindings[-1]

    def _rewinding(self, epoch: int) -> Any:
        raise NotImplementedError

    def arrays(self, *, in_epoch: bool) -> dict[str, np.ndarray]:
        """Returns everything that a training changes by numbered names; `in_epoch` metrics and random draws too."""
        raise NotImplementedError

    def restore_arrays(self, arrays: Mapping[str, np.ndarray], *, in_epoch: bool) -> None:
        """Puts back what `arrays` returned, into a model that was built and compiled alike.

        Raises:
            RunError: the model is another one.
        """
        raise NotImplementedError

    def structure(self) -> Any:
        """Returns, as plain JSON, how the model's form differs from the one it was built in; here it never does."""
        return None

    @property
    def can_checkpoint(self) -> bool:
        """Whether the model can be saved now: not while it is about to change its form."""
        return True

    def rebuild(self, structure: Any) -> None:
        """Gives a model that was just built the form that `structure` told of, before it is compiled."""
        if structure is not None:
            raise RunError("the checkpoint is of a model whose form has changed; use --force to run anew")

    @property
    def seconds(self) -> dict[str, float]:
        """Part -> wall time, see `clock`."""
        return self.clock.seconds

    @property
    def cpu_seconds(self) -> dict[str, float]:
        """Part -> seconds of all processor cores together, see `clock`."""
        return self.clock.cpu_seconds

    def counters(self) -> dict[str, Any]:
        """Returns what a checkpoint keeps beside history, times and arrays."""
        raise NotImplementedError

    def restore_counters(self, state: Mapping[str, Any]) -> None:
        """Takes up what `counters` returned."""
        raise NotImplementedError

    def _checkpoint_listener(
        self,
        phase: str,
        position: TrainingPosition,
        checkpoint: Checkpoint | None,
        steps_per_epoch: int,
        *,
        kind: Callable[..., CheckpointListener] = CheckpointListener,
        scale: Any = None,
        board: Any = None,
    ) -> CheckpointListener:
        """Returns what saves a training, and puts back what a checkpoint of it holds.

        Args:
            phase: name of the training.
            position: where it begins.
            checkpoint: that it goes on from, None if it starts.
            steps_per_epoch: each an opportunity to save it.
            kind: makes the listener.
            scale: a variable that multiplies the learning rate, if one does.
            board: what logs for TensorBoard, if anything does.
        """
        took = self.clock.took  # before a part of it takes its time for itself

        def save(at: TrainingPosition) -> None:
            if board:
                board.flush()
            seconds, cpu_seconds = took()
            remembered = [rewinding.remembered for rewinding in self._rewindings]
            arrays = {f"rewinding {n}/{m}": w for n, own in enumerate(remembered) for m, w in enumerate(own or ())}
            for number, stability in enumerate(self.pruner.stability):
                for rank, masks in enumerate(stability.recent):
                    arrays |= {f"settling {number} {rank}/{name}": mask for name, mask in masks.items()}
            state = self.counters() | {
                "phase": phase,
                "place": dataclasses.asdict(at),
                "answers": self.operations.answers,
                "history": self.history,
                "seconds": self.seconds | {phase: seconds},
                "cpu_seconds": self.cpu_seconds | {phase: cpu_seconds},
                "remembered": [own is not None for own in remembered],
                "scale": None if scale is None else float(scale.numpy()),
                "shown": board and board.shown,
                "structure": self.structure(),
            }
            self._checkpointing.write(plain(state), arrays | self.arrays(in_epoch=at.step > 0))

        def restore_all() -> None:
            state, arrays = checkpoint.state, checkpoint.arrays
            self.restore_arrays(arrays, in_epoch=position.step > 0)
            for number, known in enumerate(state["remembered"]):
                self._rewindings[number].remembered = numbered_arrays(arrays, f"rewinding {number}") if known else None
            self._restore_stability(arrays)
            if scale is not None:
                scale.assign(state["scale"])
            if board:
                board.shown = state["shown"]

        restore = restore_all if checkpoint else None
        return kind(self._checkpointing, save, restore, position, steps_per_epoch, lambda: self.can_checkpoint)

    def _restore_stability(self, arrays: Mapping[str, np.ndarray]) -> None:
        for number, stability in enumerate(self.pruner.stability):
            stability.recent.clear()
            rank = 0
            while masks := with_prefix(arrays, f"settling {number} {rank}"):
                stability.recent.append(masks)
                rank += 1

    def _resume_from_checkpoint(self, phase: str) -> None:
        """Sets the counters to where they stood at the checkpoint; its arrays follow when Keras is ready."""
        state = self._checkpoint.state
        if state["phase"] != phase:
            raise RunError(f"the checkpoint was taken in {state['phase']!r}, not {phase!r}; use --force to run anew")
        self.restore_counters(state)
        self.history[:] = state["history"]
        self.clock.seconds, self.clock.cpu_seconds = state["seconds"], state["cpu_seconds"]
        self.rebuild(state["structure"])
        log.info("Going on from a checkpoint: %s, after epoch %d", phase, state["place"]["epoch"])
