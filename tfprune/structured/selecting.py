"""Which channels go where it is known how many stay. NumPy only."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tfprune.structured.channels import Channels


def least_important(
    scores: Mapping[str, np.ndarray], widths: Mapping[str, int], found: Channels | None = None
) -> dict[str, np.ndarray]:
    """Returns the places of the channels that go so that `widths` are left: the lowest scores, of equals the later.

    Of channels that were `found`, each layer that makes some of a group's keeps its best one.
    """
    groups = {} if found is None else found.free
    gone = {}
    for name, count in widths.items():
        order = np.argsort(-scores[name], kind="stable")
        parts = groups[name].parts if name in groups else ()
        if any(not np.isin(order[:count], part).any() for part in parts):
            best = [order[np.isin(order, part)][0] for part in parts]
            is_best = np.isin(order, best)
            order = np.concatenate([order[is_best], order[~is_best]])
        gone[name] = np.sort(order[count:])
    return gone
