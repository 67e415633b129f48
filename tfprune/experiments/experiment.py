"""One run from settings to files: the only place that wires data, model, method, export and report."""

from __future__ import annotations

import contextlib
import csv
import functools
import io
import itertools
import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfprune.adapters.backend import keras, machine, sow, tf, versions
from tfprune.adapters.loading.gate import model_from_json
from tfprune.adapters.tf_keras.copies import report_unprunable
from tfprune.adapters.tf_keras.wrapping import (
    get_masks,
    get_weights,
    kernels,
    mask_in_place,
    set_masks,
    set_weights,
    strip,
    uncounted,
    wrap,
)
from tfprune.data._base import SPLITS, Data
from tfprune.data._pipeline import training_batches
from tfprune.experiments.results import (
    SCHEMA,
    Result,
    check_model,
    check_same,
    find_result,
    read_config,
    read_result,
    sealed_metrics,
    tidy,
)
from tfprune.experiments.run_files import TrainingState, check
from tfprune.experiments.rundir import RunDir
from tfprune.experiments.system_errors import gone, told
from tfprune.experiments.tracking import Tracker, tracked
from tfprune.exporting.savedmodel import export, load_weights
from tfprune.methods import BASELINE
from tfprune.models._narrow import narrowed
from tfprune.models._own import build_model
from tfprune.pruning.counts import array_bytes, folder_bytes, parameters, sparsity
from tfprune.pruning.events import nominal_sparsity
from tfprune.pruning.masks import ones_like
from tfprune.pruning.pattern_masks import check_pattern
from tfprune.structured.surgery import without
from tfprune.training.callbacks import write_history
from tfprune.training.channel_trainer import ChannelTrainer, narrower
from tfprune.training.checkpoints import Checkpoint, Checkpoints, Interval
from tfprune.training.config import PLACES, Config, by_seed
from tfprune.training.fused import KEPT, LARGEST_SPLIT, Workshop, fits
from tfprune.training.precision import candidates, computing_in, deterministic_ops, fastest, in_float32
from tfprune.training.resuming import Saving, circumstances, cut_back, warn_of_differences
from tfprune.training.stacking import apart, stack, stack_weights, stackable
from tfprune.training.stopping import Stopper
from tfprune.training.strategies import Crew, strategy_of
from tfprune.training.trainer import (
    COMPILE,
    Dense,
    StackedTrainer,
    Trainer,
    compile_model,
    devices,
    evaluate,
    pattern_report,
)
from tfprune.utils.errors import RunError
from tfprune.utils.files import replacing, write_json
from tfprune.utils.locks import locked
from tfprune.utils.seeds import derive

log = logging.getLogger(__name__)
WORKSHOP = Workshop(KEPT)
TRAINED, TIDIED = itertools.count(1), 64  # trainings of this process, and after how many it is tidied up

MOST_NETWORKS = 100  # that are trained as one model


def train(config: Config, *, force: bool = False, exported: bool = True, dense: Result | None = None) -> Result:
    """Trains, prunes, exports and measures; a run that is finished already is read and not repeated.

    Args:
        config: the settings.
        force: repeat a finished run.
        exported: repeat a finished run that left no SavedModel, see `train_together`.
        dense: a finished run of `unpruned` with the same settings. A method that begins with the same
            training does not repeat it but takes it over, and is charged its epochs and seconds.

    Returns:
        The finished run.

    Raises:
        TfpruneError: something that the user can mend.
        SparsityError: the model is not as sparse as asked for.
    """
    crew = Crew.of(config)  # before anything else is computed
    folder = RunDir(Path(config.out) / config.run_id)
    result = None if force else _finished(config, folder, exported)
    if result is not None:
        tidy(folder)
        return result
    if dense is not None and not dense.folder.exported:
        dense = None
    if dense is not None:
        check_same(dense.config, config.replace(method=dense.config.method, settings={}), dense.folder)
    with crew.folder(folder.root) as own:
        result = None if force else _finished(config, folder, exported)  # by whom we waited for
        if result is None:
            with (
                Stopper() as stopper,
                tracked(config, keeps=crew.chief) as tracker,
                RunDir(own).failures(),
                told(own),
                deterministic_ops(config.deterministic),
                crew.together(),
                stopper.recognised(),
            ):
                checkpoint = None if force else _checkpoint(config, folder)
                crew.meet()  # the chief has made the folder
                crew.agree(f"{config.identity()} {folder.root.is_dir()} {checkpoint and checkpoint.state}")
                _train(config, RunDir(own), dense, checkpoint, stopper, crew, tracker)
                crew.meet()  # the chief has written everything
            result = read_result(folder)
        if crew.chief:
            folder.close()
    return result


