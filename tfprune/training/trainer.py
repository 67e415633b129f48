"""Compile and fit. Knows when to log; knows nothing about any method."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfprune.adapters.backend import keras, sow, tf
from tfprune.adapters.tf_keras.adapter import TfKerasModel
from tfprune.adapters.tf_keras.gradients import Slopes, sampled
from tfprune.adapters.tf_keras.optimizers import build_optimizer
from tfprune.adapters.tf_keras.randomness import DrawsOfEpochs
from tfprune.adapters.tf_keras.schedules import PruneAtSteps
from tfprune.adapters.tf_keras.wrapping import (
    get_weights,
    hold_masks,
    multiplications,
    set_weights,
    share_masks,
)
from tfprune.data._base import SPLITS, Data, Split
from tfprune.data._pipeline import evaluation_batches, training_batches
from tfprune.pruning.events import Cut
from tfprune.pruning.masks import Arrays
from tfprune.pruning.pattern_masks import check_pattern, described
from tfprune.training.callbacks import SCORES, History, Progress, PruneOnSchedule, Rewinding, StopOnNaN, TensorBoardLog
from tfprune.training.config import Config
from tfprune.training.fused import LAYERS, MOST_STEPS, AtRealEpochs, Fused, chunks, fits, longest
from tfprune.training.learning_rates import build_learning_rate
from tfprune.training.pruner import Networks, Pruner
from tfprune.training.resuming import Place, Resumable, Saving, operation
from tfprune.training.stacking import StackedNetworks, stack_splits
from tfprune.training.strategies import Crew, divided
from tfprune.utils.errors import ConfigError
from tfprune.utils.seeds import derive

LOGGED_EPOCHS = 100  # of a phase, about; a shorter one logs every epoch
STEPS_IN_ONE_CALL = 64  # at most: an epoch of so few steps runs as one call of the compiled function
EVALUATION_BATCH = 256
COMPILE, RANKING = "compile", "ranking"  # the keys of `Trainer.seconds` beside those of the phases


@dataclasses.dataclass(frozen=True)
class Dense:
    """A dense training that is done, for methods that begin with the same one to take over.

    Args:
        phase: its name.
        weights: returns those at its end, see `wrapping.get_weights`.
        history: the rows of its `keras_callbacks.History`.
        epochs, seconds, cpu_seconds: what it took.
        source: where it comes from.
    """

    phase: str
    weights: Callable[[], list[np.ndarray]]
    history: list[dict[str, Any]]
    epochs: int
    seconds: float
    cpu_seconds: float
    source: str


class Trainer(Resumable):
    """The `Task` of a method: a wrapped model, its data and its settings.

    Args:
        model: a wrapped model.
        data: what it learns from.
        config: the run's settings.
        tensorboard: folder of the event files; None logs none.
        dense: the training of an unpruned network with the same settings. A method that begins with
            it takes it over, with its history and its cost.
        redraw: returns other initial weights, for methods that ask for them.
        saving: where and how often the training is saved, and what it goes on from; None saves nothing.
        seeds, networks: of several networks in the model, see `Pruner`.

    Attributes:
        pruner: holds its masks.
        history: the rows of a `keras_callbacks.History` so far.
        seconds: phase -> wall time; under `compile` what a fused loop took before its first step, or an
            earlier run for this one, under `ranking` what
            pruning between trainings took.
        cpu_seconds: the same in seconds of all processor cores together, which hold still when others use the machine.
        trained_epochs: passes over the training split so far, over all phases.
        taken_over: phase -> where it was taken over from, if it was not trained here.
        forward: multiply-adds of an example's forward pass, and `forward_masked`: those with weights that live.
        trained_masked: `forward_masked` summed over the examples that have been trained on.
        scored, scored_masked: the multiply-adds that criteria took to rank weights, all of them and those needed.
        observers: Keras callbacks that see all trainings, each epoch when its row is in the history.
        untuned: the scores of the model as the last pruning after a training left it, before any more training.
    """

    def __init__(
        self,
        model: keras.Model,
        data: Data,
        config: Config,
        tensorboard: Path | None = None,
        dense: Dense | None = None,
        redraw: Callable[[], list[np.ndarray]] | None = None,
        saving: Saving | None = None,
        *,
        seeds: Sequence[int] = (),
        networks: Networks | None = None,
    ) -> None:
        super().__init__(saving)
        self.model = self._chosen(model, data, config)
        self.data = data
        self.config = config
        self.configs: Sequence[Config] = [config]  # of each network
        self.epochs = config.pruning.phase_epochs(config.epochs)
        self.steps_per_epoch = math.ceil(len(data.train) / config.batch_size)
        self.trained_epochs = 0
        self.taken_over: dict[str, str] = {}
        self.observers: list[keras.callbacks.Callback] = []
        self._tensorboard = tensorboard
        self._dense = dense
        self._redraw = redraw
        self._steps = 0  # of the optimizer, over finished phases
        self.forward = sum(count for count, _ in multiplications(model).values())
        self.trained_masked = self.scored = self.scored_masked = 0
        self.untuned: dict[str, Any] | None = None
        self._crew = Crew.of(config)
        self._slopes = Slopes(self.model, self._sample)
        self.pruner = Pruner(
            TfKerasModel(self.model, self._slopes),
            config.scope,
            config.units,
            seeds=seeds or [config.seed],
            networks=networks,
            agreed=self._crew.of_chief,
        )
        self._compiled: set[int] = set()  # the lengths of chunks that this run has compiled its step for
        self._owed = (0.0, 0.0)  # seconds that an earlier run took for that
        self._levels = [self.forward_masked]  # since the last training began

    @operation
    def fit(
        self,
        phase: str,
        *,
        initial_epoch: int = 0,
        events: Mapping[int, Cut] | None = None,
        rate_factor: float = 1.0,
        rate_epoch: int | None = None,
        callbacks: Sequence[keras.callbacks.Callback] = (),
    ) -> None:
        """Trains from `initial_epoch` up to the run's epochs with a fresh optimizer; see `methods._base.Task`."""
        for epoch in events or {}:
            if not initial_epoch < epoch <= self.epochs:
                raise ConfigError(f"a pruning event after epoch {epoch} of {self.epochs} would never happen")
        if self._checkpoint is not None:
            self._take_up(phase)
        elif rate_epoch is None and self._is_dense(phase, initial_epoch, events, callbacks):
            self._take_over(self._dense, callbacks)
            return
        with self._timed(phase):
            self._train(phase, initial_epoch, events or {}, rate_factor, rate_epoch, callbacks)
        for clock, owed in zip((self.seconds, self.cpu_seconds), self._owed, strict=True):
            if owed:
                clock[COMPILE] = clock.get(COMPILE, 0.0) + owed
        self._owed = (0.0, 0.0)

    def _train(
        self,
        phase: str,
        initial_epoch: int,
        events: Mapping[int, Cut],
        rate_factor: float,
        rate_epoch: int | None,
        callbacks: Sequence,
    ) -> None:
        scale = self.model.rate_scale if isinstance(self.model, Fused) else None
        if scale is None and rate_factor != 1.0:
            scale = tf.Variable(1.0, trainable=False)
        self._start(initial_epoch, scale, rate_epoch)
        self.pruner.begin()

        def event(cut: Cut) -> None:
            self._cut(cut)
            if rate_factor != 1.0:
                scale.assign(scale * rate_factor)

        checkpoint, self._checkpoint = self._checkpoint, None
        place = Place(**checkpoint.state["place"]) if checkpoint else Place(initial_epoch)
        if not checkpoint:
            self._levels = [self.forward_masked]
        logged = logged_epochs(initial_epoch, self.epochs, events)
        schedule = PruneAtSteps({(epoch - initial_epoch) * self.steps_per_epoch: cut for epoch, cut in events.items()})
        progress = Progress(phase, place.epoch, self.epochs, self.sparsity)
        observers = [History(self.history, phase, self._steps, logged, self.sparsity), progress, *self.observers]
        board = self._tensorboard and self._board(logged, begun=bool(checkpoint))
        if board:
            observers.append(board)
        if self._saving:
            saved_between = 1 if isinstance(self.model, Fused) else self.steps_per_epoch  # steps of Keras, in an epoch
            observers.append(self._saver(phase, place, checkpoint, scale, board, saved_between))
        sow(derive(self.config.seed, "fit"), anew=self.config.has_own_model)  # the same draws in all methods and phases
        draws = DrawsOfEpochs(self.config.seed)
        callbacks = [draws, StopOnNaN(self._steps), PruneOnSchedule(schedule, event), *callbacks, *observers]
        run = self._fit_fused if isinstance(self.model, Fused) else self._fit_plain
        try:
            with self._saving.stopper.deferred() if self._saving else contextlib.nullcontext():
                run(initial_epoch, place, logged, events, callbacks)
        finally:
            progress.close()
        self._steps += (self.epochs - initial_epoch) * self.steps_per_epoch
        self.trained_epochs += self.epochs - initial_epoch
        ends = [initial_epoch, *sorted(events), self.epochs]
        for (start, end), level in zip(itertools.pairwise(ends), self._levels, strict=True):
            self.trained_masked += (end - start) * len(self.data.train) * level

    @staticmethod
    def _chosen(model: keras.Model, data: Data, config: Config) -> keras.Model:
        """Returns the model in the form that the run's loop trains."""
        if isinstance(model, Fused) or config.loop == "plain" or devices(model) > 1:
            return model
        suits = fits(model, data.train, config.batch_size) and not config.augment
        if config.loop == "fused" and not suits:
            raise ConfigError(
                f"loop=fused needs float32, data in memory, no augmentation, at most {MOST_STEPS} steps an epoch and "
                f"layers of the kinds {', '.join(LAYERS)}; use loop=auto or plain"
            )
        if not suits:
            return model
        return share_masks(Fused(model.inputs, model.outputs, config.batch_size, name=model.name), model)

    def _start(self, initial_epoch: int, scale: tf.Variable | None = None, rate_epoch: int | None = None) -> None:
        """Gives the model a fresh optimizer.

        Args:
            initial_epoch: where its learning rate starts.
            scale: what multiplies it.
            rate_epoch: where it stands still, if it does.
        """
        first_step = (initial_epoch if rate_epoch is None else rate_epoch) * self.steps_per_epoch
        pace = 1.0 if rate_epoch is None else 0.0
        model = self.model
        if not isinstance(model, Fused):
            compile_model(model, self.config, self.steps_per_epoch, first_step, scale, pace)
            return
        if getattr(model, "optimizer", None) is None:
            compile_model(model, self.config, self.steps_per_epoch, model.first_step, model.rate_scale, model.pace)
        model.restart(first_step, pace)

    def _fit_plain(
        self, initial_epoch: int, place: Place, logged: Sequence[int], events: Mapping[int, Cut], callbacks: Sequence
    ) -> None:
        self._fit_stretch(place, self.epochs, logged, callbacks)

    def _fit_stretch(self, start: Place, end: int, logged: Sequence[int], callbacks: Sequence) -> None:
        """Trains what comes after `start` up to the end of epoch `end`, with the examples that come then."""
        if start.step:  # metrics have no variables before they have seen an example
            self.model.test_on_batch(np.asarray(self.data.train.x[:1]), self.data.train.y[:1])
        batches = functools.partial(
            training_batches,
            self.data.train,
            self.config.batch_size,
            shuffle=self.config.shuffle,
            seed=derive(self.config.seed, "order"),
            augment=self.config.augment,
            first_step=start.epoch * self.steps_per_epoch + start.step,
        )
        self.model.fit(
            batches() if devices(self.model) == 1 else divided(self.model.distribute_strategy, batches),
            epochs=end,
            initial_epoch=start.epoch,
            steps_per_epoch=self.steps_per_epoch,
            validation_data=evaluation_batches(self.data.validation, self.config.batch_size),
            validation_freq=logged,
            callbacks=callbacks,
            verbose=0,
        )

    def _fit_fused(
        self, initial_epoch: int, place: Place, logged: Sequence[int], events: Mapping[int, Cut], callbacks: Sequence
    ) -> None:
        remembered = {callback.epoch for callback in callbacks if isinstance(callback, Rewinding)}
        ends = sorted({*logged, *(epoch for epoch in remembered if initial_epoch < epoch <= self.epochs)})
        batches = chunks(
            self.data.train,
            self.data.validation,
            first_epoch=initial_epoch,
            ends=ends,
            order_seeds=self._order_seeds() if self.config.shuffle else None,
        )
        self._compile_for(longest(ends, initial_epoch) if self.config.shuffle else 0, batches)
        callback = AtRealEpochs(callbacks, ends, events, self.data.validation, initial_epoch)
        done = sum(end <= place.epoch for end in ends)
        self.model.fit(
            batches.skip(done),
            epochs=len(ends),
            initial_epoch=done,
            steps_per_epoch=1,
            callbacks=[callback],
            verbose=0,
        )

    def _compile_for(self, epochs: int, batches: tf.data.Dataset) -> None:
        """Compiles the step for chunks with orders for so many epochs; what an earlier run compiled is owed."""
        if epochs in self._compiled:
            return
        self._compiled.add(epochs)
        if epochs in self.model.compiled:
            self._owed = self.model.compiled[epochs]
            return
        before = [clock.get(COMPILE, 0.0) for clock in (self.seconds, self.cpu_seconds)]
        with self._timed(COMPILE):
            self.model.make_train_function()(iter(batches.map(lambda chunk: chunk | {"epochs": 0})))
        self.model.compiled[epochs] = (self.seconds[COMPILE] - before[0], self.cpu_seconds[COMPILE] - before[1])

    def _order_seeds(self) -> list[int]:
        return [derive(self.config.seed, "order")]

    def _is_dense(self, phase: str, initial_epoch: int, events: object, callbacks: Sequence[object]) -> bool:
        """Says whether a stretch of training is what `dense` did: from the start, no cut, unobserved."""
        at_the_start = all(isinstance(callback, Rewinding) and callback.epoch == 0 for callback in callbacks)
        known = self._dense is not None and self._dense.phase == phase
        return known and at_the_start and not (initial_epoch or events or self.history)

    def _take_over(self, dense: Dense, callbacks: Sequence[Rewinding]) -> None:
        """Does what a dense training from the start would do, by reading what it left."""
        for callback in callbacks:
            callback.set_model(self.model)
            callback.on_train_begin()
        board = self._tensorboard and self._board()
        if board:
            board.set_model(self.model)
            board.log_kernels(0)
        self._start(0)
        set_weights(self.model, dense.weights())
        self.history += dense.history
        self.trained_epochs = dense.epochs
        self.trained_masked = dense.epochs * len(self.data.train) * self.forward
        self._steps = self.trained_epochs * self.steps_per_epoch
        self.seconds[dense.phase], self.cpu_seconds[dense.phase] = dense.seconds, dense.cpu_seconds
        self.taken_over[dense.phase] = dense.source
        if board:
            for row in self.history:
                board.log_scores(row["step"], {name: row[name] for name in SCORES if row[name] is not None})
            board.log_kernels(self._steps)
            board.on_train_end()

    @operation
    def prune(self, cut: Cut) -> None:
        """Cuts the model as it stands between trainings, ranked in the run's scope."""
        with self._timed(RANKING):
            self._cut(cut)
        if self.trained_epochs:
            scores = {name: self.evaluate(getattr(self.data, name)) for name in ("validation", "test")}
            self.untuned = {"sparsity": self.sparsity()} | scores

    def _cut(self, cut: Cut) -> None:
        """Puts on the masks that a cut leads to."""
        lived = self.forward_masked
        self.pruner.cut(cut)
        passes, self._slopes.passes = self._slopes.passes, 0
        self.scored += passes * self.forward
        self.scored_masked += passes * (2 * lived + self.forward) / 3  # slopes of pruned weights too
        self._levels.append(self.forward_masked)

    def _sample(self, per_class: int) -> Split:
        randoms = [self.pruner.random("sample", number) for number in range(len(self.pruner.seeds))]
        return sampled(self.data.train, per_class, randoms)

    @operation
    def shuffle_masks(self) -> None:
        """Moves the ones of each mask to places drawn by lot, within their kernel."""
        self.pruner.shuffle()

    @operation
    def reinitialise(self) -> None:
        """Draws all weights anew; what is pruned stays zero."""
        self.pruner.reinitialise(self._redraw)

    @property
    def _prunings(self) -> int:
        return self.pruner.prunings

    @_prunings.setter
    def _prunings(self, count: int) -> None:  # where a checkpoint is taken up
        self.pruner.prunings = count

    def masks(self) -> dict[str, np.ndarray]:
        """Returns what lives of the network as it was built: masks by kernel name."""
        return self.pruner.masks()

    def sparsity(self) -> Any:
        """Returns the share that is pruned, in [0, 1]; of a stack a number a network."""
        return self.pruner.sparsity()

    def check(self, kernels: Arrays, where: str) -> None:
        """Compares the kernels of a model with what was asked for.

        Raises:
            SparsityError: it is not pruned as it should be.
        """
        config = self.config
        check_pattern(kernels, self.masks(), config.pruning.cuts, config.scope, config.units, where)

    def report(self) -> dict[str, Any]:
        """Returns what `metrics.json` says of the pruning beyond the zeros of the exported kernels."""
        return pattern_report(self.config, self.masks())

    def _board(self, logged: Sequence[int] = (), *, begun: bool = False) -> TensorBoardLog:
        return TensorBoardLog(self._tensorboard, self._steps, logged, self.masks, self.sparsity, begun=begun)

    @property
    def trained(self) -> int:
        """Multiply-adds of the forward passes of all training, those with pruned weights that were done included."""
        return self.forward * self.trained_epochs * len(self.data.train)

    @property
    def forward_masked(self) -> Any:
        """Multiply-adds of an example's forward pass with the weights that live; of a stack a number a network."""
        counted = multiplications(self.model).values()
        return sum(count if mask is None else count * self._alive(mask.numpy()) for count, mask in counted)

    @staticmethod
    def _alive(mask: np.ndarray) -> Any:
        return np.mean(mask, dtype=np.float64)

    def finish(self) -> None:
        """Logs the finished model if it was pruned after its last training."""
        sparsity = self.sparsity()
        if not self.history or np.array_equal(self.history[-1]["sparsity"], sparsity):
            return
        measured = {"": self.evaluate(self.data.train), "val_": self.evaluate(self.data.validation)}
        logs = {f"{prefix}{name}": value for prefix, values in measured.items() for name, value in values.items()}
        row = {"phase": "pruned", "epoch": self.epochs, "step": self._steps, "sparsity": sparsity}
        self.history.append(row | logs)
        if self._tensorboard is not None:
            board = self._board()
            board.set_model(self.model)
            board.log_kernels(self._steps)
            board.on_train_end()

    def evaluate(self, split: Split) -> dict[str, float]:
        """Returns `loss` (cross-entropy alone) and `accuracy` of the model as it stands."""
        if isinstance(self.model, Fused):
            return self.model.measure(split)
        batches = evaluation_batches(split, max(self.config.batch_size, EVALUATION_BATCH))
        return self.model.evaluate(batches, verbose=0, return_dict=True)


