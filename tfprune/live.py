"""Pruning in a person's own Python: their compiled model, their data, their `fit`.

The methods are those of runs. What differs is the `Task` that they are handed: here it trains with the model's own
optimizer, loss and metrics on whatever `model.fit` takes, and writes nothing.
"""

from __future__ import annotations

import dataclasses
import html
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, overload

import numpy as np

from tfprune.backend import keras, tf
from tfprune.checks import check_choice, check_whole
from tfprune.config import SCOPES, Config, with_sparsity
from tfprune.cuts import Cut
from tfprune.errors import ConfigError, ModelError, choose_from
from tfprune.experiment import train as run
from tfprune.keras_callbacks import Rewinding, StopOnNaN
from tfprune.masks import check_sparsity, sparsity_of
from tfprune.methods import METHODS
from tfprune.methods._base import Method
from tfprune.methods._rehearsal import Training, rehearsed
from tfprune.notebook import curves, html_image, html_table
from tfprune.optimizers import fresh, schedule_of
from tfprune.pruning import check_model, report_unprunable, uncompiled_copy_of
from tfprune.ranking import Settling, masks_after
from tfprune.results import Result
from tfprune.scores import Evidence
from tfprune.seeds import derive
from tfprune.summaries import HEADERS, Summary, summary
from tfprune.wrapping import (
    get_masks,
    has_graph,
    hold_masks,
    kernels,
    kernels_by_turns,
    mask_in_place,
    set_masks,
    set_weights,
)

Fit = Mapping[str, Any]  # arguments of `model.fit` and `model.compile`


@dataclasses.dataclass(frozen=True)
class Trained:
    """A model that was trained and pruned in memory.

    Attributes:
        model: of the class of the original and compiled like it. It stays sparse when it is trained on; what is
            loaded from a file that it was saved to is an ordinary model.
        masks: kernel name -> uint8, 1 where a weight lives.
        history: a row an epoch with `phase`, `epoch`, `sparsity` (after it) and what Keras logged.
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


@overload
def train(model: Config, *, force: bool = False) -> Result: ...


@overload
def train(
    model: keras.Model,
    data: Any,
    *,
    validation_data: Any = None,
    method: str = "dynamic",
    sparsity: float | None = None,
    epochs: int = 10,
    batch_size: int = 32,
    steps_per_epoch: int | None = None,
    scope: str | None = None,
    spare: Collection[str] = (),
    settings: Mapping[str, Any] | None = None,
    seed: int = 0,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    in_place: bool = False,
    verbose: int | str = "auto",
) -> Trained: ...


def train(model: Any, data: Any = None, **options: Any) -> Result | Trained:
    """Trains and prunes: a run by its `Config`, or a compiled model on data as `model.fit` takes them.

    Args:
        model: the settings of a run, which is read if it is finished already; or a compiled tf_keras model.
        data: of a model: a `tf.data.Dataset` of batches, or a pair of arrays.
        force: of a run: repeat it though it is finished.
        validation_data: evaluated after each epoch.
        method: name of a pruning method, see `tfprune list`.
        sparsity: fraction of the kernel weights that is zero in the end, in [0, 1); None is the method's default.
        epochs: passes over the data, at least 1; a lottery ticket takes that many again.
        batch_size: of arrays.
        steps_per_epoch: batches an epoch, of a dataset without end.
        scope: `layer` ranks weights within each kernel, `global` across all of them; None is the method's default.
        spare: names of layers that are never pruned; `first`, `last` and `frozen` stand for those.
        settings: the method's other settings.
        seed: of what the method draws.
        callbacks: Keras callbacks for all trainings.
        in_place: train and prune the model itself instead of a copy; the only way for subclassed models.
        verbose: as for `model.fit`.

    Returns:
        Of a run its `Result`, of a model a `Trained`. The model that was passed is not changed unless `in_place`.

    Raises:
        TfpruneError: something that the user can mend.
        SparsityError: the model is not as sparse as asked for.

    >>> import numpy as np
    >>> import tf_keras as keras
    >>> import tfprune
    >>> model = keras.Sequential([keras.layers.Dense(10, input_shape=(8,)), keras.layers.Dense(2)])
    >>> model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    >>> x, y = np.ones((12, 8)), np.zeros(12)
    >>> tfprune.train(model, (x, y), method="dynamic", sparsity=0.5, epochs=3, verbose=0)
    Trained(dynamic, 3 epochs, 50.0% of the kernel weights are zero)
    """
    if isinstance(model, Config):
        if data is not None:
            raise ConfigError("a Config says what a run's data are; data are given with a model only")
        return run(model, **options)
    if data is None:
        raise ConfigError("training data are missing: train(model, data), or train(Config(...)) for a run")
    return _train(model, data, **options)


def _train(
    model: keras.Model,
    data: Any,
    *,
    validation_data: Any = None,
    method: str = "dynamic",
    sparsity: float | None = None,
    epochs: int = 10,
    batch_size: int = 32,
    steps_per_epoch: int | None = None,
    scope: str | None = None,
    spare: Collection[str] = (),
    settings: Mapping[str, Any] | None = None,
    seed: int = 0,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    in_place: bool = False,
    verbose: int | str = "auto",
) -> Trained:
    chosen = method_of(method, sparsity, settings, epochs)
    check_model(model, copied=not in_place)
    compiled = _compiled(model)
    _check_rate(chosen, epochs, model.optimizer)
    report_unprunable(model)
    masked = mask_in_place(model if in_place else uncompiled_copy_of(model), spare)
    fit = {
        **_data_arguments(data, check_whole("batch_size", batch_size, least=1)),
        "validation_data": validation_data,
        "steps_per_epoch": steps_per_epoch,
        "verbose": verbose,
    }
    task = LiveTask(masked, compiled, fit, epochs, scope_of(scope, chosen), seed, callbacks)
    chosen.run(task)
    masks = get_masks(masked)
    check_sparsity(kernels(masked), masks, chosen.cuts, task.scope, f"model {model.name}")
    _compile(masked, compiled)
    return Trained(masked, masks, task.history, method)


class LiveTask:
    """The `Task` of a method: a masked model and what `model.fit` takes.

    Args:
        model: masked.
        compiled: arguments of `model.compile`; each training gets a fresh optimizer.
        fit: arguments of `model.fit`.
        epochs: of a training.
        scope: of the ranking.
        seed: of what the method draws.
        callbacks: for all trainings.
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
    ) -> None:
        self.model = model
        self.epochs = epochs
        self.scope = scope
        self.history: list[dict[str, Any]] = []
        self._compiled = compiled
        self._fit = fit
        self._seed = seed
        self._callbacks = callbacks
        self._drawn = 0
        self._settling = Settling()

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
        """Trains, see `methods._base.Task`; the learning rate is the compiled optimizer's, from its start."""
        _compile(self.model, self._compiled)

        def event(cut: Cut) -> None:
            self.prune(cut)
            if rate_factor != 1.0:
                self.model.optimizer.learning_rate = float(self.model.optimizer.learning_rate) * rate_factor

        pruning = PruneAtEpochs({epoch: lambda cut=cut: event(cut) for epoch, cut in (events or {}).items()})
        watching = _Rows(self.history, phase)
        self.model.fit(
            **self._fit,
            epochs=self.epochs,
            initial_epoch=initial_epoch,
            callbacks=[StopOnNaN(), pruning, *callbacks, *self._callbacks, watching],
        )

    def prune(self, cut: Cut) -> None:
        """Cuts the model as it stands."""
        self._drawn += 1
        random = np.random.default_rng(derive(self._seed, f"scores {self._drawn}"))
        evidence = Evidence(kernels_by_turns(self.model), get_masks(self.model), random, _no_slopes)
        masks = masks_after(cut, evidence, self.scope)
        if cut.settled is not None and not self._settling.settled(masks, cut.settled):
            return
        if cut.regrown:
            set_masks(self.model, get_masks(self.model))  # what comes back starts at zero with empty slots
        set_masks(self.model, masks)

    def shuffle_masks(self) -> None:
        """Moves the ones of each mask to places drawn by lot, within their kernel."""
        random = np.random.default_rng(derive(self._seed, "shuffle"))
        masks = get_masks(self.model)
        set_masks(self.model, {n: random.permutation(m.reshape(-1)).reshape(m.shape) for n, m in masks.items()})

    def reinitialise(self) -> None:
        """Draws all weights anew; what is pruned stays zero."""
        if not has_graph(self.model):
            raise ModelError(f"the weights of model {self.model.name} cannot be drawn anew: it is subclassed")
        keras.utils.set_random_seed(derive(self._seed, "reinit"))
        set_weights(self.model, keras.models.clone_model(self.model).get_weights())

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
    """Takes down a row an epoch."""

    def __init__(self, rows: list[dict[str, Any]], phase: str) -> None:
        super().__init__()
        self.rows = rows
        self.phase = phase

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        row = {"phase": self.phase, "epoch": epoch + 1, "sparsity": sparsity_of(get_masks(self.model))}
        self.rows.append(row | {name: float(value) for name, value in (logs or {}).items()})


