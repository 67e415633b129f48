"""Pruning in a user's own Python: their compiled model, their data, their `fit`.

The methods are those of runs. What differs is the `Task` that they are handed: here it trains with the model's own
optimizer, loss and metrics on whatever `model.fit` takes, and writes nothing.
"""

from __future__ import annotations

import dataclasses
import functools
import html
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np

from tfprune.adapters.backend import keras, tf
from tfprune.adapters.tf_keras.adapter import TfKerasModel
from tfprune.adapters.tf_keras.copies import check_model, report_unprunable, uncompiled_copy_of
from tfprune.adapters.tf_keras.gradients import Batch, GradientProvider, compiled_loss
from tfprune.adapters.tf_keras.layers import has_graph
from tfprune.adapters.tf_keras.mask_values import get_masks, get_weights, kernels, set_masks
from tfprune.adapters.tf_keras.optimizers import fresh, schedule_of
from tfprune.adapters.tf_keras.wrapping import hold_masks, mask_in_place
from tfprune.methods import METHODS
from tfprune.methods._base import Method
from tfprune.methods._dry_run import Step, Training, record_steps
from tfprune.pruning.events import PruningEvent
from tfprune.pruning.masks import sparsity_of
from tfprune.pruning.pattern_masks import check_pattern
from tfprune.pruning.patterns import NOfM, Pattern, check_every_m, pattern_of
from tfprune.structured.summaries import HEADERS, Summary, summary
from tfprune.training.callbacks import Rewinding, StopOnNaN
from tfprune.training.examples import first_examples
from tfprune.training.pruner import Pruner
from tfprune.training.setting_checks import GRANULARITIES, REMOVING, SCOPES
from tfprune.training.settings_files import with_sparsity
from tfprune.utils.checks import check_choice, check_whole
from tfprune.utils.errors import ConfigError, ModelError
from tfprune.utils.notebook import curves, html_image, html_table
from tfprune.utils.seeds import derive

Fit = Mapping[str, Any]  # arguments of `model.fit` and `model.compile`


@dataclasses.dataclass(frozen=True)
class Trained:
    """A model that was trained and pruned in memory.

    Attributes:
        model: of the class of the original and compiled like it. It stays sparse when it is trained on; what is
            loaded from a file that it was saved to is an ordinary model.
        masks: kernel name -> uint8, 1 where a weight lives.
        history: one row per epoch with `phase`, `epoch`, `sparsity` (after it) and what Keras logged.
        method: its name.

    >>> import numpy as np
    >>> import tf_keras as keras
    >>> import tfprune
    >>> model = keras.Sequential([keras.layers.Dense(10, input_shape=(8,), name="a")])
    >>> model.compile("sgd", "mse")
    >>> trained = tfprune.train(model, (np.ones((4, 8)), np.ones((4, 10))), sparsity=0.5, epochs=3, verbose=0)
    >>> trained.sparsity, int(trained.masks["a/kernel"].sum())
    (0.5, 40)
    >>> [round(row["sparsity"], 2) for row in trained.history]
    [0.29, 0.5, 0.5]
    """

    model: keras.Model
    masks: Mapping[str, np.ndarray]
    history: Sequence[Mapping[str, Any]]
    method: str

    @property
    def sparsity(self) -> float:
        """Fraction of the kernel weights that is zero."""
        return sparsity_of(self.masks)

    @property
    def summary(self) -> Summary:
        """The model's layers, see `tfprune.summary`."""
        return summary(self.model)

    def __repr__(self) -> str:
        return f"Trained({self.method}, {len(self.history)} epochs, {self.sparsity:.1%} of the kernel weights are zero)"

    def _repr_html_(self) -> str:
        figure = html_image(curves(self.history), "loss and sparsity over epochs") if self.history else ""
        return f"<p>{html.escape(repr(self))}</p>{figure}{html_table(self.summary.rows(), HEADERS)}"


