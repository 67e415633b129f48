"""Panels as parts of a page: SVG in the colours of the page's theme, whose marks say what they are when pointed at."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping
from xml.etree import ElementTree

import matplotlib
from matplotlib.markers import MarkerStyle

from tfprune.reporting.figures.panels import LIGHT, MARK, Panel, Theme
from tfprune.reporting.figures.rendering import savefig
from tfprune.utils.text import printable

SVG, XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
_REFERENCE = re.compile(r"url\(#|^#")
_FONT = re.compile(r"font: ([\d.]+)px [^;]*")
_COLOUR = re.compile(r"#[0-9a-f]{6}\b")


def variables(theme: Theme) -> dict[str, str]:
    """Returns the CSS variables of a page for the colours of a theme: name -> colour."""
    named = {"ink": theme.ink, "mark": theme.muted, "paper": theme.paper, "sparsity": theme.sparsity}
    named |= {"train": theme.train, "validation": theme.validation}
    return named | {f"method-{place}": colour for place, colour in enumerate(theme.methods)}


def inline_svg(panel: Panel, prefix: str, *, legend: bool = False) -> str:
    """Draws a panel as an `svg` element of an HTML page; the same panel always comes to the same text.

    Args:
        panel: what to draw.
        prefix: of the ids in it, which no other figure of the page has.
        legend: whether what is drawn is named below it.
    """
    text = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none"}):
        savefig(panel, LIGHT, text, legend=legend)
    root = ElementTree.fromstring(text.getvalue())
    for name in ("metadata", "defs"):  # what this removes at the top is the figure's own style
        for child in root.findall(f"{{{SVG}}}{name}"):
            if name == "metadata" or child.find(f"{{{SVG}}}style") is not None:
                root.remove(child)
    names = {colour.lower(): name for name, colour in variables(LIGHT).items()}
    for element in root.iter():
        _rename(element, prefix)
        _recolour(element, names)
        _explain(element)
    for name in ("width", "height", "version"):
        root.attrib.pop(name, None)
    root.set("role", "img")
    root.set("aria-label", printable(panel.alt))
    return _as_html(root)


def marker_svg(marker: str) -> str:
    """Returns the path of one of `panels.MARKERS` within a square of 14 by 14."""
    style = MarkerStyle(marker)
    path = style.get_path().transformed(style.get_transform().scale(9, -9).translate(7, 7))
    drawn = " ".join(
        f"{'M' if code == path.MOVETO else 'L'}{x:.2f} {y:.2f}"
        for (x, y), code in ((points[-2:], code) for points, code in path.iter_segments(curves=False))
        if code != path.CLOSEPOLY
    )
    return f'<path d="{drawn}Z" fill="currentColor"/>'


def _rename(element: ElementTree.Element, prefix: str) -> None:
    for name, value in element.attrib.items():
        if name == "id" and not value.startswith(MARK):
            element.set(name, f"{prefix}-{value}")
        elif name != "id" and "#" in value and name != "style":
            element.set(name, _REFERENCE.sub(lambda found: f"{found[0]}{prefix}-", value))


def _recolour(element: ElementTree.Element, names: Mapping[str, str]) -> None:
    style = element.get("style")
    if style:
        style = _COLOUR.sub(lambda found: f"var(--{names[found[0]]})" if found[0] in names else found[0], style)
        element.set("style", _FONT.sub(r"font-size: \1px", style))


def _explain(element: ElementTree.Element) -> None:
    """Puts what `panels.mark` said of an artist where a browser finds it."""
    if not element.get("id", "").startswith(MARK):
        return
    said = json.loads(element.attrib.pop("id").removeprefix(MARK))
    if said["series"]:
        element.set("data-series", printable(said["series"]))
    marks = list(element.iter(f"{{{SVG}}}use"))
    tips = said["tips"]
    for mark, tip in zip(marks, tips, strict=True) if len(marks) == len(tips) else ():
        title = ElementTree.SubElement(mark, f"{{{SVG}}}title")
        title.text = printable(tip)


def _as_html(root: ElementTree.Element) -> str:
    """Returns an element without prefixes of namespaces, as HTML has it."""
    for element in root.iter():
        element.tag = element.tag.removeprefix(f"{{{SVG}}}")
        for name in list(element.attrib):
            if name.startswith(f"{{{XLINK}}}"):
                element.set("href", element.attrib.pop(name))
    return ElementTree.tostring(root, encoding="unicode")
