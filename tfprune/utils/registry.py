"""Names of data sets, models and methods, each resolved to its code on first use.

A registry is a table of `name: "module:attribute"` lines. Nothing is imported until a name is
looked up, which keeps `tfprune --help` free of TensorFlow.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any

from tfprune.utils.errors import ConfigError, choose_from


class Registry:
    """Maps names to objects that are imported when they are first asked for.

    >>> Registry("codec", {"json": "json:dumps"})["json"]([1])
    '[1]'
    """

    def __init__(self, kind: str, entries: dict[str, str]) -> None:
        self.kind = kind
        self._entries = dict(entries)

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __getitem__(self, name: str) -> Any:
        """Returns the object called `name`.

        Raises:
            ConfigError: there is none; the message lists the choices, nearest match first.
        """
        if not isinstance(name, str) or name not in self._entries:
            raise ConfigError(f"unknown {self.kind} {name!r}: {choose_from(name, self, self.kind)}")
        module, _, attribute = self._entries[name].partition(":")
        return getattr(importlib.import_module(module), attribute)
