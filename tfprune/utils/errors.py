"""What can go wrong, split by who can fix it.

`TfpruneError` and its children are fixed by the user: the command line shows their one line and
exits with code 2. `SparsityError` is a broken promise of this package and keeps its traceback.
"""

from __future__ import annotations

import difflib
import zipfile
import zlib
from collections.abc import Iterable

from tfprune.utils.words import meant


class TfpruneError(Exception):
    """Something that the user can fix; its message is one line that says how.

    >>> import tfprune
    >>> try:
    ...     tfprune.Config(dataset="pengiuns")
    ... except tfprune.TfpruneError as error:
    ...     print(error)
    unknown data set 'pengiuns': did you mean penguins? Choices: penguins, fashion_mnist, flowers, cifar10
    """


class ConfigError(TfpruneError):
    """A setting is unknown, out of range or at odds with another one."""


class DataError(TfpruneError):
    """The data cannot be read, or do not have the columns, types or sizes that are needed."""


class ModelError(TfpruneError):
    """A model cannot be loaded, copied or pruned."""


class TrainingError(TfpruneError):
    """A training cannot go on, e.g. because its loss is no number any more."""


class DivergedError(TrainingError):
    """The loss or the weights of a training are no numbers any more. Comparisons count such a run, at chance."""


class RunError(TfpruneError):
    """A run folder cannot be written, or does not hold what it should."""


class SparsityError(RuntimeError):
    """A model does not have the sparsity that was asked for. Always a bug, never bad input."""


# What NumPy and zipfile raise of files that are cut short, altered, encrypted, or that claim sizes beyond all memory.
BROKEN_ARCHIVE = (
    *(OSError, ValueError, EOFError, RuntimeError, MemoryError, OverflowError),
    *(zipfile.BadZipFile, zlib.error),
)


def choose_from(name: object, choices: Iterable[str], kind: str = "") -> str:
    """Spells out what could have been meant by an unknown `name`, nearest match first.

    Args:
        name: what was written.
        choices: that there are.
        kind: of name, for words that people bring from elsewhere, see `words.MEANT`.

    >>> choose_from("dinamic", ["dynamic", "pruned"])
    'did you mean dynamic? Choices: dynamic, pruned'
    >>> choose_from("imp", ["dynamic", "lottery"], "method")
    'did you mean lottery? Choices: dynamic, lottery'
    """
    choices = list(choices)
    listed = f"Choices: {', '.join(choices)}" if choices else "There are no choices"
    known = meant(kind, name)
    near = [known] if known else difflib.get_close_matches(str(name), choices, n=1)
    return f"did you mean {near[0]}? {listed}" if near else listed
