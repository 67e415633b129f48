"""From a report to files: HTML, Markdown, CSV and JSON. No TensorFlow."""

from __future__ import annotations

import base64
import dataclasses
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfprune.data.objectives import DEFAULT
from tfprune.methods import BASELINE
from tfprune.reporting.across_tables import TITLE as ACROSS
from tfprune.reporting.across_tables import across_notes, across_sections, across_tables
from tfprune.reporting.across_tables import as_json as across_json
from tfprune.reporting.comparison import remarks
from tfprune.reporting.diverged import with_finished_runs
from tfprune.reporting.measures import measure_of
from tfprune.reporting.report import Section, Summary, as_json, detail_tables, facts, notes
from tfprune.reporting.tables import (
    answer_table,
    comparison_table,
    cost_table,
    latex_table,
    layer_sparsities,
    layer_table,
    legend,
    levels_table,
    markdown_table,
    significance_table,
    trade_table,
    verdict_table,
)
from tfprune.reporting.verdicts import RULE, verdicts
from tfprune.utils.errors import ConfigError
from tfprune.utils.files import atomic_write, write_json, written_to
from tfprune.utils.text import Table, csv_text, markdown, printable

if TYPE_CHECKING:
    from tfprune.reporting.across import Across
    from tfprune.reporting.figures.panels import Panel, Theme

TITLE = "Pruning report"
Writer = Callable[[Sequence[Section], Path], list[Path]]


@dataclasses.dataclass(frozen=True)
class Figure:
    """Panels that belong together, and what is said of them.

    Attributes:
        name: of its file, where it has one.
        heading, caption: above and below.
        panels: what is drawn; none if there is nothing to draw, which `caption` then explains.
        columns: how many of them fit side by side.
        legend: whether each panel names what it draws; else the page does so once.
    """

    name: str
    heading: str
    caption: str
    panels: Sequence[Panel]
    columns: int = 2
    legend: bool = True


def writer_for(path: Path) -> Writer:
    """Returns what writes a report to such a file, and then returns the paths that it wrote.

    Raises:
        ConfigError: no report is written with that suffix.
    """
    if path.suffix.lower() not in WRITERS:
        raise ConfigError(f"--out must end in one of {', '.join(WRITERS)}, got {str(path)!r}")
    return WRITERS[path.suffix.lower()]


def write_html(report: Sequence[Section], path: Path) -> list[Path]:
    """Writes one page that needs no other file, no network and no script."""
    import jinja2

    from tfprune.reporting.figures.panels import DARK, LIGHT

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("tfprune.reporting", "templates"),
        autoescape=True,
        finalize=_shown,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["unbroken"] = lambda text: text.replace(" %", "\N{NO-BREAK SPACE}%")
    page = environment.get_template("report.html").render(
        title=TITLE,
        sections=[_as_page(section) for section in report],
        across=_across_page(report),
        rule=RULE,
        legend=legend(section.summary for section in report),
        light=LIGHT,
        dark=DARK,
    )
    return [_write_text(path, page)]


def write_markdown(report: Sequence[Section], path: Path) -> list[Path]:
    """Writes a Markdown page, and its figures as PNGs into a folder beside it."""
    from urllib.parse import quote_from_bytes

    from tfprune.reporting.figures.rendering import write_png

    folder = path.with_name(f"{path.stem}_files")
    blocks, written = [f"# {TITLE}"], []
    for number, section in enumerate(report, start=1):
        blocks += [f"## {markdown(section.title)}"]
        blocks += ["\n".join(f"* {name}: {markdown(value)}" for name, value in facts(section).items())]
        blocks += [f"**{markdown(note)}**" for note in notes(section)]
        if section.verdicts:
            blocks += ["### Verdicts", markdown_table(verdict_table(section.verdicts)), " ".join(RULE)]
        for name, table in _tables(section.summary).items():
            blocks += [f"### {name}", markdown_table(table)]
        blocks += [legend([section.summary])]
        for figure in _figures(section):
            blocks += [f"### {figure.heading}"]
            if figure.panels:
                picture = folder / f"{number}-{figure.name}.png"
                with written_to(picture):
                    write_png(figure.panels, picture, title=section.title, columns=figure.columns)
                written += [picture]
                alt = markdown(" ".join(panel.alt for panel in figure.panels))
                blocks += [f"![{alt}]({quote_from_bytes(os.fsencode(folder.name))}/{picture.name})"]
            blocks += [figure.caption]
        blocks += ["### Sparsity per layer", markdown_table(layer_table(section.trials)), LAYERS_CAPTION]
    found, reason = across_sections(report)
    if reason:
        blocks += [f"**{markdown(reason)}**"]
    if found:
        picture = folder / "across.png"
        with written_to(picture):
            write_png(_across_panels(found), picture, title=ACROSS)
        written += [picture]
        blocks += [f"## {ACROSS}", f"![{ACROSS}]({quote_from_bytes(os.fsencode(folder.name))}/{picture.name})"]
        blocks += [*map(markdown_table, across_tables(found)), *map(markdown, across_notes(found))]
    return [_write_text(path, "\n\n".join(blocks) + "\n"), *written]