class StackedTrainer(Trainer):
    """The `Task` of a method for several seeds at once: a stacked model, the data of each seed on the last axis.

    The numbers in `history` are arrays, one a seed; `per_seed` takes them apart.

    Args:
        model: a wrapped `stacking.stack`; a `Fused` one is not compiled again.
        data: the data of each seed.
        configs: the settings of each run; they differ in nothing but the seed.
        dense: as for `Trainer`, of another `StackedTrainer` with the same seeds.
    """

    def __init__(
        self,
        model: keras.Model,
        data: Sequence[Data],
        configs: Sequence[Config],
        dense: Dense | None = None,
        redraw: Callable[[], list[np.ndarray]] | None = None,
    ) -> None:
        parts = {name: stack_splits([getattr(own, name) for own in data]) for name in SPLITS}
        config = configs[0].replace(loop="fused")
        data = dataclasses.replace(data[0], **parts)
        seeds = [own.seed for own in configs]
        super().__init__(model, data, config, dense=dense, redraw=redraw, seeds=seeds, networks=StackedNetworks())
        self.configs = configs

    @staticmethod
    def _alive(mask: np.ndarray) -> Any:
        return np.mean(mask, axis=tuple(range(mask.ndim - 1)), dtype=np.float64)

    def per_seed(self) -> list[list[dict[str, Any]]]:
        """Returns the history of each seed's network."""
        return [
            [{k: v[n].item() if isinstance(v, np.ndarray) else v for k, v in row.items()} for row in self.history]
            for n in range(len(self.configs))
        ]

    def as_dense(self) -> Dense:
        """Returns a training of one phase for the trainers of other methods to take over."""
        [phase] = (phase for phase in self.seconds if phase != COMPILE)
        weights, history = get_weights(self.model), list(self.history)
        took = self.trained_epochs, self.seconds[phase], self.cpu_seconds[phase]
        return Dense(phase, lambda: weights, history, *took, self.config.method)

    def _order_seeds(self) -> list[int]:
        return [derive(config.seed, "order") for config in self.configs]


