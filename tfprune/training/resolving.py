"""What a person asks for in a training of their own, checked: a method, where it ranks, and what goes as one."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from tfprune.methods import METHODS
from tfprune.methods._base import Method
from tfprune.methods._dry_run import Step, Training, record_steps
from tfprune.pruning.patterns import NOfM, Pattern, check_every_m, pattern_of
from tfprune.structured.widths import check_channel_settings
from tfprune.training.setting_checks import GRANULARITIES, REMOVING, SCOPES, check_removing_method, check_weight_scope
from tfprune.training.settings_files import with_sparsity
from tfprune.utils.checks import check_choice, check_whole
from tfprune.utils.errors import ConfigError


@dataclasses.dataclass(frozen=True)
class ResolvedMethod:
    """A method for a training up to some epochs.

    Attributes:
        name, method: of it, with its settings.
        epochs: up to which it trains.
        scope: of the ranking.
        pattern: what goes as one; None: single weights.
        granularity: what is pruned.
        channel_settings: of the granularities `filter` and `branch`.
    """

    name: str
    method: Method
    epochs: int
    scope: str
    pattern: Pattern | None
    granularity: str = "weight"
    channel_settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def removes(self) -> bool:
        """Whether what is pruned is taken out of the model, and not zeroed."""
        return self.granularity in REMOVING

    def steps(self) -> list[Step]:
        """Returns what it does, in order."""
        return record_steps(self.method, self.epochs)


def resolve_method(
    name: str,
    sparsity: float | None,
    settings: Mapping[str, Any] | None,
    epochs: int,
    scope: str | None,
    granularity: str,
    pattern: str | None,
    pooling: str | None,
    channels: Mapping[str, Any] | None = None,
) -> ResolvedMethod:
    """Returns a method with its settings, if it can be used without a run; see `train` for the arguments."""
    kind = METHODS[name]
    check_choice("granularity", granularity, GRANULARITIES)
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
    epochs = check_whole("epochs", epochs, least=1)
    method.check(epochs)
    if method.width_reduction or method.phase_epochs(epochs) != epochs:
        raise ConfigError(
            f"method {name} is there for comparisons of runs: tfprune.train(Config(method={name!r}, ...))"
        )
    own = Method.scope if granularity in REMOVING else method.scope
    where = own if scope is None else check_choice("scope", scope, SCOPES)
    of_channels = _channel_settings(channels or {}, granularity)
    if granularity in REMOVING:
        check_removing_method(granularity, method.settings(), where)
    else:
        check_weight_scope(where)
    if isinstance(units, NOfM):
        check_every_m(units, method.requested_sparsity, method.pruning_events, where)
    return ResolvedMethod(name, method, epochs, where, units, granularity, of_channels)


def _channel_settings(given: Mapping[str, Any], granularity: str) -> dict[str, Any]:
    if not isinstance(given, Mapping):
        raise ConfigError(f"channels must be a table of names and values, got {given!r}")
    if granularity in REMOVING:
        return check_channel_settings(given, granularity)
    for key in given:
        raise ConfigError(f"channels.{key} is of granularity {' or '.join(REMOVING)}, not {granularity}")
    return {}


def check_rates(steps: Sequence[Step], learning_rate: float | None) -> None:
    """Refuses trainings that take hold of the learning rate where that is None, see `Adapter.learning_rate`."""
    if learning_rate is not None:
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
        raise ConfigError(
            f"{moved} needs an optimizer with a constant learning rate: the model's has a schedule, or there is none"
        )


def check_start(asked: ResolvedMethod, initial_epoch: int) -> None:
    """Raises `ConfigError` if a method does something in epochs that a training leaves out."""
    initial_epoch = check_whole("initial_epoch", initial_epoch, least=0)
    if initial_epoch >= asked.epochs:
        raise ConfigError(f"initial_epoch must be below the {asked.epochs} epochs, got {initial_epoch}")
    trainings = [step for step in asked.steps() if isinstance(step, Training)]
    at = {epoch for own in trainings for epoch in (*own.events, *own.rewound) if 0 < epoch <= initial_epoch}
    if at:
        raise ConfigError(
            f"method {asked.name} has something to do at the end of epoch {min(at)}, which initial_epoch="
            f"{initial_epoch} leaves out: train the {asked.epochs - initial_epoch} epochs that are left from 0 on"
        )
