"""Arrays of any framework, and structures of them as models take them: dictionaries, lists and tuples."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np


def as_numpy(values: Any) -> np.ndarray:
    """Returns an array or a tensor as an array; those of PyTorch may require gradients or lie on another device."""
    import numpy as np

    return np.asarray(values.detach().cpu() if hasattr(values, "detach") else values)


def map_tree(function: Callable[..., Any], tree: Any, *others: Any) -> Any:
    """Returns a structure with each leaf, and those in its place in the others, replaced by what a function makes.

    >>> map_tree(lambda a, b: a + b, {"x": [1, 2]}, {"x": [10, 20]})
    {'x': [11, 22]}
    """
    if isinstance(tree, Mapping):
        return type(tree)(
            (key, map_tree(function, value, *(own[key] for own in others))) for key, value in tree.items()
        )
    if isinstance(tree, (list, tuple)):
        values = [map_tree(function, *own) for own in zip(tree, *others, strict=True)]
        return type(tree)(*values) if hasattr(tree, "_fields") else type(tree)(values)
    return function(tree, *others)


def leaves(tree: Any) -> Iterator[Any]:
    """Yields what is in a structure and no structure itself.

    >>> list(leaves({"x": [1, (2, 3)]}))
    [1, 2, 3]
    """
    if isinstance(tree, Mapping):
        tree = tree.values()
    elif not isinstance(tree, (list, tuple)):
        yield tree
        return
    for own in tree:
        yield from leaves(own)