def method_of(name: str, sparsity: float | None, settings: Mapping[str, Any] | None, epochs: int) -> Method:
    """Returns a method with its settings, if it can be used without a run."""
    values = {"method": name, "settings": dict(settings or {})}
    kind = METHODS[name]
    if sparsity is not None:
        values = with_sparsity(values, sparsity)
    method = kind.from_settings(name, values["settings"])
    method.check(check_whole("epochs", epochs, least=1))
    if method.narrower or method.phase_epochs(epochs) != epochs:
        raise ConfigError(
            f"method {name} is there for comparisons of runs: tfprune.train(Config(method={name!r}, ...))"
        )
    return method


def _check_rate(method: Method, epochs: int, optimizer: keras.optimizers.Optimizer) -> None:
    """Refuses methods that take hold of the learning rate where the optimizer has a schedule of its own."""
    if schedule_of(optimizer) is None:
        return
    for training in rehearsed(method, epochs):
        if not isinstance(training, Training):
            continue
        if training.rate_factor != 1.0:
            moved = "rate_factor"
        elif training.initial_epoch or training.rate_epoch is not None:
            moved = f"the training {training.phase!r}, which begins in the middle of the schedule,"
        else:
            continue
        raise ConfigError(f"{moved} needs an optimizer with a constant learning rate, and this one has a schedule")


def scope_of(scope: str | None, method: Method) -> str:
    """Returns the scope that is asked for, or the method's own."""
    return method.scope if scope is None else check_choice("scope", scope, SCOPES)


def _no_slopes(kind: str, **kwargs: Any) -> Any:
    raise ConfigError(
        "this method ranks weights by gradients, which needs a run's data: tfprune.train(Config(...)), or choose from "
        f"methods that do not: {choose_from('', ('dynamic', 'gradual', 'lottery', 'pruned'))}"
    )


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
    if isinstance(data, tf.data.Dataset):
        return {"x": data}
    if isinstance(data, (tuple, list)) and len(data) == 2:
        return {"x": data[0], "y": data[1], "batch_size": batch_size}
    raise ConfigError(f"data must be a tf.data.Dataset or a pair (x, y), got {type(data).__name__}")
