"""Whether bars of progress are drawn."""

from __future__ import annotations

import logging


def bars_off() -> bool | None:
    """Returns what `tqdm` takes as `disable`: bars on a terminal alone, and none where warnings are off too."""
    return True if logging.getLogger("tfprune").level > logging.WARNING else None