def _finished(config: Config, folder: RunDir, exported: bool) -> Result | None:
    """Returns the run in a folder if it is finished and has all that is asked for."""
    result = find_result(config)
    return result if folder.exported or not exported else None


def _checkpoint(config: Config, folder: RunDir) -> Checkpoint | None:
    """Returns what a run that was cut off goes on from, None if there is nothing.

    Raises:
        RunError: it was started with other settings.
    """
    folder.check_own()
    if folder.finished or not folder.checkpoints.is_dir():
        return None
    try:
        started = read_config(folder)
    except RunError as error:
        raise RunError(f"{error}; use --force to run it anew") from None
    check_same(started, config, folder)
    checkpoint = Checkpoints(folder.checkpoints).latest()
    if checkpoint is not None:
        check(checkpoint.state, TrainingState, folder.checkpoints)
        warn_of_differences(checkpoint.state["run"]["circumstances"])
    return checkpoint


def _train(
    config: Config,
    folder: RunDir,
    dense: Result | None,
    checkpoint: Checkpoint | None,
    stopper: Stopper,
    crew: Crew,
    tracker: Tracker,
) -> None:
    """Trains a run in a folder that is ours, from the start or from a checkpoint."""
    seconds = {}
    started = time.perf_counter()
    log.info("Reading %s ...", config.data_name)
    stream = checkpoint.state["run"].get("stream", config.stream) if checkpoint else config.stream
    data = load_data(config.replace(stream=stream))
    for remark in (*data.remarks, data.imbalance()):
        if remark:
            log.warning("%s: %s", config.data_name, remark)
    if checkpoint is not None:
        precision, step_seconds = checkpoint.state["run"]["precision"]
        if checkpoint.state["run"]["data"] != data.fingerprint():
            raise RunError(f"{folder.root}: the data are not those that the run began with; use --force to run it anew")
    elif dense is None:
        precision, step_seconds = choose_precision(config, data)
    else:  # what was fastest then: runs that are compared compute alike
        precision, step_seconds = dense.metrics["precision"]["policy"], dense.metrics["precision"]["step_seconds"]
    model = _compiled_already(config, data, build(config, data, precision))
    seconds["prepare"] = time.perf_counter() - started
    redraw = functools.partial(initial_weights, config, data, "reinit")
    make = ChannelTrainer if config.removes else Trainer
    saving = Saving(
        checkpoints=Checkpoints(folder.checkpoints),
        every=Interval.parse(config.checkpoint_every),
        stopper=stopper,
        checkpoint=checkpoint,
        run={
            "precision": [precision, step_seconds],
            "circumstances": circumstances(),
            "data": data.fingerprint(),
            "stream": data.stream,
        },
        events=folder.tensorboard,
        crew=crew,
    )
    trainer = make(model, data, config, folder.tensorboard, dense and dense_of(dense), redraw, saving)
    if checkpoint is None:
        folder.create()  # not before all that can be wrong with data and model has been found
    else:
        folder.resume()
        cut_back(folder.tensorboard, checkpoint.state["events"])
    write_json(folder.config, config.to_dict())
    write_splits(folder.splits, data)
    tracker.begin(checkpoint.state["run"].get("mlflow") if checkpoint else None)
    saving.run["mlflow"] = tracker.id
    trainer.observers.append(keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: tracker.log(trainer.history)))
    try:
        config.pruning.run(trainer)
        trainer.finish()
        trained_on = devices(trainer.model)
        if trained_on > 1:
            trainer.model = on_one_device(trainer, precision)
        metrics = finish(trainer, folder, seconds | trainer.seconds)
        metrics["cpu_seconds"] = _rounded(trainer.cpu_seconds)
    except BaseException:
        with contextlib.suppress(
            OSError
        ):  # what was seen until then is kept, if it can be; what went wrong counts more
            write_history(folder.history, trainer.history)
        raise
    finally:
        if _recurs(config):
            WORKSHOP.give_back(_kind(config, data), trainer.model)
    metrics["precision"] = {"policy": precision, "step_seconds": step_seconds}
    metrics["devices"] = trained_on
    if not folder.config.is_file():  # the folder was removed, and what was written since has made it anew
        raise gone(folder.root)
    metrics = sealed_metrics(folder, metrics)
    write_json(folder.metrics, metrics)
    tracker.log(trainer.history)
    tracker.finish(metrics, folder)
    _tidy_up()


