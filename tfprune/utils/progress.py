"""Progress bars, on terminals alone."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tqdm import tqdm

USUAL_WIDTH = 80  # characters, of terminals that report none


def progress_bar(iterable: Iterable[Any] | None = None, *, wanted: bool = True, **how: Any) -> tqdm:
    """Returns a bar as wide as the terminal; there is none where stderr is none, and none where warnings are off too.

    Args:
        iterable: whose items it counts.
        wanted: False for what takes no time.
        how: what `tqdm` takes besides.
    """
    from tqdm import tqdm

    off = not wanted or logging.getLogger("tfprune").level > logging.WARNING
    width = {"dynamic_ncols": True} if _stderr_width() != 0 else {"ncols": USUAL_WIDTH}
    return tqdm(iterable, disable=off or None, **width, **how)


def _stderr_width() -> int | None:
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns
    except (OSError, ValueError, AttributeError):  # no terminal, or no stderr
        return None
