"""The documentation site can be built from the pages without a warning, and holds what they hold."""

import html
import inspect
import json
import re
import runpy
import subprocess
import sys

import pytest
from documented import NOTEBOOKS, PAGES, ROOT

import tfprune

pytest.importorskip("furo", reason="the site needs the extra docs, which scripts/test installs")
CONF = ROOT / "docs" / "conf.py"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of the site, built as `scripts/site` builds it."""
    folder = tmp_path_factory.mktemp("site")
    command = [
        sys.executable,
        "-m",
        "sphinx",
        "-W",
        "-q",
        "-c",
        "docs",
        "-d",
        str(folder / "cache"),
        ".",
        str(folder / "out"),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder / "out"


def words(text):
    """Returns the text of HTML as it is read: without tags, with single spaces."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", "", text)).split())


def test_every_page_is_there_and_in_the_contents(site):
    first = (site / "index.html").read_text(encoding="utf-8")
    for page in [*PAGES, *(ROOT / "docs").glob("*.ipynb"), ROOT / "SECURITY.md", ROOT / "CHANGELOG.md"]:
        name = page.relative_to(ROOT).with_suffix(".html").as_posix()
        assert (site / name).is_file(), name
        assert page.stem == "README" or f'href="{name}"' in first, f"{name} is not in the contents"


def test_the_version_is_shown_and_no_page_needs_a_network(site):
    version = re.search(r'version="(.+?)"', (ROOT / "setup.py").read_text())[1]
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert f"tfprune {version}" in text
        assert not re.search(r'<(script|link|img)[^>]*(src|href)="(https?:)?//', text), page.name


@pytest.mark.parametrize("name", tfprune.__all__)
def test_the_reference_has_signature_and_docstring(site, name):
    page, thing = (site / "docs" / "api.html").read_text(encoding="utf-8"), getattr(tfprune, name)
    assert f'id="tfprune.{name}"' in page
    text = words(page)
    assert " ".join(thing.__doc__.splitlines()[0].replace("`", "").split()) in text
    if inspect.isfunction(thing):
        for parameter in inspect.signature(thing).parameters.values():
            assert f"{parameter.name}: {parameter.annotation}" in text


def test_a_sentence_with_a_colon_stays_one(site):
    first = tfprune.Config.run_id.__doc__.splitlines()[0]
    assert ":" in first and first in words((site / "docs" / "api.html").read_text(encoding="utf-8"))


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_is_shown_with_its_output(site, notebook):
    page = site / "docs" / f"{notebook.stem}.html"
    shown, figures = words(page.read_text(encoding="utf-8")), 0
    for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
        assert cell["cell_type"] == "markdown" or " ".join("".join(cell["source"]).split()) in shown
        for output in cell.get("outputs", ()):
            data = output.get("data", {})
            figures += "image/png" in data
            assert words("".join(output.get("text") or data.get("text/html", ""))) in shown
    assert len(re.findall(r'<img[^>]* src="../_images/\w{64}.png"', page.read_text(encoding="utf-8"))) == figures


def test_the_search_knows_the_pages(site):
    index = (site / "searchindex.js").read_text(encoding="utf-8")
    found = json.loads(re.search(r"\((.*)\)", index, re.S)[1])
    assert {"docs/methods", "docs/faq"} <= {found["docnames"][number] for number in found["terms"]["lotteri"]}


@pytest.mark.parametrize("link", ["gone.html", "there.html#gone", "#gone", "folder/gone.png"])
def test_a_link_that_leads_nowhere_is_found(tmp_path, link):
    (tmp_path / "there.html").write_text('<p id="here"></p>')
    (tmp_path / "page.html").write_text(f'<a href="there.html#here"></a><a href="https://a.b/c"></a><img src="{link}">')
    assert runpy.run_path(str(CONF))["_broken_links"](tmp_path) == [f"page.html: {link}"]


def test_the_versions_that_are_there_are_listed_and_latest_is_the_newest(tmp_path):
    for version in ("0.2.0", "0.10.0", "latest"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "index.html").write_text(version)
    runpy.run_path(str(CONF))["_list_versions"](tmp_path)
    listed = json.loads((tmp_path / "versions.json").read_text())
    assert [own["version"] for own in listed] == ["0.10.0", "0.2.0"]
    assert all((tmp_path / own["url"]).is_file() for own in listed)
    assert (tmp_path / "latest" / "index.html").read_text() == "0.10.0"


def test_every_page_leads_to_what_changed_and_to_the_other_versions(site):
    assert 'href="../CHANGELOG.html">What changed in' in (site / "docs" / "faq.html").read_text(encoding="utf-8")
    assert "versions.json" in (site / "_static" / "versions.js").read_text()
