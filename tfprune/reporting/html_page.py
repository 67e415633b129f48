"""A report as one HTML page that needs no other file and no network. No TensorFlow."""

from __future__ import annotations

import base64
import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_from_bytes

from tfprune.reporting.across_tables import TITLE as ACROSS
from tfprune.reporting.across_tables import across_notes, across_sections, across_tables
from tfprune.reporting.diverged import with_finished_runs
from tfprune.reporting.made import TITLE, Made, write_text
from tfprune.reporting.report import Section, Summary, asked_verdicts, facts, layers_caption, notes, section_tables
from tfprune.reporting.section_figures import Figure, figures_of
from tfprune.reporting.tables import layer_sparsities, legend, verdict_table
from tfprune.reporting.verdicts import BY_CONSTRUCTION, REFUTED, RULE, SUPPORTED, UNDECIDED
from tfprune.utils.text import Table, printable

if TYPE_CHECKING:
    from markupsafe import Markup

    from tfprune.experiments.results import Result
    from tfprune.reporting.diverged import Diverged
    from tfprune.reporting.figures.panels import Panel, Theme

MOST_BOXES = 6  # of verdicts; more are a table
MOST_LINKS = 5  # of an answer's runs
_CODE = re.compile(r"`([^`]+)`")


def write_html(report: Sequence[Section], path: Path, made: Made) -> list[Path]:
    """Writes one page whose only script, its own, is named by its checksum; without it nothing but tips is missing."""
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
    environment.filters["code"] = _with_code
    script = environment.loader.get_source(environment, "report.js")[0]
    page = environment.get_template("report.html").render(
        title=TITLE,
        made=made,
        sections=[_as_page(section, number, path.parent) for number, section in enumerate(report, start=1)],
        across=_across_page(report),
        rule=RULE,
        legend=legend(section.summary for section in report),
        light=_colours(LIGHT),
        dark=_colours(DARK),
        script=_markup(script),
        digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )
    return [write_text(path, page)]


def _as_page(section: Section, number: int, folder: Path) -> dict[str, Any]:
    """Returns what the template shows of a section.

    Args:
        section: some comparison.
        number: its place in the report, from 1.
        folder: that the page is in, for links.
    """
    judged = asked_verdicts(section)
    decided = [own for own in judged if own.outcome in (SUPPORTED, REFUTED)]
    tables = {name: _without_blank(table) for name, table in section_tables(section.summary).items()}
    links = {trial: [_link(run, folder) for run in runs] for trial, runs in section.runs.items()}
    return {
        "title": section.title,
        "answers": [(own, links.get(own.trial, [])[:MOST_LINKS]) for own in section.answers],
        "facts": facts(section),
        "notes": notes(section),
        "boxes": decided if len(decided) <= MOST_BOXES else [],
        "judged": {
            name: verdict_table(own)
            for name, own in {
                "Decided": decided if len(decided) > MOST_BOXES else [],
                "By construction": [own for own in judged if own.outcome == BY_CONSTRUCTION],
                "Undecided": [own for own in judged if own.outcome == UNDECIDED],
            }.items()
            if own
        },
        "answer": tables.pop(next(iter(tables))),
        "tables": tables,
        "figures": [_figure(figure, f"s{number}-{figure.name}", section) for figure in figures_of(section)],
        "trials": list(section.trials),
        "layers": layer_sparsities(section.trials),
        "layers_caption": layers_caption(section),
        "runs": links,
    }


def _without_blank(table: Table) -> Table:
    """Returns a table without the columns that no row has anything in."""
    headers, rows = table
    kept = [place for place in range(len(headers)) if any(row[place] for row in rows)]
    return tuple(headers[place] for place in kept), [tuple(row[place] for place in kept) for row in rows]


def _figure(figure: Figure, prefix: str, section: Section) -> dict[str, Any]:
    own = [_panel(panel, f"{prefix}-{place}") for place, panel in enumerate(figure.panels)]
    key = _key(section.summary) if figure.key == "methods" and figure.panels else []
    described = {"heading": figure.heading, "caption": figure.caption, "columns": figure.columns, "panels": own}
    return {**described, "methods": key, "splits": figure.key == "splits" and bool(figure.panels)}


def _key(summary: Summary) -> list[dict[str, Any]]:
    """Returns name, colour and mark of each method, as the figures have them."""
    from tfprune.reporting.figures.inline import marker_svg
    from tfprune.reporting.figures.panels import LIGHT, looks_of

    looks = looks_of(with_finished_runs(summary), LIGHT)
    return [
        {"name": name, "colour": LIGHT.methods.index(colour), "marker": _markup(marker_svg(marker))}
        for name, (colour, marker) in looks.items()
    ]


def _panel(panel: Panel, prefix: str, *, legend: bool = False) -> dict[str, Any]:
    from tfprune.reporting.figures.inline import inline_svg

    return {"title": panel.title, "svg": _markup(inline_svg(panel, prefix, legend=legend))}


def _across_page(report: Sequence[Section]) -> dict[str, Any] | None:
    """Returns what the template shows of several data sets together, None where there is one."""
    from tfprune.reporting.figures.across import across_panels

    found, reason = across_sections(report)
    if not found:
        return {"title": ACROSS, "notes": [reason], "tables": [], "panels": []} if reason else None
    panels = [_panel(own, f"across-{place}", legend=True) for place, own in enumerate(across_panels(found))]
    return {"title": ACROSS, "notes": across_notes(found), "tables": across_tables(found), "panels": panels}


def _link(run: Result | Diverged, folder: Path) -> dict[str, str]:
    """Returns a link to a run's folder from the page's, which holds when both are moved together."""
    place = os.path.relpath(run.folder.root, folder)
    return {"seed": str(run.config.seed), "href": quote_from_bytes(os.fsencode(place)), "name": place}


def _colours(theme: Theme) -> Mapping[str, str]:
    """Returns the CSS variables of a theme, see `figures.inline`."""
    from tfprune.reporting.figures.inline import variables

    return variables(theme)


def _with_code(text: str) -> Markup:
    """Returns a sentence with what stands between backticks as code."""
    from markupsafe import escape

    return _markup(_CODE.sub(r"<code>\1</code>", str(escape(printable(text)))))


def _markup(text: str) -> Markup:
    from markupsafe import Markup

    return Markup(text)  # what comes here was escaped, or is part of tfprune


def _shown(value: Any) -> Any:
    """Returns a value that a template shows; what is markup already has been here."""
    return printable(value) if type(value) is str else value