def _tidy_up() -> None:
    """Frees what Keras keeps of models, now and then: all that is compiled goes along, and must be set up again."""
    keras.backend.reset_uids()
    if next(TRAINED) % TIDIED == 0:
        keras.backend.clear_session()


def dense_of(run: Result) -> Dense:
    """Returns the training of a finished and exported run of `unpruned`."""
    history, metrics = run.history(), run.metrics
    phase = history[0]["phase"]
    weights = functools.partial(load_weights, run.model)
    seconds, cpu_seconds = metrics["seconds"][phase], metrics["cpu_seconds"][phase]
    return Dense(phase, weights, history, metrics["epochs"], seconds, cpu_seconds, run.config.run_id)


def load_data(config: Config) -> Data:
    """Loads the splits of the run's data set, or as much of each as the run is limited to."""
    return config.spec.load(config.data_dir and Path(config.data_dir), config.seed, config.stream).first(config.limit)


def build(config: Config, data: Data, precision: str = "float32") -> keras.Model:
    """Builds the model with its initial weights, which depend on the run's seed and on no precision.

    It is masked, see `_masked`, unless channels are removed from it: then there is nothing to mask.
    """
    settings = model_settings(config, data)
    sow(derive(config.seed, "init"), anew=config.has_own_model)
    strategy = strategy_of(config)
    with computing_in(precision), strategy.scope() if strategy else contextlib.nullcontext():
        model = plain_model(config, data, settings)
        if config.has_own_model:
            report_unprunable(model)
        return model if config.removes else _masked(model, config)


def _masked(model: keras.Model, config: Config) -> keras.Model:
    """Returns the model with masks: in tfmot's wrappers if it is one of ours, in place if a person brought it."""
    return mask_in_place(model, config.spare) if config.has_own_model else wrap(model, config.spare)


def on_one_device(trainer: Trainer, precision: str) -> keras.Model:
    """Returns a copy of a trained model that is not mirrored any more, to be measured and exported as any other."""
    single = build(trainer.config.replace(strategy="none"), trainer.data, precision)
    if isinstance(trainer, ChannelTrainer):
        single = without(single, trainer.ledger.removed)
    set_weights(single, get_weights(trainer.model))
    set_masks(single, get_masks(trainer.model))
    return single


def plain_model(config: Config, data: Data, settings: Mapping[str, Any], *, fresh: bool = False) -> keras.Model:
    """Builds the run's model, of the widths that removing channels would lead to if the method asks for that.

    `fresh` draws anew even the weights that a person's own model comes with.
    """
    model = make_model(config, data, settings, fresh=fresh)
    share = config.pruning.narrower
    return narrower(model, share, config) if share and config.removes else model


def make_model(config: Config, data: Data, settings: Mapping[str, Any], *, fresh: bool = False) -> keras.Model:
    """Makes the run's model with these settings, see `plain_model`."""
    dtype = data.train.x.dtype.name
    return build_model(config.model, data.input_shape, len(data.labels), settings, dtype=dtype, fresh=fresh)


def model_settings(config: Config, data: Data) -> dict[str, Any]:
    """Returns the settings that the run's model is built with: narrower ones if the method asks for that."""
    settings, share = dict(config.model_settings), config.pruning.narrower
    if not share or config.removes:
        return settings

    def make(**settings: Any) -> keras.Model:
        return make_model(config, data, settings)

    full = make(**settings)
    removed = round(share * sum(kernel.size for kernel in kernels(full).values()))
    return narrowed(make, settings, full.count_params() - removed)


def restore(result: Result, data: Data) -> keras.Model:
    """Rebuilds the trained model of a finished run, without wrappers, in float32.

    Raises:
        RunError: the run left no SavedModel, or it was altered.
    """
    if not result.folder.exported:
        again = f"tfprune train --config {result.folder.config}"
        raise RunError(
            f"{result.folder.root}: this run was trained side by side with others and left no model; {again}"
        )
    check_model(result.folder)
    architecture = result.architecture()
    if architecture is not None:  # of a person's own model, which may have changed or gone since
        model = model_from_json(architecture, result.folder.architecture)
    else:
        model = plain_model(result.config, data, model_settings(result.config, data))
        model = without(model, result.removed_channels())
    try:
        model.set_weights(load_weights(result.model))
    except ValueError:
        raise RunError(f"{result.folder.root}: the weights of its SavedModel do not fit its settings") from None
    return model