def compile_model(
    model: keras.Model,
    config: Config,
    steps_per_epoch: int,
    first_step: int | tf.Variable = 0,
    scale: tf.Variable | None = None,
    pace: float | tf.Variable = 1.0,
) -> None:
    """Compiles a model as a run's settings say, with a fresh optimizer that starts at a step of the run.

    Its logs have the cross-entropy alone as `loss`, where penalties are trained on too.
    """
    learning_rate = build_learning_rate(
        config.learning_rate_schedule,
        config.learning_rate,
        warmup_steps=round(config.warmup_epochs * steps_per_epoch),
        total_steps=config.pruning.phase_epochs(config.epochs) * steps_per_epoch,
        first_step=first_step,
        scale=scale,
        pace=pace,
    )
    fused = isinstance(model, Fused)
    with model.distribute_strategy.scope():
        model.compile(
            optimizer=build_optimizer(config.optimizer, learning_rate, config.optimizer_settings),
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=[
                keras.metrics.SparseCategoricalCrossentropy(name="loss", from_logits=True),  # without penalties
                keras.metrics.SparseCategoricalAccuracy(name="accuracy"),
            ],
            steps_per_execution=steps_per_epoch if steps_per_epoch <= STEPS_IN_ONE_CALL and not fused else 1,
            jit_compile=config.xla or fused or None,
        )
    if config.strategy == "none":  # else TensorFlow traces the first step twice: an optimizer makes its variables in it
        getattr(model.optimizer, "inner_optimizer", model.optimizer).build(model.trainable_variables)
    hold_masks(model)


