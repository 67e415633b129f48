"""Checks that settings share. Each raises `ConfigError` naming the setting, the range and the value."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Any

from tfprune.utils.errors import ConfigError, choose_from

MAX_LETTERS = 10_000  # of a text among settings
MAX_LEVELS = 8  # of lists and tables in each other
LARGEST = 1e300  # of numbers that are set


def check_plain(name: str, value: object, levels: int = MAX_LEVELS) -> None:
    """Raises `ConfigError` unless a setting, with all that is in it, is of a size and a depth that settings have."""
    if isinstance(value, str):
        if len(value) > MAX_LETTERS:
            raise ConfigError(f"{name} must have at most {MAX_LETTERS:,} letters, got {len(value):,}")
        if "\0" in value or not (value.isascii() or value.encode(errors="replace").decode() == value):
            raise ConfigError(f"{name} must be text that UTF-8 can hold, without zeros, got {value!r}")
    elif isinstance(value, (int, float)):
        if not abs(value) <= LARGEST:
            raise ConfigError(f"{name} must be a finite number of at most {LARGEST:g}, got {_short(value)}")
    elif isinstance(value, (Mapping, list, tuple)):
        if not levels:
            raise ConfigError(f"{name} must have at most {MAX_LEVELS} levels of lists and tables")
        items = value.items() if isinstance(value, Mapping) else ((name, item) for item in value)
        for key, item in items:
            check_plain(f"{name}.{key}" if isinstance(value, Mapping) else name, item, levels - 1)


def _short(value: float) -> str:
    return "a number with hundreds of digits" if isinstance(value, int) else str(value)


def as_number(name: str, value: object) -> float:
    """Reads a number, also from text such as `"0.3"` or `"1/3"`; percentages are refused by name."""
    if isinstance(value, bool):
        raise ConfigError(f"{name} must be a number, got {value}")
    if isinstance(value, (int, float)):
        return value
    text = str(value).strip()
    if text.endswith("%"):
        try:
            share = float(text[:-1]) / 100
        except ValueError:
            share = None
        hint = f": write {share:g}" if share is not None else ""
        raise ConfigError(f"{name} must be a fraction, not a percentage, got {text}{hint}")
    try:
        return float(Fraction(text)) if "/" in text else float(text)
    except (ValueError, ZeroDivisionError):
        raise ConfigError(f"{name} must be a number, got {text!r}") from None


def check_fraction(name: str, value: object, *, above_zero: bool = False) -> float:
    """Returns `value` as a float in [0, 1), or in (0, 1) if `above_zero`."""
    number = as_number(name, value)
    span = "(0, 1)" if above_zero else "[0, 1)"
    if not 0.0 <= number < 1.0 or (above_zero and number == 0.0):
        hint = f"; for {number:g} % write {number / 100:g}" if 1.0 < number < 100.0 else ""
        raise ConfigError(f"{name} must be a fraction in {span}, got {number:g}{hint}")
    return float(number)


def check_whole(name: str, value: object, *, least: int, most: int | None = None) -> int:
    """Returns `value` as a whole number of at least `least`, and at most `most`."""
    number = as_number(name, value)
    if number != number or abs(number) == float("inf") or number != int(number) or number < least:
        raise ConfigError(f"{name} must be a whole number of at least {least}, got {value}")
    if most is not None and number > most:
        raise ConfigError(f"{name} must be a whole number of at most {most:,}, got {value}")
    return int(number)


def check_least(name: str, value: object, least: float) -> float:
    """Returns `value` as a finite float of at least `least`."""
    number = as_number(name, value)
    if not least <= number < float("inf"):
        raise ConfigError(f"{name} must be a finite number of at least {least:g}, got {value}")
    return float(number)


def check_positive(name: str, value: object) -> float:
    """Returns `value` as a finite float above zero."""
    number = as_number(name, value)
    if not 0.0 < number < float("inf"):
        raise ConfigError(f"{name} must be a finite number above 0, got {value}")
    return float(number)


def check_switch(name: str, value: object) -> bool:
    """Returns `value` if it is true or false."""
    if not isinstance(value, bool):
        raise ConfigError(f"{name} must be true or false, got {value}")
    return value


def check_text(name: str, value: object) -> str:
    """Returns `value` if it is text."""
    if not isinstance(value, str):
        raise ConfigError(f"{name} must be text, got {value!r}")
    return value


def check_choice(name: str, value: object, choices: Iterable[str]) -> str:
    """Returns `value` if it is one of `choices`."""
    choices = list(choices)
    if value not in choices:
        raise ConfigError(f"unknown {name} {value!r}: {choose_from(value, choices, name)}")
    return str(value)


def check_names(name: str, value: object) -> tuple[str, ...]:
    """Returns a list of names, also from text with commas."""
    items = value.split(",") if isinstance(value, str) else value
    if not isinstance(items, (list, tuple)) or not all(isinstance(item, str) for item in items):
        raise ConfigError(f"{name} must be a list of names, got {value!r}")
    return tuple(item.strip() for item in items if item.strip())


def from_alias(name: str, value: Any, alias: str, other: Any) -> Any:
    """Returns the value of a setting, which may be given under an older name instead.

    Raises:
        ConfigError: it is given under both.
    """
    if not other:
        return value
    if value and value != other:
        raise ConfigError(f"{alias} is an older name of {name}, and both are given: leave {alias} out")
    return other


def check_encoding(name: str, value: object) -> None:
    """Raises `ConfigError` unless a setting is "" or an encoding of text that Python knows."""
    try:
        known = isinstance(value, str) and (not value or "a".encode(value).decode(value) == "a")
    except (LookupError, UnicodeError):
        known = False
    if not known:
        raise ConfigError(f"{name} must be an encoding, such as utf-8, cp1252, latin-1 or utf-16, got {value!r}")


def check_whole_numbers(name: str, value: object) -> tuple[int, ...]:
    """Returns a list of whole numbers of at least 1, also from one number or text with commas."""
    items = value.split(",") if isinstance(value, str) else [value] if isinstance(value, (int, float)) else value
    if not isinstance(items, (list, tuple)):
        raise ConfigError(f"{name} must be a list of whole numbers, got {value!r}")
    return tuple(check_whole(name, item, least=1, most=2**31 - 1) for item in items)


def check_events(name: str, value: object) -> tuple[float, ...]:
    """Returns fractions of a run, each in (0, 1) and larger than the one before."""
    items = value.split(",") if isinstance(value, str) else value
    if isinstance(items, (int, float)):
        items = (items,)
    if not isinstance(items, Iterable):
        raise ConfigError(f"{name} must be a list of fractions of the run, got {value!r}")
    events = tuple(check_fraction(name, item, above_zero=True) for item in items)
    if not events:
        raise ConfigError(f"{name} must hold at least one fraction of the run in (0, 1), got none")
    if list(events) != sorted(set(events)):
        raise ConfigError(f"{name} must increase, got {', '.join(f'{e:g}' for e in events)}")
    return events