def initial_weights(config: Config, data: Data, purpose: str = "init") -> list[np.ndarray]:
    """Returns initial weights of the run's model, other ones for each purpose."""
    settings = model_settings(config, data)
    sow(derive(config.seed, purpose), anew=config.has_own_model)
    return plain_model(config, data, settings, fresh=purpose != "init").get_weights()


def choose_precision(config: Config, data: Data) -> tuple[str, dict[str, float]]:
    """Returns the precision to compute in, and the seconds a step that were measured for it (`auto` only)."""
    if config.precision != "auto":
        return config.precision, {}
    log.info("Measuring which precision is fastest ...")
    images, labels = next(iter(training_batches(data.train, config.batch_size, shuffle=False, seed=0)))

    def step(precision: str) -> Callable[[], object]:
        model = build(config, data, precision)
        compile_model(model, config, steps_per_epoch=1)
        return lambda: model.train_on_batch(images, labels)

    return fastest({precision: step(precision) for precision in candidates()})


def finish(trainer: Trainer, folder: RunDir, seconds: dict[str, float]) -> dict[str, Any]:
    """Checks, exports, measures and draws a trained model; returns what goes into `metrics.json`."""
    log.info("Exporting and measuring ...")
    started = time.perf_counter()
    config, data, masks = trainer.config, trainer.data, trainer.masks()
    trainer.check(kernels(trainer.model), "the trained model")
    stripped = in_float32(strip(trainer.model))
    exported = export(stripped, data, get_masks(trainer.model), folder.model)
    trainer.check(exported, "the exported model")

    scores = {
        split: {name: float(value) for name, value in evaluate(stripped, getattr(data, split)).items()}
        for split in SPLITS
    }
    metrics = _measured(
        trainer, config, scores, stripped.get_weights(), {name: exported[name] for name in masks if name in exported}
    )
    metrics |= trainer.report()
    metrics["data"] = said_of(data)
    metrics["bytes"] |= folder_bytes(folder.model)
    if isinstance(trainer, ChannelTrainer):
        write_json(folder.channels, trainer.ledger.removed)
    _write_arrays(folder, trainer.history, masks)
    if config.has_own_model:
        write_architecture(folder.architecture, stripped)
    from tfprune.reporting.figures import plot_curves, plot_sparsity  # where something is drawn

    plot_curves(trainer.history, folder.curves, title=config.run_id)
    plot_sparsity(trainer.history, metrics["sparsity"]["layers"], folder.sparsity, title=config.run_id)
    _log_hyperparameters(config, scores, metrics["sparsity"]["achieved"], folder)
    metrics["seconds"] = _rounded(seconds | {"finish": time.perf_counter() - started})
    return metrics


def _rounded(seconds: dict[str, float]) -> dict[str, float]:
    """Returns seconds as they are stored, with their `total`."""
    return {phase: round(value, 6) for phase, value in (seconds | {"total": sum(seconds.values())}).items()}


def _measured(
    trainer: Trainer, config: Config, scores: dict[str, Any], weights: list[np.ndarray], pruned: dict[str, np.ndarray]
) -> dict[str, Any]:
    """Returns what `metrics.json` says of a network that is trained, all but the seconds."""
    return {
        "schema": SCHEMA,
        "seed": config.seed,
        **scores,
        "selection": {"rule": "last epoch", "split": None},
        "sparsity": sparsity(nominal_sparsity(config.pruning.cuts), pruned),
        **parameters(weights),
        "bytes": {"weights": array_bytes(weights)},
        "epochs": trainer.trained_epochs,
        "cost": cost(trainer),
        "untuned": trainer.untuned,
        "taken_over": trainer.taken_over,
        "versions": versions(),
        "machine": machine(),
    }


def said_of(data: Data) -> dict[str, Any]:
    """Returns what `metrics.json` says of the data: the classes of each split, and what is to be known of them."""
    return {"classes": data.class_counts(), "remarks": list(data.remarks)}


