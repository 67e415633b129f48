"""What numbers are divided by so that they are standardised."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

ROUNDING = 1e-14  # of the largest number: a deviation below it is that of the last digits


def deviation_of(values: np.ndarray) -> np.ndarray:
    """Returns the standard deviation along the first axis as float64, 1 where the numbers are all the same.

    Equal numbers can have a mean that is none of them: a hundred times 0.1 deviate by 3e-17 from theirs. Divided by
    that, any other number would be astronomical.
    """
    import numpy as np

    deviation = values.std(axis=0, dtype=np.float64)
    return np.where(deviation <= ROUNDING * abs(values).max(axis=0), 1.0, deviation)
