"""From a report to files: HTML, Markdown, CSV and JSON. No TensorFlow."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfprune.reporting.across_tables import TITLE as ACROSS
from tfprune.reporting.across_tables import across_notes, across_sections, across_tables
from tfprune.reporting.across_tables import as_json as across_json
from tfprune.reporting.comparison import remarks, several_sparsities
from tfprune.reporting.html_page import write_html
from tfprune.reporting.made import TITLE, Made, write_text
from tfprune.reporting.report import (
    Section,
    Summary,
    as_json,
    asked_verdicts,
    detail_tables,
    facts,
    layers_caption,
    notes,
    section_tables,
)
from tfprune.reporting.section_figures import figures_of
from tfprune.reporting.tables import (
    answer_table,
    latex_table,
    layer_table,
    legend,
    levels_table,
    markdown_table,
    verdict_table,
)
from tfprune.reporting.timing import KEY
from tfprune.reporting.verdicts import RULE, verdicts
from tfprune.utils.errors import ConfigError
from tfprune.utils.files import write_json, written_to
from tfprune.utils.text import csv_text, markdown

if TYPE_CHECKING:
    from tfprune.reporting.across import Across
    from tfprune.reporting.answers import Answer

Writer = Callable[[Sequence[Section], Path, Made], list[Path]]


def writer_for(path: Path) -> Writer:
    """Returns what writes a report to such a file, and then returns the paths that it wrote.

    Raises:
        ConfigError: no report is written with that suffix.
    """
    if path.suffix.lower() not in WRITERS:
        raise ConfigError(f"--out must end in one of {', '.join(WRITERS)}, got {str(path)!r}")
    return WRITERS[path.suffix.lower()]


def write_markdown(report: Sequence[Section], path: Path, made: Made) -> list[Path]:
    """Writes a Markdown page, and its figures as PNGs into a folder beside it."""
    from urllib.parse import quote_from_bytes

    from tfprune.reporting.figures.across import across_panels
    from tfprune.reporting.figures.rendering import write_png

    folder = path.with_name(f"{path.stem}_files")
    blocks, written = [f"# {TITLE}", markdown(f"{made.date}, tfprune {made.version}: {made.command}")], []
    for number, section in enumerate(report, start=1):
        blocks += [f"## {markdown(section.title)}"]
        blocks += ["\n".join(f"* {_answer(own)}" for own in section.answers)]
        blocks += ["\n".join(f"* {name}: {markdown(value)}" for name, value in facts(section).items())]
        blocks += [f"**{markdown(note)}**" for note in notes(section)]
        if judged := asked_verdicts(section):
            blocks += ["### Verdicts", markdown_table(verdict_table(judged)), " ".join(RULE)]
        for name, table in section_tables(section.summary).items():
            blocks += [f"### {name}", markdown_table(table)]
        blocks += [legend([section.summary])]
        for figure in figures_of(section):
            blocks += [f"### {figure.heading}"]
            if figure.panels:
                picture = folder / f"{number}-{figure.name}.png"
                with written_to(picture):
                    write_png(figure.panels, picture, title=section.title, columns=figure.columns)
                written += [picture]
                alt = markdown(" ".join(panel.alt for panel in figure.panels))
                blocks += [f"![{alt}]({quote_from_bytes(os.fsencode(folder.name))}/{picture.name})"]
            blocks += [figure.caption]
        blocks += ["### Sparsity per layer", markdown_table(layer_table(section.trials)), layers_caption(section)]
    found, reason = across_sections(report)
    if reason:
        blocks += [f"**{markdown(reason)}**"]
    if found:
        picture = folder / "across.png"
        with written_to(picture):
            write_png(across_panels(found), picture, title=ACROSS)
        written += [picture]
        blocks += [f"## {ACROSS}", f"![{ACROSS}]({quote_from_bytes(os.fsencode(folder.name))}/{picture.name})"]
        blocks += [*map(markdown_table, across_tables(found)), *map(markdown, across_notes(found))]
    return [write_text(path, "\n\n".join(blocks) + "\n"), *written]


def write_csv(report: Sequence[Section], path: Path, made: Made) -> list[Path]:
    """Writes one row per run that counts, numbers with all their digits."""
    rows = [
        {
            "comparison": section.title,
            "dataset": run.config.data_name,
            "model": run.config.model_name,
            "trial": trial,
            "method": run.config.method,
            "requested_sparsity": run.config.requested_sparsity,
            "seed": run.config.seed,
            **_cells(section.summary[trial]["seeds"][str(run.config.seed)]),
            "folder": str(run.folder.root),
        }
        for section in report
        for trial, runs in section.runs.items()
        for run in runs
    ]
    columns = list(dict.fromkeys(name for row in rows for name in row))  # tasks have metrics of their own
    return [write_text(path, csv_text(columns, [[row.get(name) for name in columns] for row in rows]))]


def _cells(row: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the row of a run with a number or a text in each cell."""
    timing = {f"{KEY}_{name}": value for name, value in (row.get(KEY) or {}).items()}
    flat = {name: value for name, value in row.items() if name not in (KEY, "uncounted")}
    return flat | timing | {"uncounted": "; ".join(row.get("uncounted") or ())}