def cost(trainer: Trainer) -> dict[str, Any]:
    """Returns what a training took, in numbers that depend on no machine; of a stack arrays, a number a network.

    A multiply-add counts as 2 FLOPs and a step of training as 3 forward passes: that, the gradient of the activations
    and that of the weights. `masked` numbers leave out multiplications with pruned weights, which are still done.
    Those of the training include `scoring`: what criteria that look at derivatives took. `uncounted` names the layers
    of a person's own model of which something is missing in all of them, if there are any.
    """
    missing = uncounted(trainer.model)
    examples = trainer.trained_epochs * len(trainer.data.train)
    return {
        "examples": examples,
        "forward_flops": 2 * trainer.forward,
        "forward_flops_masked": 2 * trainer.forward_masked,
        "scoring_flops": 2 * trainer.scored,
        "training_flops": 6 * trainer.trained + 2 * trainer.scored,
        "training_flops_masked": 6 * trainer.trained_masked + 2 * trainer.scored_masked,
    } | ({"uncounted": sorted(missing)} if missing else {})


def write_splits(path: Path, data: Data) -> None:
    """Writes which examples are in which split, a line an example, if that does not follow from name and seed."""
    if data.places is None:
        return
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("split", "example"))
    writer.writerows((split, example) for split, own in data.places.items() for example in own.tolist())
    with replacing(path) as draft:
        draft.write_text(text.getvalue(), encoding="utf-8")


def write_architecture(path: Path, model: keras.Model) -> None:
    """Writes the layers of a person's own model, for `restore`; none whose layers cannot be written down."""
    try:
        text = model.to_json()
    except (NotImplementedError, TypeError):  # a subclassed model, or a layer that does not describe itself
        return
    with replacing(path) as draft:
        draft.write_text(text, encoding="utf-8")


def _write_arrays(folder: RunDir, history: list[dict[str, Any]], masks: dict[str, np.ndarray]) -> None:
    write_history(folder.history, history)
    with replacing(folder.masks) as draft, open(draft, "wb") as file:
        np.savez_compressed(file, **masks)


