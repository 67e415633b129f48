"""What a person trusts in this process, and in those that it starts: what was typed, never what a file says."""

from __future__ import annotations

import os

from tfprune.utils.errors import ModelError

TRUST = "TFPRUNE_TRUST"
FUNCTIONS = "TFPRUNE_TRUSTED_FUNCTIONS"  # a comma between them
ADVICE = "if you know where it comes from, allow that with --trust"


def trusted() -> bool:
    """Returns whether a person has said that stored models may execute code."""
    return os.environ.get(TRUST, "") not in ("", "0")


def trust() -> None:
    """Lets stored models execute code, in this process and in those that it starts."""
    os.environ[TRUST] = "1"


def trust_function(name: str) -> None:
    """Lets a function be imported that a person has typed, `PACKAGE.MODULE:FUNCTION`."""
    if name not in _functions():
        os.environ[FUNCTIONS] = ",".join([*_functions(), name])


def function_trusted(name: str) -> bool:
    """Returns whether a person has typed the name of this function, or trusts all."""
    return trusted() or name in _functions()


def check_function(name: str) -> None:
    """Raises `ModelError` if nobody has typed the name of a function that would be imported."""
    if not function_trusted(name):
        raise ModelError(
            f"model {name} would be imported, which executes code; if you know where that name comes from, add --model "
            f"{name} or --trust"
        )


def _functions() -> list[str]:
    return [name for name in os.environ.get(FUNCTIONS, "").split(",") if name]
