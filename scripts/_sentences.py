from collections.abc import Iterator
from typing import Any

NO_DATA = ()
QUOTED = ()
SECTIONS = {}


def sentences(tables: dict[str, Any]) -> Iterator[tuple[str, str]]:
    yield from ()