def write_latex(report: Sequence[Section], path: Path, made: Made) -> list[Path]:
    """Writes the tables for a LaTeX document, to be taken in with `\\input`; it loads booktabs."""
    blocks = [f"% {TITLE} of tfprune: \\usepackage{{booktabs}} and \\input this file"]
    for section in report:
        judged = asked_verdicts(section)
        tables = {"Verdicts": verdict_table(judged)} if judged else {}
        tables |= section_tables(section.summary)
        blocks += [latex_table(table, f"{section.title}. {name}.") for name, table in tables.items()]
    return [write_text(path, "\n\n".join(blocks) + "\n")]


def write_json_report(report: Sequence[Section], path: Path, made: Made) -> list[Path]:
    """Writes what `tfprune compare --json` writes; of several comparisons all, as `comparisons`."""
    found, _ = across_sections(report)
    with written_to(path):
        write_json(path, comparisons_json(report, found))
    return [path]


def comparisons_json(report: Sequence[Section], found: Across | None, failures: Sequence[str] = ()) -> dict[str, Any]:
    """Returns the numbers of one comparison, or of several as `comparisons` and, over data sets, `across`."""
    comparisons = [as_json(section.results, section.summary, failures) for section in report]
    if len(comparisons) == 1:
        return comparisons[0]
    return {"comparisons": comparisons} | ({"across": across_json(found)} if found else {})


def draw_across(found: Across, folder: Path) -> list[Path]:
    """Draws a comparison over data sets into a folder."""
    from tfprune.reporting.figures.across import across_panels
    from tfprune.reporting.figures.rendering import write_png

    path = folder / "across.png"
    write_png(across_panels(found), path, title=f"{len(found.datasets)} data sets")
    return [path]


def page_block(summary: Summary, source: str) -> str:
    """Returns what a page of results shows of a comparison: the answer, the verdicts, and all else folded.

    Args:
        summary: what `comparison.summarise` returns.
        source: a line on where the numbers come from.
    """
    several = several_sparsities(summary.values())
    judged = verdicts(summary)
    shown = [levels_table(summary) if several else answer_table(summary)]
    folded = [*([answer_table(summary)] if several else []), *([verdict_table(judged)] if judged else [])]
    inner = [markdown_table(table) for table in (*folded, *detail_tables(summary))]
    details = ("<details>", "<summary>All numbers, verdicts, tests and costs</summary>", *inner, legend([summary]))
    tables = [markdown_table(table) for table in shown]
    return "\n\n".join((*tables, source, *map(markdown, remarks(summary)), *details, "</details>"))


def _answer(own: Answer) -> str:
    trial = f" **{markdown(own.trial)}**:" if own.trial else ""
    return f"{markdown(own.question)}:{trial} {markdown(own.text)}"


WRITERS: dict[str, Writer] = {
    ".html": write_html,
    ".md": write_markdown,
    ".csv": write_csv,
    ".json": write_json_report,
    ".tex": write_latex,
}