def write_csv(report: Sequence[Section], path: Path) -> list[Path]:
    """Writes one row per run, numbers with all their digits."""
    rows = [
        {
            "comparison": section.title,
            "dataset": run.config.data_name,
            "model": run.config.model_name,
            "trial": trial,
            "method": run.config.method,
            "requested_sparsity": run.config.requested_sparsity,
            "seed": run.config.seed,
            **section.summary[trial]["seeds"][str(run.config.seed)],
            "folder": str(run.folder.root),
        }
        for section in report
        for trial, runs in section.trials.items()
        for run in runs
    ]
    columns = list(dict.fromkeys(name for row in rows for name in row))  # tasks have metrics of their own
    return [_write_text(path, csv_text(columns, [[row.get(name) for name in columns] for row in rows]))]


def write_latex(report: Sequence[Section], path: Path) -> list[Path]:
    """Writes the tables for a LaTeX document, to be taken in with `\\input`; it loads booktabs."""
    blocks = [f"% {TITLE} of tfprune: \\usepackage{{booktabs}} and \\input this file"]
    for section in report:
        tables = {"Verdicts": verdict_table(section.verdicts)} if section.verdicts else {}
        tables |= _tables(section.summary)
        blocks += [latex_table(table, f"{section.title}. {name}.") for name, table in tables.items()]
    return [_write_text(path, "\n\n".join(blocks) + "\n")]


def write_json_report(report: Sequence[Section], path: Path) -> list[Path]:
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
    from tfprune.reporting.figures.rendering import write_png

    path = folder / "across.png"
    write_png(_across_panels(found), path, title=f"{len(found.datasets)} data sets")
    return [path]


def page_block(summary: Summary, source: str) -> str:
    """Returns what a page of results shows of a comparison: the answer, the verdicts, and all else folded.

    Args:
        summary: what `comparison.summarise` returns.
        source: a line on where the numbers come from.
    """
    several = len(summary) > len({(values["method"], values["granularity"]) for values in summary.values()})
    judged = verdicts(summary)
    shown = [levels_table(summary) if several else answer_table(summary)]
    folded = [*([answer_table(summary)] if several else []), *([verdict_table(judged)] if judged else [])]
    inner = [markdown_table(table) for table in (*folded, *detail_tables(summary))]
    details = ("<details>", "<summary>All numbers, verdicts, tests and costs</summary>", *inner, legend([summary]))
    tables = [markdown_table(table) for table in shown]
    return "\n\n".join((*tables, source, *map(markdown, remarks(summary)), *details, "</details>"))


WRITERS: dict[str, Writer] = {
    ".html": write_html,
    ".md": write_markdown,
    ".csv": write_csv,
    ".json": write_json_report,
    ".tex": write_latex,
}
LAYERS_CAPTION = "Share of zeros in each kernel at the end, in per cent; the mean over seeds."


def _tables(summary: Summary) -> dict[str, Table]:
    label = measure_of(summary).label
    tables = {
        "Results": answer_table(summary),
        "All results": comparison_table(summary),
        f"Tests of {label}": significance_table(summary),
        f"Size, speed and {label}": trade_table(summary),
        "Costs": cost_table(summary),
    }
    return {name: table for name, table in tables.items() if table[1]}


def _across_panels(found: Across) -> list[Panel]:
    from tfprune.reporting.figures.across import across_panels

    return across_panels(found)


