"""The settings of one run: frozen, checked when made, written to JSON and read back the same.

Making a `Config` fills in what the data set, the model and the method say by default, so that what
is stored is complete. It never imports TensorFlow: bad settings are found in a blink.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import inspect
import json
import os
from collections.abc import Iterable, Mapping
from typing import Any

from tfprune.adapters.backend import BACKENDS, installed_backend
from tfprune.adapters.tf_keras.optimizers import check_optimizer
from tfprune.data import DATASETS
from tfprune.data._base import DatasetSpec
from tfprune.data._pipeline import check_augment
from tfprune.data._user import is_user_data, user_data_name, user_data_spec
from tfprune.data.objectives import DEFAULT, OBJECTIVES
from tfprune.data.objectives._base import Objective
from tfprune.methods import BASELINE, METHODS
from tfprune.methods._base import Method
from tfprune.models import MODELS
from tfprune.models._user import FINGERPRINT, is_application, is_user_model, user_model, user_model_name
from tfprune.pruning.patterns import NOfM, Pattern, pattern_of
from tfprune.structured.widths import check_channel_settings
from tfprune.training.checkpoints import Interval
from tfprune.training.learning_rates import LEARNING_RATE_SCHEDULES
from tfprune.training.setting_checks import (
    GRANULARITIES,
    REMOVING,
    SCOPES,
    check_backend,
    check_execution,
    check_granularity,
    check_removal,
    check_scores,
    check_tables,
    check_texts,
)
from tfprune.utils.checks import (
    check_choice,
    check_least,
    check_names,
    check_positive,
    check_switch,
    check_whole,
    from_alias,
)
from tfprune.utils.errors import ConfigError, choose_from
from tfprune.utils.folders import runs_folder
from tfprune.utils.text import shortened

# Where things lie on this machine: not part of what a run is.
NON_IDENTITY_FIELDS = ("out", "data_dir", "stream", "checkpoint_every", "mlflow")
ALIASES = {"spare": "exclude"}  # older names of settings, which stay valid and by which run ids go -> the present ones
_FROM_DATASET = (
    *("model", "epochs", "batch_size", "optimizer", "learning_rate", "learning_rate_schedule"),
    *("shuffle", "augment"),
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Everything that decides the result of a run. `None` means: as the data set says.

    Args:
        dataset: name of a data set, see `tfprune list`; or a path to your own, or `tfds:NAME`, see `data._user`.
        method: name of a pruning method.
        model: name of a model; or your own, see `models._user`.
        backend: what a model of Keras 3 is trained on: `tensorflow`, `jax` or `torch`; None is TensorFlow where it is
            installed. All other models are of tf_keras, on TensorFlow.
        seed: root of all random draws: split, initial weights, order of the data.
        epochs: passes over the training split, at least 1. A lottery ticket takes that many again.
        batch_size: examples per step, at least 1.
        learning_rate: of the optimizer, above 0; the highest if a schedule moves it.
        learning_rate_schedule: `constant`, `cosine` or `steps`, see `learning_rates`.
        warmup_epochs: epochs over which the learning rate rises from 0, below `epochs`; None is as the data set says,
            at most half of them.
        optimizer: `adam`, `adamw` or `sgd`.
        shuffle: whether training examples come in a new order in each epoch.
        augment: changes that training images go through, see `data._pipeline`.
        precision: of the arithmetic: `float32`, `mixed_bfloat16`, `mixed_float16`, or `auto`: what a
            few measured steps show to be fastest here.
        xla: compile the training step with XLA.
        deterministic: use TensorFlow's deterministic operations, so that a GPU comes to the same bits each time too; on
            a CPU it does as it is. TensorFlow says that this costs time; how much on a GPU has not been measured. An
            operation that has no deterministic form ends the run. It needs a precision by name.
        loop: `plain` is a call of the compiled function a step or, of few steps, an epoch; `fused` is
            many epochs per call, with the same numbers; `auto` fuses where data and model are small.
        strategy: `mirrored` divides each batch between all GPUs of the machine (without any, all logical CPUs);
            `auto` does where there are several GPUs; `multiworker` divides it between processes, each started with
            the same settings and its own `TF_CONFIG`, see `strategies`; `none` trains on one device.
        scope: `layer` ranks weights within each kernel and leaves each the same share, `erk` leaves small kernels
            more (Erdos-Renyi-Kernel), `global` ranks across all of them; None is as the method's paper has it. What
            prunes nothing has `layer`. Of granularity `filter` it is `layer`, `global` or `isomorphic`, see
            `structured.ranking`.
        granularity: what is pruned: `weight` zeroes single weights; `filter` removes filters and units with all that
            reads them, `branch` whole residual branches (see `branches`), so that the rest of the training has a
            smaller model; `block` zeroes whole blocks of weights, `n:m` all but n in every m along a kernel's inputs,
            see `patterns`. What prunes nothing has `weight`.
        pattern: of `block` its sides (`4x1`), of `n:m` the two numbers (`2:4`), which decide the sparsity.
        pooling: of `block`, whether a block is worth the mean (`avg`) or the highest (`max`) of its weights' scores.
        exclude: names of layers that are never pruned; `first` and `last` stand for those places, `frozen` for all
            layers that are not trained. With `filter` they keep their own filters and units, and lose what they read of
            those of others; with `branch` the whole branch stays that they are in.
        settings: the method's own settings.
        model_settings: the model's own settings.
        optimizer_settings: the optimizer's own settings.
        data_settings: those of your own data (their label, how they are split) and what was found in them.
        channel_settings: those of the granularities `filter` and `branch`, see `widths.check_channel_settings`.
        metrics: scores beside those that each run of the task has, which are logged too.
        class_weight: `balanced` has all classes count alike in the loss, however frequent they are; None: all examples.
        limit: use so many examples of each split at most, to try something out; None uses all.
        data_dir: folder of prepared data sets; None is that of `TFPRUNE_DATA_DIR`, or TFDS's usual one.
        stream: where images are: `memory` reads all of them, `shards` leaves them in their files and reads each when
            it is needed; `auto` does that if they would take more than a fifth of the memory. The numbers are the same.
        out: folder in which run folders are made; by default that of `TFPRUNE_OUT`, or `saved_models`.
        checkpoint_every: how often a training is saved, in epochs (`5`) or seconds (`30s`).
        mlflow: where the run is tracked too: a folder, or the URI of an MLflow server.

    Raises:
        ConfigError: a setting is unknown, out of range or at odds with another one.

    >>> import tfprune
    >>> config = tfprune.Config(dataset="penguins", method="lottery", settings={"sparsity": 0.5, "rounds": 3})
    >>> config.epochs, config.model, config.pruning.rounds
    (4000, 'mlp', 3)
    >>> config.replace(method="dynamic", seed=1).run_id
    'penguins-dynamic-seed1'
    """

    dataset: str
    method: str = "dynamic"
    model: str | None = None
    backend: str | None = None
    seed: int = 0
    epochs: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    optimizer: str | None = None
    learning_rate_schedule: str | None = None
    warmup_epochs: float | None = None
    shuffle: bool | None = None
    augment: tuple[str, ...] | None = None
    precision: str = "float32"
    xla: bool = False
    deterministic: bool = False
    loop: str = "auto"
    strategy: str = "none"
    scope: str | None = None
    granularity: str = "weight"
    pattern: str | None = None
    pooling: str | None = None
    exclude: tuple[str, ...] = ()
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    model_settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    optimizer_settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    data_settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    channel_settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    metrics: tuple[str, ...] = ()
    class_weight: str | None = None
    limit: int | None = None
    data_dir: str | None = None
    stream: str = "auto"
    out: str = dataclasses.field(default_factory=runs_folder)
    checkpoint_every: str = "60s"
    mlflow: str | None = None
    spare: dataclasses.InitVar[Any] = None  # see `ALIASES`

    def __post_init__(self, spare: Any) -> None:
        if spare is not None:
            self._store("exclude", from_alias("exclude", self.exclude, "spare", check_names("exclude", spare)))
        check_texts(self)
        self._store("checkpoint_every", str(Interval.parse(self.checkpoint_every)))
        for name in NON_IDENTITY_FIELDS:
            if getattr(self, name) is not None:
                self._store(name, str(getattr(self, name)))
        check_tables(self)
        spec = self.spec
        for name in _FROM_DATASET:
            if getattr(self, name) is None:
                self._store(name, getattr(spec, name))
        self._store_training()
        self._store_backend()
        check_execution(self)
        self._store("augment", check_augment(check_names("augment", self.augment)))
        self._store("shuffle", check_switch("shuffle", self.shuffle))
        self._store("metrics", check_scores(self))
        if self.limit is not None:
            self._store("limit", check_whole("limit", self.limit, least=1))
        self._store_pattern()
        self._store_pruning()
        self._store_model()
        given = _optimizer_defaults(spec, self.optimizer) | dict(self.optimizer_settings)
        self._store("optimizer_settings", check_optimizer(self.optimizer, given))
        check_granularity(self)
        check_backend(self)
        if self.removes:
            self._store("channel_settings", check_channel_settings(self.channel_settings, self.granularity))
            check_removal(self)
        self.pruning.check(self.epochs)

    def _store_training(self) -> None:
        self._store("seed", check_whole("seed", self.seed, least=0))
        self._store("epochs", check_whole("epochs", self.epochs, least=1))
        self._store("batch_size", check_whole("batch_size", self.batch_size, least=1))
        self._store("learning_rate", check_positive("learning_rate", self.learning_rate))
        if self.warmup_epochs is None:
            self._store("warmup_epochs", _default_warmup(self.spec, self.epochs))
        self._store("warmup_epochs", check_least("warmup_epochs", self.warmup_epochs, 0.0))
        if self.warmup_epochs >= self.epochs:
            raise ConfigError(f"warmup_epochs must be below the {self.epochs} epochs, got {self.warmup_epochs:g}")
        check_choice("learning_rate_schedule", self.learning_rate_schedule, LEARNING_RATE_SCHEDULES)

    def _store_backend(self) -> None:
        if self.backend is None:
            self._store("backend", installed_backend() if self.has_own_model else BACKENDS[0])
        check_choice("backend", self.backend, BACKENDS)

    def _store_pattern(self) -> None:
        check_choice("granularity", self.granularity, GRANULARITIES)
        setting = METHODS[self.method].sparsity_setting
        if setting is None:
            for name, default in (("granularity", "weight"), ("pattern", None), ("pooling", None)):
                self._store(name, default)
            self._store("channel_settings", {})
        units = self.units
        self._store("pattern", None if units is None else units.text)
        self._store("pooling", getattr(units, "pooling", None))
        if isinstance(units, NOfM) and setting is not None:
            self._store("settings", {setting: units.sparsity} | dict(self.settings))

    def _store_pruning(self) -> None:
        own = Method.scope if self.removes else self.pruning.scope
        self._store("scope", check_choice("scope", own if self.scope is None else self.scope, SCOPES))
        if not self.pruning.sparsity_setting:
            self._store("scope", Method.scope)
        self._store("exclude", check_names("exclude", self.exclude))
        self._store("settings", _plain(self.pruning.settings()))

    def _store_model(self) -> None:
        if is_user_model(self.model):
            model, settings = user_model(self.model, self.model_settings)
            self._store("model", model)
            self._store("model_settings", _plain(settings))
        else:
            defaults = _model_defaults(self.spec, self.model)
            self._store("model_settings", _model_settings(self.model, defaults, self.model_settings))

    def _store(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)

    @functools.cached_property
    def spec(self) -> DatasetSpec:
        """The data set. Of a user's own, what the settings lack is looked up and kept in `data_settings`."""
        if not self.has_own_data:
            if self.data_settings:
                raise ConfigError(f"data set {self.dataset} has no settings, got {', '.join(self.data_settings)}")
            return DATASETS[self.dataset]
        dataset, completed, spec = user_data_spec(self.dataset, self.data_settings, self.data_dir)
        self._store("dataset", dataset)
        self._store("data_settings", _plain(completed))
        return spec

    @property
    def has_own_data(self) -> bool:
        """Whether the data are a user's own, and no registered data set."""
        return (bool(self.data_settings) and self.dataset not in DATASETS) or is_user_data(self.dataset)

    @property
    def task(self) -> str:
        """What is learnt from the labels, of `data.objectives.OBJECTIVES`."""
        return self.data_settings.get("task", DEFAULT) if self.has_own_data else DEFAULT

    @property
    def objective(self) -> type[Objective]:
        """The class of the task."""
        return OBJECTIVES[self.task]

    @property
    def data_name(self) -> str:
        """Short name of the data set, for titles and files; of a path no more than its last part."""
        return user_data_name(self.dataset) if self.has_own_data else self.dataset

    @property
    def has_own_model(self) -> bool:
        """Whether the model is a user's own, and no registered one."""
        return is_user_model(self.model)

    @property
    def model_name(self) -> str:
        """Short name of the model, for titles; of a path no more than its last part."""
        return user_model_name(self.model) if self.has_own_model else self.model

    @property
    def removes(self) -> bool:
        """Whether what is pruned is taken out of the network, and not zeroed."""
        return self.granularity in REMOVING

    @functools.cached_property
    def units(self) -> Pattern | None:
        """What is pruned as one; None where single weights or channels are."""
        return pattern_of(self.granularity, self.pattern, self.pooling)

    @functools.cached_property
    def pruning(self) -> Method:
        """The method with its settings."""
        return METHODS[self.method].from_settings(self.method, self.settings)

    @property
    def requested_sparsity(self) -> float:
        """Fraction of kernel weights that the method is asked to do without, before counts are rounded."""
        return self.pruning.requested_sparsity

    @property
    def run_id(self) -> str:
        """Readable name of the run: data set, method, seed, and a hash of the settings that are not default."""
        return f"{self.data_name}-{self.method}-seed{self.seed}{self._digest}"

    @property
    def trial_id(self) -> str:
        """Name that runs share which differ in nothing but their seed."""
        return f"{self.data_name}-{self.method}{self._digest}"

    @functools.cached_property
    def _digest(self) -> str:
        """A hash of the settings that are not default, with a hyphen before; "" if all are. The seed is not in it."""
        default = self._default() if self.has_own_data else _default_identity(self.dataset, self.method)
        changed = {k: value for k, value in self.identity().items() if k != "seed" and value != default[k]}
        if "settings" in changed:
            changed["settings"] = self.pruning.naming_settings()
        if self.has_own_data:
            changed["data_settings"] = self.to_dict()["data_settings"]
        if "channel_settings" in changed:  # those that are not default, of which more may come
            defaults = check_channel_settings({}, self.granularity)
            changed["channel_settings"] = {k: v for k, v in self.channel_settings.items() if v != defaults[k]}
        if not changed:
            return ""
        changed |= {alias: changed.pop(name) for alias, name in ALIASES.items() if name in changed}
        canonical = json.dumps(changed, sort_keys=True, separators=(",", ":"))
        return f"-{hashlib.sha256(canonical.encode()).hexdigest()[:8]}"

    def _default(self) -> dict[str, Any]:
        return Config(dataset=self.dataset, data_settings=self.data_settings, method=self.method).identity()

    def identity(self) -> dict[str, Any]:
        """Returns the settings that decide the result, as plain JSON values: all but where things lie."""
        model = user_model_name(self.model) if os.path.isabs(self.model) else self.model  # files go by their content
        settings = self.to_dict() | {"dataset": self.data_name, "model": model}
        return {key: value for key, value in settings.items() if key not in NON_IDENTITY_FIELDS}

    def as_baseline(self) -> Config:
        """Returns the settings of the baseline's run, which methods with the same dense training share."""
        return self.replace(method=BASELINE, settings={})

    def within(self, total: int) -> Config:
        """Returns the settings with as many epochs as take no more than `total` over all trainings of the run.

        Raises:
            ConfigError: the method takes more however few they are.
        """
        for epochs in range(total, 0, -1):
            if self.pruning.total_epochs(epochs) <= total:
                return self.replace(epochs=epochs)
        raise ConfigError(f"method {self.method} takes more than {total} epochs in all; raise --epochs")

    def to_dict(self) -> dict[str, Any]:
        """Returns the settings as plain JSON values; `Config.from_dict` reads them back."""
        return {field.name: _plain(getattr(self, field.name)) for field in dataclasses.fields(self)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Config:
        """Reads what `to_dict` wrote.

        Raises:
            ConfigError: a name is unknown or a value is out of range.
        """
        names = [field.name for field in dataclasses.fields(cls)]
        values = without_aliases(values)
        for key in values:
            if key not in names:
                raise ConfigError(f"unknown setting {key!r}: {choose_from(key, names)}")
        if "dataset" not in values:
            raise ConfigError(f"dataset is not set: {choose_from('', DATASETS)}")
        if not isinstance(values["dataset"], str):
            raise ConfigError(f"dataset must be text, got {values['dataset']!r:.40}")
        return cls(**values)

    @classmethod
    def stored(cls, values: Mapping[str, Any]) -> Config:
        """Reads the settings of a run, which may have come from anywhere: nothing that they name is opened.

        Raises:
            ConfigError: see `from_dict`, or data or a model of a user's own come without their fingerprint.
        """
        for name, known, settings in (("dataset", DATASETS, "data_settings"), ("model", MODELS, "model_settings")):
            value, given = values.get(name), values.get(settings)
            if not isinstance(value, str) or value in known or is_application(value):
                continue
            found = given.get(FINGERPRINT) if isinstance(given, Mapping) else None
            if not isinstance(found, str) or (name == "dataset" and not found):  # what it lacks would be looked up
                raise ConfigError(f"{name} {shortened(value)} has no fingerprint, which a run's always has")
        return cls.from_dict(values)

    def replace(self, **changes: Any) -> Config:
        """Returns a copy with some settings changed and checked again.

        With another data set, method, model or optimizer its settings start from their defaults, and with another
        method so does the scope unless it was another than the method's own.
        """
        changes = without_aliases(changes)
        if "epochs" in changes and self.warmup_epochs == _default_warmup(self.spec, self.epochs):
            changes.setdefault("warmup_epochs", None)
        if self.scope == self.pruning.scope and changes.get("method", self.method) != self.method:
            changes.setdefault("scope", None)
        for part, settings in (
            ("dataset", "data_settings"),
            ("method", "settings"),
            ("model", "model_settings"),
            ("optimizer", "optimizer_settings"),
            ("granularity", "channel_settings"),
        ):
            if changes.get(part, getattr(self, part)) != getattr(self, part):
                changes.setdefault(settings, {})
        if changes.get("granularity", self.granularity) != self.granularity:
            changes = {"pattern": None, "pooling": None} | changes
        return dataclasses.replace(self, spare=None, **changes)


Config.spare = property(lambda self: self.exclude, doc="The older name of `exclude`.")


def without_aliases(values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns settings under their present names.

    Raises:
        ConfigError: one is given under two names.
    """
    result = dict(values)
    for alias, name in ALIASES.items():
        if alias in result:
            given = result.pop(alias)
            result[name] = from_alias(name, result[name], alias, given) if name in result else given
    return result


def by_seed(configs: Iterable[Config]) -> list[list[Config]]:
    """Gathers runs that differ in nothing but their seed, in the order of their seeds."""
    trials: dict[str, list[Config]] = {}
    for config in sorted(configs, key=lambda config: config.seed):
        trials.setdefault(config.trial_id, []).append(config)
    return list(trials.values())


def model_defaults(name: str) -> dict[str, Any]:
    """Returns the settings of a model and their defaults."""
    parameters = inspect.signature(MODELS[name]).parameters.values()
    return {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}


def _model_defaults(spec: DatasetSpec, model: str) -> dict[str, Any]:
    return model_defaults(model) | (dict(spec.model_settings) if model == spec.model else {})


def _model_settings(model: str, defaults: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    for key in given:
        if key not in defaults:
            raise ConfigError(f"model {model} has no setting {key!r}: {choose_from(key, defaults)}")
    return _plain({**defaults, **given})


def _default_warmup(spec: DatasetSpec, epochs: int) -> float:
    return spec.warmup_epochs if spec.warmup_epochs < epochs else epochs / 2


def _optimizer_defaults(spec: DatasetSpec, optimizer: str) -> dict[str, Any]:
    return dict(spec.optimizer_settings) if optimizer == spec.optimizer else {}


@functools.lru_cache
def _default_identity(dataset: str, method: str) -> dict[str, Any]:
    return Config(dataset=dataset, method=method).identity()


def _plain(value: Any) -> Any:
    """Turns tuples and mappings into what JSON has."""
    if value is None or isinstance(value, (str, int, float)):  # most are, and looking for a Mapping takes time
        return value
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value