def pattern_report(config: Config, masks: Arrays) -> dict[str, Any]:
    """Returns what `metrics.json` says of the pattern that a network is pruned in; nothing where there is none."""
    if config.units is None:
        return {}
    return {"pattern": dataclasses.asdict(config.units) | {"layers": described(masks, config.units)}}


def devices(model: keras.Model) -> int:
    """Returns how many devices a model is trained on."""
    return model.distribute_strategy.num_replicas_in_sync


def evaluate(model: keras.Model, split: Split) -> dict[str, np.ndarray]:
    """Returns `loss` (cross-entropy alone) and `accuracy` of a model over a whole split, a number a network."""
    logits = model.predict(evaluation_batches(split, EVALUATION_BATCH), verbose=0)
    losses = keras.losses.sparse_categorical_crossentropy(split.y, logits, from_logits=True)
    return {"loss": np.mean(losses, axis=0), "accuracy": np.mean(np.argmax(logits, axis=-1) == split.y, axis=0)}


def logged_epochs(initial: int, epochs: int, events: Mapping[int, Cut]) -> list[int]:
    """Returns the epochs (counted from 1) to log: evenly spread ones, those with an event and the last."""
    every = max(1, (epochs - initial) // LOGGED_EPOCHS)
    return sorted({*range(initial + every, epochs + 1, every), *events, epochs})
