"""Which channels go where it is known how many stay. NumPy only."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tfprune.structured.channels import Channels


def least_important(
    scores: Mapping[str, np.ndarray], widths: Mapping[str, int], found: Channels | None = None
) -> dict[str, np.ndarray]:
    """Returns the places of the channels that go so that `widths` are left: the lowest scores, of equals the later.

    Of channels that were `found`, each layer that makes some of a group's keeps its best one, and what is normalized
    its best two, if need be beyond the width.
    """
    groups = {} if found is None else found.free
    gone = {}
    for name, count in widths.items():
        order = np.argsort(-scores[name], kind="stable")
        group = groups.get(name)
        if group and group.emptied(order[count:]):
            best = [order[np.isin(order, part)][:1] for part in group.parts]
            best += [order[np.isin(order, pair)][:2] for pair in group.pairs]
            is_best = np.isin(order, np.concatenate(best))
            order = np.concatenate([order[is_best], order[~is_best]])
            count = max(count, int(is_best.sum()))
        gone[name] = np.sort(order[count:])
    return gone
