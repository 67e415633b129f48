"""The labels of examples, as text: which task they are for, and what is learnt from them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tfprune.data._csv import as_float, with_point
from tfprune.data.objectives import AUTO, OBJECTIVES
from tfprune.utils.errors import DataError
from tfprune.utils.text import shortened

if TYPE_CHECKING:
    import numpy as np

    from tfprune.data.objectives._base import Targets

Cells = Mapping[str, "np.ndarray"]  # column of labels -> its texts, none of them missing
FEW = 20  # different numbers, at most, that are taken for classes without more ado
OF_A_CLASS = 3  # examples, at least, of each class where there are more of them
SEPARATOR = ";"  # of the labels in a cell
OFF, ON = {"0", "0.0", "false"}, {"1", "1.0", "true"}
MAX_CLASSES = 1000


def task_of(cells: Cells, path: str, decimal: str = ".") -> str:
    """Returns the task that labels are for: of one column or several.

    Raises:
        DataError: several columns are of no task.
    """
    if len(cells) > 1:
        return _task_of_several(cells, path, decimal)
    (own,) = cells.values()
    numbers = as_numbers(own, decimal)
    if numbers is None:
        return "multilabel" if has_lists(own) else "classification"
    return "classification" if are_classes(numbers) else "regression"


def _task_of_several(cells: Cells, path: str, decimal: str) -> str:
    for name, own in cells.items():
        if as_numbers(own, decimal) is None and not is_binary(own):
            example = next(cell for cell in own if as_numbers(_one(cell), decimal) is None)
            raise DataError(
                f"{path}: several columns of labels hold numbers (regression), or 0 and 1 each (multilabel); column "
                f"{name} has {shortened(example)!r}"
            )
    return "multilabel" if all(map(is_binary, cells.values())) else "regression"


def read_targets(task: str, cells: Cells, path: str, decimal: str = ".") -> Targets:
    """Reads labels for a task.

    Args:
        task: of `OBJECTIVES`, or `auto`.
        cells: see `Cells`.
        path: where they are from, for messages.
        decimal: what stands before the decimals of a number.

    Raises:
        DataError: they are no labels of the task.
    """
    return OBJECTIVES[task_of(cells, path, decimal) if task == AUTO else task].read(cells, path, decimal)


def as_numbers(cells: np.ndarray, decimal: str = ".") -> np.ndarray | None:
    """Returns texts as float64, None if one is no number."""
    import numpy as np

    try:
        return np.array([as_float(with_point(cell) if decimal == "," else cell) for cell in cells.tolist()], np.float64)
    except (ValueError, AttributeError):
        return None


def are_classes(numbers: np.ndarray) -> bool:
    """Returns whether numbers look like those of classes: few, or counted on from 0 or 1 with examples of each."""
    import numpy as np

    known, counts = np.unique(numbers, return_counts=True)
    if len(known) <= min(FEW, len(numbers) / 2):
        return True
    counted = known[0] in (0, 1) and np.array_equal(known, np.arange(known[0], known[0] + len(known)))
    return bool(counted and len(known) <= MAX_CLASSES and counts.min() >= OF_A_CLASS)


def is_binary(cells: np.ndarray) -> bool:
    """Returns whether texts are 0 and 1."""
    return {str(cell).lower() for cell in cells.tolist()} <= OFF | ON


def has_lists(cells: np.ndarray) -> bool:
    """Returns whether texts are lists of labels, of which more than half are in several different lists."""
    import numpy as np

    lists = {tuple(labels_in(cell)) for cell in cells.tolist()}
    parts = [part for own in lists for part in own]
    if not any(SEPARATOR in cell for cell in cells.tolist()) or len(set(parts)) < 2:
        return False
    _, counts = np.unique(parts, return_counts=True)
    return bool(np.mean(counts > 1) > 0.5)


def labels_in(cell: str) -> list[str]:
    """Returns the labels in a list.

    >>> labels_in("red; round"), labels_in(";")
    (['red', 'round'], [])
    """
    return [part.strip() for part in cell.split(SEPARATOR) if part.strip()]


def only_column(cells: Cells, task: str, path: str) -> tuple[str, np.ndarray]:
    """Returns the one column of labels that a task takes."""
    if len(cells) != 1:
        raise DataError(f"{path}: task {task} has one column of labels, got {', '.join(cells)}")
    ((name, own),) = cells.items()
    return name, own


def finite_numbers(cells: np.ndarray, name: str, path: str, decimal: str) -> np.ndarray:
    """Returns a column of numbers to predict.

    Raises:
        DataError: one is none, or all are the same.
    """
    found = as_numbers(cells, decimal)
    if found is None or not all(map(math.isfinite, found)):
        example = next(cell for cell in cells.tolist() if not _is_finite(cell, decimal))
        raise DataError(
            f"{path}: column {name} has {shortened(example)!r} among its labels, and task regression needs finite "
            "numbers; --task classification takes classes"
        )
    if found.min() == found.max():
        raise DataError(f"{path}: all labels in {name} are {found[0]:g}: there is nothing to learn")
    if max(abs(found)) > 1e30:
        raise DataError(f"{path}: column {name} holds numbers that are too large; divide it")
    return found


def _is_finite(cell: Any, decimal: str) -> bool:
    found = as_numbers(_one(cell), decimal)
    return found is not None and math.isfinite(found[0])


def _one(cell: Any) -> np.ndarray:
    import numpy as np

    return np.array([cell], object)
