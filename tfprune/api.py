"""What `import tfprune` offers: signatures and docs. What needs TensorFlow is imported when it is called."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfprune.utils.checks import check_least, from_alias
from tfprune.utils.errors import ConfigError

if TYPE_CHECKING:
    from tfprune.adapters.backend import keras
    from tfprune.experiments.results import Result
    from tfprune.reporting.compared import Comparison
    from tfprune.training.config import Config

log = logging.getLogger(__name__)


def train(
    model: keras.Model | Config,
    data: Any = None,
    *,
    method: str = "dynamic",
    sparsity: float | None = None,
    epochs: int = 10,
    scope: str | None = None,
    granularity: str = "weight",
    pattern: str | None = None,
    pooling: str | None = None,
    channels: Mapping[str, Any] | None = None,
    exclude: Collection[str] = (),
    include: Collection[str] = (),
    settings: Mapping[str, Any] | None = None,
    seed: int = 0,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    in_place: bool = False,
    force: bool = False,
    verbose: int | str = "auto",
    batch_size: int | None = None,
    validation_data: Any = None,
    validation_split: float | None = None,
    validation_steps: int | None = None,
    validation_batch_size: int | None = None,
    validation_freq: int | Sequence[int] | None = None,
    class_weight: Mapping[int, float] | None = None,
    sample_weight: Any = None,
    shuffle: bool | None = None,
    initial_epoch: int = 0,
    steps_per_epoch: int | None = None,
    max_queue_size: int | None = None,
    workers: int | None = None,
    use_multiprocessing: bool | None = None,
    spare: Collection[str] = (),
) -> Any:
    """Trains and prunes: a compiled model on data as `model.fit` takes them, or a run by its `Config`.

    A model is trained as `model.fit` trains it, by its own loss, metrics and optimizer, which begins anew in each
    training with the settings that it has; with method `unpruned` the two are the same. What stops a training early (a
    callback, data that run out, Ctrl-C) loses nothing: the model comes back as it is, and a warning says what did not
    happen. An exception of a callback's own is raised as it is, and has the model in its attribute `trained`.

    Args:
        model: a compiled model; or the settings of a run, which is read if it is finished already.
        data: of a model: arrays `(x, y)`, `(x, y, weights)` or x alone, structures of them where there are several
            inputs or outputs; or batches of any kind that `fit` takes: a `tf.data.Dataset`, a sequence of Keras, a
            generator.
        method: name of a pruning method, see `tfprune list`. One that ranks weights by gradients takes those of the
            model's loss for some of the data: `per_class` examples of each class, or ten times as many where y is not
            one class an example.
        sparsity: fraction of the kernel weights that is zero in the end, in [0, 1), or of the channels or branches that
            has gone; None is the method's default.
        epochs: passes over the data, at least 1; a lottery ticket takes that many again.
        scope: `layer` ranks weights within each kernel, `global` across all of them; None is the method's default. Of
            granularity `filter` it is as for `tfprune.shrink`: `layer`, `global` or `isomorphic`.
        granularity: what goes as one: `weight`; `block`, a block of weights; `n:m`, all but n in every m weights; of
            functional and sequential models `filter`, filters and units with all that reads them, and `branch`,
            whole residual branches. Those two are taken out: the model becomes smaller in its training, which
            goes on with the weights that stay and what the optimizer remembers of them. Callbacks see one training, in
            which `model` changes.
        pattern: of a block its sides, such as `"4x1"`, else n and m, such as `"2:4"`; None is those.
        pooling: what a block is worth: the mean (`avg`, the default) or the highest (`max`) of its weights' scores.
        channels: settings of the granularities `filter` and `branch`: `criterion`, what they are ranked by (see
            `tfprune.shrink`; those that look at the loss take the model's own); `slots`,
            whether the optimizer's memory of the weights that stay is kept (`keep`) or emptied (`reset`);
            `recalibrate`, the training examples by which BatchNorm's statistics are taken anew, 0 for none. `filter`
            has `multiple`, what widths are rounded to a multiple of, 8 by default, and `dropout`, whether its rate
            stays (`keep`) or shrinks with its inputs (`scale`); `branch` has `order`, the names of those that go first.
        exclude: names of layers that are never pruned; `first`, `last` and `frozen` stand for those.
        include: names of other weights with two axes or more, or of layers that have some, to be pruned like kernels;
            `tfprune.summary` lists them.
        settings: the method's other settings.
        seed: of what the method draws.
        callbacks: Keras callbacks for all trainings, as `fit` takes them.
        in_place: train and prune the model itself instead of a copy; the only way for subclassed models.
        force: of a run: repeat it though it is finished.
        verbose, validation_data, validation_split, validation_steps, validation_batch_size, validation_freq: as for
            `model.fit`.
        class_weight, sample_weight, shuffle, steps_per_epoch: as for `model.fit`.
        batch_size: of arrays; None is 32.
        initial_epoch: epochs that count as done already; the method may have nothing to do in them.
        max_queue_size, workers, use_multiprocessing: as for `model.fit` of tf_keras.
        spare: the older name of `exclude`.

    Returns:
        Of a model a `Trained`, of a run its `Result`. The model that was passed is not changed unless `in_place`.

    Raises:
        TfpruneError: something that the user can fix.

    >>> import numpy as np
    >>> import tf_keras as keras
    >>> import tfprune
    >>> model = keras.Sequential([keras.layers.Dense(10, input_shape=(8,)), keras.layers.Dense(2)])
    >>> model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    >>> x, y = np.ones((12, 8)), np.zeros(12)
    >>> tfprune.train(model, (x, y), method="dynamic", sparsity=0.5, epochs=3, verbose=0)
    Trained(dynamic, 3 epochs, 50.0 % of the kernel weights are zero)
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

    given = {
        "batch_size": batch_size,
        "validation_data": validation_data,
        "validation_split": validation_split,
        "validation_steps": validation_steps,
        "validation_batch_size": validation_batch_size,
        "validation_freq": validation_freq,
        "class_weight": class_weight,
        "sample_weight": sample_weight,
        "shuffle": shuffle,
        "steps_per_epoch": steps_per_epoch,
        "max_queue_size": max_queue_size,
        "workers": workers,
        "use_multiprocessing": use_multiprocessing,
    }
    return train_model(
        model,
        data,
        method=method,
        sparsity=sparsity,
        epochs=epochs,
        scope=scope,
        granularity=granularity,
        pattern=pattern,
        pooling=pooling,
        channels=channels,
        exclude=from_alias("exclude", exclude, "spare", spare),
        include=include,
        settings=settings,
        seed=seed,
        callbacks=callbacks,
        in_place=in_place,
        verbose=verbose,
        initial_epoch=initial_epoch,
        fit=given,
    )


def load_run(folder: str | Path) -> Result:
    """Reads a finished run.

    Args:
        folder: of the run, as `tfprune train` names it.

    Raises:
        RunError: it is no run folder, the run is not finished, or a file of it was altered.

    >>> import tempfile
    >>> import tfprune
    >>> out = tempfile.mkdtemp()
    >>> done = tfprune.train(tfprune.Config(dataset="penguins", epochs=3, out=out))
    >>> tfprune.load_run(f"{out}/{done.config.run_id}").metrics["epochs"]
    3
    """
    from tfprune.experiments.results import read_result
    from tfprune.experiments.rundir import RunDir

    return read_result(RunDir(Path(folder)))


def compare(runs: Iterable[Config | Result | str | Path], *, jobs: int | None = None) -> Comparison:
    """Trains what is not finished of some runs, and compares the methods of those that are set up alike.

    Args:
        runs: settings of runs, which are trained unless they are finished; or finished runs: results, or folders of
            runs or of many.
        jobs: runs that are trained at a time, in processes of their own; None is one, in this process.

    Returns:
        The comparison; it prints itself, also in a notebook.

    Raises:
        TfpruneError: a setting is wrong, or there is no finished run.

    >>> import tempfile
    >>> import tfprune
    >>> out = tempfile.mkdtemp()
    >>> settings = {"dataset": "penguins", "epochs": 3, "out": out}
    >>> configs = [tfprune.Config(method=name, **settings) for name in ("unpruned", "dynamic")]
    >>> done = tfprune.compare(configs)
    >>> done.methods, done.failures
    (('unpruned', 'dynamic'), ())
    """
    from tfprune.experiments.executors import EXECUTORS
    from tfprune.experiments.executors._base import Resources
    from tfprune.experiments.results import Result, find_results, run_folders
    from tfprune.experiments.rundir import RunDir
    from tfprune.experiments.sweeps import run_all
    from tfprune.reporting.compared import Comparison
    from tfprune.reporting.diverged import find_diverged
    from tfprune.training.config import Config

    runs = [runs] if isinstance(runs, (Config, Result, str, Path)) else list(runs)
    configs = [own for own in runs if isinstance(own, Config)]
    folders = [Path(own) for own in runs if isinstance(own, (str, Path))]
    finished, failures = [own for own in runs if isinstance(own, Result)], []
    if configs:
        trained, failed = run_all(configs, EXECUTORS["local"](Resources(jobs=jobs)))
        finished, failures = [*finished, *trained], [*failures, *failed]
    if folders:
        found, left_out = find_results(folders)
        finished, failures = [*finished, *found], [*failures, *left_out]
    begun = [RunDir(Path(own.out) / own.run_id) for own in configs]
    begun += [RunDir(own) for folder in folders for own in run_folders(folder)]
    return Comparison.of(finished, failures, find_diverged(begun, finished))


def report(
    runs: Iterable[str | Path] | str | Path,
    *files: str | Path,
    tables: str | Path | None = None,
    margin: float | None = None,
) -> list[Path]:
    """Writes a report on finished runs, as `tfprune report` does.

    Args:
        runs: run folders, or folders that hold run folders.
        files: `.html`, `.md`, `.csv`, `.json` or `.tex` files to write.
        tables: folder for each table as `.tex` and `.csv` and each figure as `.svg` and `.pdf`; None writes none.
        margin: how far below `unpruned` the smallest network may be, 0 or above: in points of a share, else in the
            metric's unit; None is 0.5 points, or 0.5 % of the baseline's error.

    Returns:
        What was written: the files, the figures of Markdown pages, and what is in the folder of tables.

    Raises:
        TfpruneError: there are no finished runs, or a file cannot be written.

    >>> import tempfile
    >>> import tfprune
    >>> out = tempfile.mkdtemp()
    >>> done = tfprune.train(tfprune.Config(dataset="penguins", epochs=3, out=out))
    >>> [path.name for path in tfprune.report(out, f"{out}/report.csv")]
    ['report.csv']
    """
    from tfprune.experiments.results import find_results, run_folders
    from tfprune.experiments.rundir import RunDir
    from tfprune.reporting.diverged import find_diverged
    from tfprune.reporting.made import Made
    from tfprune.reporting.pages import writer_for
    from tfprune.reporting.report import sections, still_left_out
    from tfprune.reporting.sheets import write_sheets

    if not files and tables is None:
        raise ConfigError("name a file to write, report(runs, 'report.html'), or a folder, tables='tables'")
    margin = None if margin is None else check_least("margin", margin, 0.0)
    writers = [(writer_for(Path(file)), Path(file)) for file in files]
    writers += [] if tables is None else [(write_sheets, Path(tables))]
    listed = [runs] if isinstance(runs, (str, Path)) else runs
    folders = [folder for own in listed for folder in run_folders(Path(own))]
    results, left_out = find_results(folders)
    found = sections(results, find_diverged(map(RunDir, folders), results), margin)
    for line in still_left_out(left_out, found):
        log.warning("left out: %s", line)
    made = Made.now(f"tfprune.report of {len(results):,} runs")
    return [path for write, file in writers for path in write(found, file, made)]


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