def train_model(
    model: keras.Model,
    data: Any,
    *,
    validation_data: Any,
    method: str,
    sparsity: float | None,
    epochs: int,
    batch_size: int,
    steps_per_epoch: int | None,
    scope: str | None,
    granularity: str,
    pattern: str | None,
    pooling: str | None,
    exclude: Collection[str],
    settings: Mapping[str, Any] | None,
    seed: int,
    callbacks: Sequence[keras.callbacks.Callback],
    in_place: bool,
    verbose: int | str,
) -> Trained:
    """Trains and prunes a compiled model, see `tfprune.train`."""
    asked = resolve_method(method, sparsity, settings, epochs, scope, granularity, pattern, pooling)
    check_model(model, copied=not in_place)
    compiled = _compiled(model)
    check_rates(record_steps(asked.method, epochs), model.optimizer)
    report_unprunable(model)
    fit = {
        **_data_arguments(data, check_whole("batch_size", batch_size, least=1)),
        "validation_data": validation_data,
        "steps_per_epoch": steps_per_epoch,
        "verbose": verbose,
    }
    masked = mask_in_place(model if in_place else uncompiled_copy_of(model), exclude)
    _compile(masked, compiled)
    task = InMemoryTask(masked, compiled, fit, epochs, asked.scope, seed, callbacks, pattern=asked.pattern, data=data)
    asked.method.run(task)
    masks = get_masks(masked)
    check_pattern(
        kernels(masked), masks, asked.method.pruning_events, asked.scope, asked.pattern, f"model {model.name}"
    )
    _compile(masked, compiled)
    return Trained(masked, masks, task.history, method)


class InMemoryTask:
    """The `Task` of a method: a masked model and what `model.fit` takes.

    Args:
        model: masked.
        compiled: arguments of `model.compile`; each training gets a fresh optimizer.
        fit: arguments of `model.fit`.
        epochs: of a training.
        scope: of the ranking.
        seed: of what the method draws.
        callbacks: for all trainings.
        pattern: what goes as one; None: single weights.
        data: for criteria that look at some, see `examples.first_examples`.

    Attributes:
        pruner: holds its masks.
    """

    def __init__(
        self,
        model: keras.Model,
        compiled: Fit,
        fit: Fit,
        epochs: int,
        scope: str,
        seed: int,
        callbacks: Sequence[keras.callbacks.Callback] = (),
        *,
        pattern: Pattern | None = None,
        data: Any = None,
    ) -> None:
        self.model = model
        self.epochs = epochs
        gradients = GradientProvider(model, self._examples, compiled_loss(model))
        self.pruner = Pruner(TfKerasModel(model, gradients), scope, pattern, seeds=[seed])
        self._data = data
        self.history: list[dict[str, Any]] = []
        self._compiled = compiled
        self._fit = fit
        self._seed = seed
        self._callbacks = callbacks

    def fit(
        self,
        phase: str,
        *,
        initial_epoch: int = 0,
        events: Mapping[int, PruningEvent] | None = None,
        lr_factor: float = 1.0,
        freeze_lr_epoch: int | None = None,
        callbacks: Sequence[keras.callbacks.Callback] = (),
    ) -> None:
        """Trains, see `methods._base.Task`; the learning rate is the compiled optimizer's, from its start."""
        _compile(self.model, self._compiled)
        self.pruner.begin()

        actions = {
            epoch: functools.partial(self.apply_event, event, lr_factor) for epoch, event in (events or {}).items()
        }
        pruning = PruneAtEpochs(actions)
        watching = _Rows(self.history, phase)
        self.model.fit(
            **self._fit,
            epochs=self.epochs,
            initial_epoch=initial_epoch,
            callbacks=[StopOnNaN(), pruning, *callbacks, *self._callbacks, watching],
        )
        self.keep()

    def apply_event(self, event: PruningEvent, lr_factor: float = 1.0) -> None:
        """Cuts the model in the middle of a training, and multiplies the learning rate."""
        self.prune(event)
        if lr_factor != 1.0:
            self.model.optimizer.learning_rate = float(self.model.optimizer.learning_rate) * lr_factor

    def keep(self) -> None:
        """Puts the masks on weights that came from elsewhere, as those that early stopping brings back."""
        set_masks(self.model, self.pruner.masks())

    def prune(self, event: PruningEvent) -> None:
        """Cuts the model as it stands."""
        self.pruner.prune(event)

    def shuffle_masks(self) -> None:
        """Moves the ones of each mask to places drawn at random, within their kernel."""
        self.pruner.shuffle()

    def reinitialise(self) -> None:
        """Re-initialises all weights with a new seed; masks are kept."""
        if not has_graph(self.model):
            raise ModelError(f"the weights of model {self.model.name} cannot be re-initialised: it is subclassed")
        keras.utils.set_random_seed(derive(self._seed, "reinit"))
        self.pruner.reinitialise(lambda: get_weights(keras.models.clone_model(self.model)))

    def _examples(self, per_class: int) -> Batch:
        if self._data is None:
            raise ConfigError("this method ranks weights by gradients of the loss: give it training data, data=(x, y)")
        return first_examples(self._data, per_class, self.pruner.random("sample"))

    def rewinding(self, epoch: int) -> Rewinding:
        """Returns a callback that rewinds to `epoch` of the first training that it sees."""
        return Rewinding(epoch)


