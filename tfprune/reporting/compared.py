"""A comparison of runs as Python sees it: what `tfprune.compare` returns. No TensorFlow."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

from tfprune.experiments.results import Result
from tfprune.reporting.diverged import Diverged
from tfprune.reporting.report import Section, result_tables, sections
from tfprune.reporting.tables import markdown_table
from tfprune.utils.errors import RunError
from tfprune.utils.notebook import html_table
from tfprune.utils.text import Table, printable


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Runs side by side; prints itself, also in a notebook.

    Attributes:
        sections: for runs that are set up alike but for method and seed, what they came to: `title`, `trials` (trial ->
            its runs), `summary` (trial -> means, standard deviations, differences to unpruned) and `verdicts`.
        failures: a line on each run that is missing.

    >>> import tempfile
    >>> import tfprune
    >>> config = tfprune.Config(dataset="penguins", epochs=3, out=tempfile.mkdtemp())
    >>> done = tfprune.compare([tfprune.train(config)])
    >>> done.methods, [section.title for section in done.sections]
    (('dynamic',), ['penguins: mlp, 3 epochs'])
    """

    sections: Sequence[Section]
    failures: Sequence[str] = ()

    @classmethod
    def of(
        cls, results: Iterable[Result], failures: Iterable[str] = (), diverged: Iterable[Diverged] = ()
    ) -> Comparison:
        """Compares finished runs; those that diverged count at chance.

        Raises:
            RunError: there is none.
        """
        found, failures = list(results), tuple(failures)
        if not found:
            reason = f" ({failures[0]})" if failures else ""
            raise RunError(f"there is no finished run to compare{reason}")
        return cls(tuple(sections(found, diverged)), failures)

    @property
    def methods(self) -> tuple[str, ...]:
        """The trials of all sections: methods, with what tells those of one method apart."""
        return tuple(dict.fromkeys(name for section in self.sections for name in section.summary))

    def tables(self) -> list[Table]:
        """Returns headers and rows of all tables, section by section."""
        return [table for section in self.sections for table in result_tables(section.summary)]

    def __str__(self) -> str:
        parts = []
        for section in self.sections:
            parts += [printable(section.title), *map(markdown_table, result_tables(section.summary))]
        return "\n\n".join((*parts, *(f"Failed: {printable(line)}" for line in self.failures)))

    def _repr_html_(self) -> str:
        return "".join(html_table(rows, headers) for headers, rows in self.tables())
