"""The tables and figures of a report for papers: LaTeX, CSV, SVG and PDF, each in a file of its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tfprune.reporting.made import Made, write_text
from tfprune.reporting.report import Section, asked_verdicts, section_tables
from tfprune.reporting.section_figures import figures_of
from tfprune.reporting.tables import latex_table, layer_table, verdict_table
from tfprune.utils.files import written_to
from tfprune.utils.text import csv_text

VECTORS = (".svg", ".pdf")


def write_sheets(report: Sequence[Section], folder: Path, made: Made) -> list[Path]:
    """Writes each table as `.tex` (it needs booktabs) and `.csv`, each figure as `.svg` and `.pdf`; returns the paths.

    Files are named by the place of the comparison in the report, from 1, and by what they show: `1-results.tex`.

    Raises:
        RunError: the folder cannot be written.
    """
    from tfprune.reporting.figures.rendering import write_vector

    written = []
    for number, section in enumerate(report, start=1):
        judged = asked_verdicts(section)
        tables = section_tables(section.summary) | {"Sparsity per layer": layer_table(section.trials)}
        tables |= {"Verdicts": verdict_table(judged)} if judged else {}
        for name, table in tables.items():
            headers, rows = table
            stem = f"{number}-{name.lower().replace(',', '').replace(' ', '-')}"
            head = f"% {made.date}, tfprune {made.version}; needs \\usepackage{{booktabs}}\n"
            tex = head + latex_table(table, f"{section.title}. {name}.") + "\n"
            written += [write_text(folder / f"{stem}.tex", tex)]
            written += [write_text(folder / f"{stem}.csv", csv_text(headers, rows))]
        for figure in figures_of(section):
            for path in [folder / f"{number}-{figure.name}{suffix}" for suffix in VECTORS] if figure.panels else ():
                with written_to(path):
                    write_vector(figure.panels, path, title=section.title, columns=figure.columns)
                written += [path]
    return written
