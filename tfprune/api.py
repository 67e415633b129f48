"""What `import tfprune` offers: signatures and docs. What needs TensorFlow is imported when it is called."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tfprune.utils.checks import from_alias
from tfprune.utils.errors import ConfigError

if TYPE_CHECKING:
    from tfprune.adapters.backend import keras
    from tfprune.training.config import Config


def train(
    model: keras.Model | Config,
    data: Any = None,
    *,
    validation_data: Any = None,
    method: str = "dynamic",
    sparsity: float | None = None,
    epochs: int = 10,
    batch_size: int = 32,
    steps_per_epoch: int | None = None,
    scope: str | None = None,
    granularity: str = "weight",
    pattern: str | None = None,
    pooling: str | None = None,
    exclude: Collection[str] = (),
    settings: Mapping[str, Any] | None = None,
    seed: int = 0,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    in_place: bool = False,
    verbose: int | str = "auto",
    force: bool = False,
    spare: Collection[str] = (),
) -> Any:
    """Trains and prunes: a compiled model on data as `model.fit` takes them, or a run by its `Config`.

    Args:
        model: a compiled tf_keras model; or the settings of a run, which is read if it is finished already.
        data: of a model: a `tf.data.Dataset` or `keras.utils.Sequence` of batches, or a tuple `(x, y)` or
            `(x, y, weights)` of arrays.
        validation_data: evaluated after each epoch.
        method: name of a pruning method, see `tfprune list`. One that ranks weights by gradients takes those of the
            model's loss for some of the data: `per_class` examples of each class, or ten times as many where y is not
            one class an example.
        sparsity: fraction of the kernel weights that is zero in the end, in [0, 1); None is the method's default.
        epochs: passes over the data, at least 1; a lottery ticket takes that many again.
        batch_size: of arrays.
        steps_per_epoch: batches an epoch, of a dataset without end.
        scope: `layer` ranks weights within each kernel, `global` across all of them; None is the method's default.
        granularity: what goes as one: `weight`; `block`, a block of weights; `n:m`, all but n in every m weights.
        pattern: of a block its sides, such as `"4x1"`, else n and m, such as `"2:4"`; None is those.
        pooling: what a block is worth: the mean (`avg`, the default) or the highest (`max`) of its weights' scores.
        exclude: names of layers that are never pruned; `first`, `last` and `frozen` stand for those.
        settings: the method's other settings.
        seed: of what the method draws.
        callbacks: Keras callbacks for all trainings.
        in_place: train and prune the model itself instead of a copy; the only way for subclassed models.
        verbose: as for `model.fit`.
        force: of a run: repeat it though it is finished.
        spare: the older name of `exclude`.

    Returns:
        Of a model a `Trained`, of a run its `Result`. The model that was passed is not changed unless `in_place`.

    Raises:
        TfpruneError: something that the user can fix.
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
    from tfprune.training.config import Config

    if isinstance(model, Config):
        _check_left_out(train, locals(), ("model", "force"))
        return _run(model, force)
    if force:
        raise ConfigError("force repeats a run, and a model that is given is trained in any case")
    if data is None:
        raise ConfigError("training data are missing: train(model, data), or train(Config(...)) for a run")
    from tfprune.training.in_memory import train_model

    return train_model(
        model,
        data,
        validation_data=validation_data,
        method=method,
        sparsity=sparsity,
        epochs=epochs,
        batch_size=batch_size,
        steps_per_epoch=steps_per_epoch,
        scope=scope,
        granularity=granularity,
        pattern=pattern,
        pooling=pooling,
        exclude=from_alias("exclude", exclude, "spare", spare),
        settings=settings,
        seed=seed,
        callbacks=callbacks,
        in_place=in_place,
        verbose=verbose,
    )


def _run(config: Config, force: bool) -> Any:
    from tfprune.adapters.loading.trust import trust_function
    from tfprune.experiments.experiment import train as run
    from tfprune.models._user import is_function

    if is_function(config.model):
        trust_function(config.model)  # it was typed, in Python
    return run(config, force=force)


def _check_left_out(function: Callable, given: Mapping[str, Any], allowed: Collection[str]) -> None:
    """Raises `ConfigError` if an argument that is of models was given along with a `Config`."""
    for name, parameter in inspect.signature(function).parameters.items():
        value = given[name]
        if (
            name in allowed
            or value is parameter.default
            or (isinstance(value, str | int) and value == parameter.default)
        ):
            continue
        what = "data are" if name == "data" else f"{name} is"
        raise ConfigError(f"a Config says all of a run: {what} given with a model only")