class PruneAtEpochs(keras.callbacks.Callback):
    """Does something at the end of epochs, before the validation data are looked at.

    Args:
        events: epoch, counted from 1 -> what to do.
    """

    def __init__(self, events: Mapping[int, Callable[[], None]]) -> None:
        super().__init__()
        self.events = dict(events)
        self._epoch = 0

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        self._epoch = epoch + 1
        self._done = False

    def on_test_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        self._act()

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        self._act()

    def _act(self) -> None:
        if not self._done and self._epoch in self.events:
            self.events[self._epoch]()
        self._done = True


class _Rows(keras.callbacks.Callback):
    """Records one row per epoch."""

    def __init__(self, rows: list[dict[str, Any]], phase: str) -> None:
        super().__init__()
        self.rows = rows
        self.phase = phase

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        row = {"phase": self.phase, "epoch": epoch + 1, "sparsity": sparsity_of(get_masks(self.model))}
        self.rows.append(row | {name: float(value) for name, value in (logs or {}).items()})


@dataclasses.dataclass(frozen=True)
class ResolvedMethod:
    """What a person asks for, checked: a method, where it ranks, and what goes as one."""

    method: Method
    scope: str
    pattern: Pattern | None


def resolve_method(
    name: str,
    sparsity: float | None,
    settings: Mapping[str, Any] | None,
    epochs: int,
    scope: str | None,
    granularity: str,
    pattern: str | None,
    pooling: str | None,
) -> ResolvedMethod:
    """Returns a method with its settings, if it can be used without a run; see `train` for the arguments."""
    kind = METHODS[name]
    check_choice("granularity", granularity, GRANULARITIES)
    if granularity in REMOVING:
        raise ConfigError(
            f"granularity {granularity} is there for runs: tfprune.train(Config(..., granularity={granularity!r})); "
            "tfprune.shrink takes channels out of a model that is trained already"
        )
    if granularity not in kind.granularities:
        raise ConfigError(
            f"method {name} has no granularity {granularity!r}; it can be {', '.join(kind.granularities)}"
        )
    units = pattern_of(granularity, pattern, pooling)
    values = {"method": name, "settings": dict(settings or {})}
    if isinstance(units, NOfM) and kind.sparsity_setting is not None:
        values["settings"] = {kind.sparsity_setting: units.sparsity} | values["settings"]
    if sparsity is not None:
        values = with_sparsity(values, sparsity)
    method = kind.from_settings(name, values["settings"])
    method.check(check_whole("epochs", epochs, least=1))
    if method.width_reduction or method.phase_epochs(epochs) != epochs:
        raise ConfigError(
            f"method {name} is there for comparisons of runs: tfprune.train(Config(method={name!r}, ...))"
        )
    where = method.scope if scope is None else check_choice("scope", scope, SCOPES)
    if isinstance(units, NOfM):
        check_every_m(units, method.requested_sparsity, method.pruning_events, where)
    return ResolvedMethod(method, where, units)


def check_rates(steps: Sequence[Step], optimizer: keras.optimizers.Optimizer) -> None:
    """Refuses trainings that take hold of the learning rate where the optimizer has a schedule of its own."""
    if schedule_of(optimizer) is None:
        return
    for training in steps:
        if not isinstance(training, Training):
            continue
        if training.lr_factor != 1.0:
            moved = "rate_factor"
        elif training.initial_epoch or training.freeze_lr_epoch is not None:
            moved = f"the training {training.phase!r}, which begins in the middle of the schedule,"
        else:
            continue
        raise ConfigError(f"{moved} needs an optimizer with a constant learning rate, and this one has a schedule")


def _compiled(model: keras.Model) -> Fit:
    """Returns the arguments that a model was compiled with."""
    if getattr(model, "optimizer", None) is None:
        raise ModelError(f"model {model.name} is not compiled: call model.compile(optimizer, loss) first")
    return dict(model._compile_config.config)


def _compile(masked: keras.Model, compiled: Fit) -> None:
    """Compiles a model with an optimizer that has made no step, and that keeps to the masks."""
    with masked.distribute_strategy.scope():
        masked.compile(**compiled | {"optimizer": fresh(keras.optimizers.get(compiled["optimizer"]))})
    hold_masks(masked)


def _data_arguments(data: Any, batch_size: int) -> dict[str, Any]:
    if isinstance(data, (tf.data.Dataset, keras.utils.Sequence)):
        return {"x": data}
    if isinstance(data, (tuple, list)) and len(data) in (2, 3):
        return {**dict(zip(("x", "y", "sample_weight"), data, strict=False)), "batch_size": batch_size}
    raise ConfigError(
        "data must be a tf.data.Dataset, a keras.utils.Sequence or a tuple (x, y) or (x, y, weights), got "
        f"{type(data).__name__}"
    )