def networks_at_once(config: Config) -> int:
    """Returns how many runs with these settings and any seeds can be trained as one model; 1: each alone."""
    if (
        config.loop == "plain"
        or config.strategy != "none"
        or config.augment
        or config.precision not in ("float32", "auto")
    ):
        return 1
    data = load_data(config)
    if len(data.input_shape) != 1:
        return 1
    model = make_model(config, data, dict(config.model_settings))
    if not (stackable(model) and fits(model, data.train, config.batch_size)):
        return 1
    return max(1, min(MOST_NETWORKS, LARGEST_SPLIT // data.train.x.nbytes))


def train_together(configs: Sequence[Config]) -> list[Result]:
    """Trains runs that differ only in method and seed side by side, as one model (see `stacking`).

    Each gets a run folder with the numbers that `train` would have come to, but without what takes
    longer than the training: the SavedModel, the plots and TensorBoard's logs. A network that diverges gets none.

    Args:
        configs: the settings of runs, each method's with the same seeds, no more than `networks_at_once`.

    Returns:
        The finished runs.

    Raises:
        TrainingError: all networks diverge.
    """
    with deterministic_ops(configs[0].deterministic):
        return _train_together(configs)


def _train_together(configs: Sequence[Config]) -> list[Result]:
    seeds = sorted({config.seed for config in configs})
    data = [load_data(configs[0].replace(seed=seed)) for seed in seeds]
    dense: dict[str, Dense] = {}
    workshop = Workshop(KEPT) if configs[0].has_own_model else WORKSHOP  # a person's function may change between calls
    results = []
    for own in by_seed(configs):

        def weights(purpose: str, own: Sequence[Config] = own) -> list[np.ndarray]:
            return stack_weights([initial_weights(c, d, purpose) for c, d in zip(own, data, strict=True)])

        kind = _kind(own[0], data[0], len(seeds))
        model = workshop.take(kind) or _stacked(own[0], data[0], len(seeds))
        set_masks(model, ones_like(get_masks(model)))
        set_weights(model, weights("init"))
        baseline = own[0].as_baseline().run_id
        trainer = StackedTrainer(model, data, own, dense.get(baseline), functools.partial(weights, "reinit"))
        own[0].pruning.run(trainer)
        trainer.finish()
        if own[0].method == BASELINE:
            dense[baseline] = trainer.as_dense()
        workshop.give_back(kind, trainer.model)
        results += _finish_together(trainer, data)
    _tidy_up()
    return results


def _compiled_already(config: Config, data: Data, model: keras.Model) -> keras.Model:
    """Returns a compiled model with the weights and masks of this one if an earlier run has left it, else this one."""
    kept = WORKSHOP.take(_kind(config, data)) if _recurs(config) else None
    if kept is None:
        return model
    set_masks(kept, get_masks(model))
    set_weights(kept, get_weights(model))
    return kept


def _recurs(config: Config) -> bool:
    """Says whether the model of a later run of the kind is sure to be of the same layers, which keep their form."""
    return config.granularity == "weight" and config.strategy == "none" and not config.has_own_model


def _kind(config: Config, data: Data, networks: int = 0) -> str:
    """Returns what the compiled models of runs have in common; 0 networks: one that is not a stack."""
    common = config.as_baseline().replace(seed=0).identity()
    own = config.pruning.phase_epochs(config.epochs), config.pruning.narrower
    shapes = [getattr(data, name).x.shape for name in SPLITS]
    return json.dumps([common, own, shapes, len(data.labels), networks])


def _stacked(config: Config, data: Data, networks: int) -> keras.Model:
    model = make_model(config, data, model_settings(config, data))
    return _masked(stack(model, networks), config)


def _finish_together(trainer: StackedTrainer, data: Sequence[Data]) -> list[Result]:
    count, results = len(trainer.configs), []
    scores = {name: evaluate(trainer.model, getattr(trainer.data, name)) for name in SPLITS}
    all_weights, histories = get_weights(trainer.model), trainer.per_seed()
    each = zip(trainer.configs, histories, apart(kernels(trainer.model)), apart(get_masks(trainer.model)), strict=True)
    for number, (config, history, pruned, masks) in enumerate(each):
        own = {split: {name: float(v[number]) for name, v in values.items()} for split, values in scores.items()}
        if not np.isfinite(own["train"]["loss"]):
            continue
        where = f"the trained model of seed {config.seed}"
        check_pattern(pruned, masks, config.pruning.cuts, config.scope, config.units, where)
        metrics = _measured(trainer, config, own, [weight[..., number] for weight in all_weights], pruned)
        metrics |= {name: _of_one(metrics[name], number) for name in ("cost", "untuned")}
        for name in ("seconds", "cpu_seconds"):
            took = getattr(trainer, name)
            metrics[name] = _rounded({phase: value / count for phase, value in took.items() if phase != COMPILE})
        metrics |= pattern_report(config, masks)
        metrics["data"] = said_of(data[number])
        metrics["networks"] = count
        metrics["precision"] = {"policy": "float32", "step_seconds": {}}
        folder = RunDir(Path(config.out) / config.run_id)
        with locked(folder.root):  # another process may have trained the same
            folder.create()
            write_json(folder.config, config.to_dict())
            write_splits(folder.splits, data[number])
            _write_arrays(folder, history, masks)
            metrics = sealed_metrics(folder, metrics)
            write_json(folder.metrics, metrics)
        with tracked(config) as tracker:
            tracker.begin(None)
            tracker.log(history)
            tracker.finish(metrics, folder)
        results.append(Result(folder, config, metrics))
    return results


def _of_one(values: Any, number: int) -> Any:
    """Returns the numbers of one network, from a table of arrays with a number a network."""
    if isinstance(values, dict):
        return {name: _of_one(value, number) for name, value in values.items()}
    return values[number].item() if isinstance(values, np.ndarray) else values


def _log_hyperparameters(config: Config, splits: dict[str, Any], achieved: float, folder: RunDir) -> None:
    from tensorboard.plugins.hparams import api as hp

    flat = {key: value for key, value in config.to_dict().items() if isinstance(value, (str, int, float))}
    flat |= {f"{config.method}.{key}": _scalar(value) for key, value in config.settings.items()}
    with tf.summary.create_file_writer(str(folder.tensorboard)).as_default(step=0):
        hp.hparams({key: value for key, value in flat.items() if key not in PLACES}, trial_id=config.run_id)
        for name in ("validation", "test"):
            for key, value in splits[name].items():
                tf.summary.scalar(f"final/{name}_{key}", value)
        tf.summary.scalar("final/sparsity", achieved)


def _scalar(value: Any) -> Any:
    return value if isinstance(value, (str, int, float)) else json.dumps(value)
