"""How many channels stay: rounding, and the settings of pruning that removes channels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tfprune.pruning.events import PruningEvent, nominal_sparsity
from tfprune.utils.checks import check_choice, check_names, check_whole
from tfprune.utils.errors import ConfigError, SparsityError, choose_from

SCOPES = ("layer", "global", "isomorphic")  # see `ranking`
FLOOR = 0.1  # least share of a group's channels that stays when groups compete
MULTIPLE = 8  # widths that are no multiple of it made networks slower than unpruned ones
CRITERIA = {
    "filter": ("l1", "l2", "fpgm", "taylor", "taylor2", "bn", "activation", "random"),  # see `scoring.CRITERIA`
    "branch": ("l1", "l2", "bn", "taylor", "random"),  # see `branches.CRITERIA`
}
DATA_CRITERIA = ("taylor", "taylor2", "activation")  # those that look at examples
SLOTS = ("keep", "reset")
DROPOUT = ("keep", "scale")
DEFAULTS: dict[str, dict[str, Any]] = {
    "filter": {"criterion": "l1", "multiple": MULTIPLE, "slots": "keep", "dropout": "keep", "recalibrate": 0},
    "branch": {"criterion": "taylor", "order": (), "slots": "keep", "recalibrate": 0},
}  # by granularity


def check_channel_settings(given: Mapping[str, Any], granularity: str = "filter") -> dict[str, Any]:
    """Returns the settings of pruning that removes channels or residual branches, defaults filled in.

    Args:
        given: `criterion`, what channels or branches are ranked by (see `tfprune.shrink`); `slots`, whether what the
            optimizer remembers of the weights that stay is kept (`keep`) or emptied (`reset`); `recalibrate`, the
            training examples by which BatchNorm's statistics are taken anew when something has gone, see
            `adjusting.recalibrate`, 0 for none. Of channels alone: `multiple`, what widths are rounded to a multiple
            of; `dropout`, whether its rate stays (`keep`) or shrinks with the channels that it sees (`scale`), see
            `adjusting.Dropouts`. Of branches alone: `order`, the names of those that go before all others.
        granularity: `filter` or `branch`.
    """
    defaults = DEFAULTS[granularity]
    for key in given:
        if key not in defaults:
            raise ConfigError(f"unknown setting 'channels.{key}': {choose_from(key, defaults)}")
    settings = defaults | dict(given)
    for name, choices in (("criterion", CRITERIA[granularity]), ("slots", SLOTS), ("dropout", DROPOUT)):
        if name in settings:
            check_choice(f"channels.{name}", settings[name], choices)
    if "order" in settings:
        settings["order"] = check_names("channels.order", settings["order"])
    least = {"multiple": 1, "recalibrate": 0}
    return settings | {
        name: check_whole(f"channels.{name}", settings[name], least=n) for name, n in least.items() if name in settings
    }


def width(size: int, keep: float, multiple: int) -> int:
    """Returns how many of `size` channels stay: `keep` of them, to the nearest multiple.

    >>> [width(64, 0.5, 8), width(60, 0.5, 8), width(20, 0.1, 8), width(6, 0.5, 8), width(10, 0.31, 1)]
    [32, 32, 8, 6, 3]
    """
    return min(size, max(1, round(size * keep / multiple)) * multiple)


def expected_widths(
    sizes: Mapping[str, int], events: Iterable[PruningEvent], multiples: Mapping[str, int]
) -> dict[str, int]:
    """Returns how many channels of each group remain after `events`, however many they are.

    It is the share that they leave in all that is rounded, to a multiple of each group's own, so that no error adds up
    over the cuts.

    >>> expected_widths({"a": 64, "b": 20}, [PruningEvent(rate=0.5), PruningEvent(rate=0.5)], {"a": 8, "b": 8})
    {'a': 16, 'b': 8}
    """
    events = tuple(events)
    if not events:
        return dict(sizes)
    return {name: width(size, 1 - nominal_sparsity(events), multiples[name]) for name, size in sizes.items()}


def check_widths(found: Mapping[str, int], expected: Mapping[str, int], where: str) -> None:
    """Compares the channels that are there with those that were asked for.

    Raises:
        SparsityError: a group has another number of channels.
    """
    for name, count in expected.items():
        if found.get(name) != count:
            raise SparsityError(f"{where}: {name} has {found.get(name)} channels where {count} were asked for")