def _across_page(report: Sequence[Section]) -> dict[str, Any] | None:
    """Returns what the template shows of several data sets together, None where there is one."""
    found, reason = across_sections(report)
    if not found:
        return {"title": ACROSS, "notes": [reason], "tables": [], "panels": []} if reason else None
    panels = [_as_image(panel, legend=True) for panel in _across_panels(found)]
    return {"title": ACROSS, "notes": across_notes(found), "tables": across_tables(found), "panels": panels}


def _figures(section: Section) -> list[Figure]:
    from tfprune.reporting.figures.epochs import curves_panels
    from tfprune.reporting.figures.strips import comparison_panels, differences_panels
    from tfprune.reporting.figures.trade_offs import costs_panels, sparsities_panels

    summary = with_finished_runs(section.summary)
    label = measure_of(summary).label
    loss = "Cross-entropy" if section.results[0].config.task == DEFAULT else "Loss"
    histories = {trial: [run.history() for run in runs] for trial, runs in section.trials.items()}
    differences = differences_panels(summary)
    several = any(len(values["seeds"]) > 1 for values in summary.values())
    bars = "Mean and one standard deviation over seeds. " if several else ""
    narrow = any(not values["mean"]["sparsity"] and values["requested_sparsity"] for values in summary.values())
    counterpart = " A narrower dense network stands at the sparsity of the one it is the counterpart of."
    return [
        Figure(
            "sparsity",
            f"{label[:1].upper()}{label[1:]} against sparsity",
            f"{bars}What prunes nothing is at 0, with a level line. Methods at the same sparsity are drawn a "
            "little apart." + counterpart * narrow,
            sparsities_panels(summary),
        ),
        Figure(
            "differences",
            f"Differences to {BASELINE}, seed by seed",
            _differences_caption(summary)
            if differences
            else f"This needs {BASELINE} and another method with the same seeds.",
            differences,
        ),
        Figure(
            "scores",
            f"Test loss and {label}",
            "A dot a seed; the large mark is the mean, the bar one standard deviation."
            if several
            else "One seed a method.",
            comparison_panels(summary),
        ),
        Figure(
            "curves",
            "Training curves",
            f"{loss} over the epochs of all trainings of a run, on the same scale throughout"
            + ("; mean over seeds, and their range as a band." if several else "."),
            curves_panels(histories),
            columns=3,
            legend=False,
        ),
        Figure(
            "costs",
            f"Loss and {label} against training cost",
            f"{bars}The cost is that of all trainings of a run. A hollow mark is what the same training needs if "
            "multiplications with pruned weights are left out.",
            costs_panels(summary),
        ),
    ]


def _differences_caption(summary: Any) -> str:
    if all(len(values["seeds"]) == 1 for values in summary.values()):
        return "One seed: no intervals."
    return (
        "A dot a seed: the same split, initial weights and order of the data. The large mark is the mean, the bar its "
        "95 % interval (Student's t, not corrected for the number of methods)."
    )


def _as_page(section: Section) -> dict[str, Any]:
    """Returns what the template shows of a section."""
    return {
        "title": section.title,
        "facts": facts(section),
        "notes": notes(section),
        "verdicts": section.verdicts,
        "tables": _tables(section.summary),
        "figures": [
            {
                "heading": figure.heading,
                "caption": figure.caption,
                "columns": figure.columns,
                "legend": figure.legend,
                "panels": [_as_image(panel, legend=figure.legend) for panel in figure.panels],
            }
            for figure in _figures(section)
        ],
        "trials": list(section.trials),
        "layers": layer_sparsities(section.trials),
        "layers_caption": LAYERS_CAPTION,
    }


def _as_image(panel: Panel, *, legend: bool) -> dict[str, Any]:
    from tfprune.reporting.figures.panels import DARK, LIGHT
    from tfprune.reporting.figures.rendering import svg

    def uri(theme: Theme) -> str:
        content = svg(panel, theme, legend=legend).encode()
        return f"data:image/svg+xml;base64,{base64.b64encode(content).decode()}"

    size = {"width": round(96 * panel.width), "height": round(96 * panel.height)}
    return {"title": panel.title, "alt": panel.alt, "light": uri(LIGHT), "dark": uri(DARK), **size}


def _shown(value: Any) -> Any:
    """Returns a value that a template shows; what is markup already has been here."""
    return printable(value) if type(value) is str else value


def _write_text(path: Path, text: str) -> Path:
    with written_to(path), atomic_write(path) as draft:
        draft.write_text(text, encoding="utf-8", newline="\n")
    return path
