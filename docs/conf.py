"""Settings of the documentation site, which `scripts/site` builds from the repository's pages.

Pages of the site lie where they lie in the repository, so that a link between two of them leads to the same on both.
"""

import json
import re
import shutil
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

from packaging.version import Version
from pygments.lexers.special import TextLexer
from sphinx.util.logging import getLogger

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

CONTENTS = {  # the pages after the README, which is the first; those that are missing here come last
    "Start": ["docs/quick-start", "docs/which-method", "docs/which-keras", "docs/notebook", "docs/keras3"],
    "Guides": [
        "docs/own-data-and-models",
        "docs/tasks",
        "docs/model-files",
        "docs/compatibility",
        "docs/faster-and-smaller",
        "docs/scripting",
        "docs/cluster",
        "docs/reliability",
        "docs/faq",
    ],
    "Coming from": ["docs/from-tfmot", "docs/from-torch-pruning"],
    "Reference": ["docs/methods", "docs/methods-compared", "docs/api", "docs/files"],
    "Results": [
        "docs/gallery",
        "docs/penguins",
        "docs/fashion_mnist",
        "docs/flowers",
        "docs/cifar10",
        "docs/coverage",
        "docs/study",
        "docs/starting-large",
        "docs/tickets",
        "docs/performance",
        "docs/scaling",
    ],
    "Project": ["CONTRIBUTING", "SECURITY", "CHANGELOG"],
}

project = "tfprune"
author = "the authors of tfprune"
copyright = author
version = release = re.search(r'version="([^"]+)"', (ROOT / "setup.py").read_text(encoding="utf-8"))[1]

root_doc = "README"
smartquotes = False  # the text is as GitHub shows it
include_patterns = ["*.md", "docs/*.md", "docs/*.ipynb"]
_found = [path.relative_to(ROOT).with_suffix("").as_posix() for kind in include_patterns for path in ROOT.glob(kind)]
_listed = {root_doc, *(page for pages in CONTENTS.values() for page in pages)}
if _more := sorted(set(_found) - _listed):
    CONTENTS["More"] = _more
exclude_patterns = [".*", *(f"{path.name}/**" for path in ROOT.iterdir() if path.is_dir() and path.name != "docs")]

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
napoleon_numpy_docstring = False
napoleon_attr_annotations = False  # signatures have the types
default_role = "code"  # as docstrings use single backticks
nb_execution_mode = "off"  # notebooks show the output that is stored in them; the tests run them
myst_heading_anchors = 4  # with GitHub's names
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

# Signatures and docstrings need no framework; these take seconds to import.
autodoc_mock_imports = [
    "h5py",
    "keras",
    "matplotlib",
    "scipy",
    "tensorflow",
    "tensorflow_model_optimization",
    "tf_keras",
]
autodoc_member_order = "bysource"
maximum_signature_line_length = 88

html_theme = "furo"
html_title = f"tfprune {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_js_files = ["versions.js"]
templates_path = ["_templates"]
html_sidebars = {
    "**": [
        *("sidebar/brand.html", "sidebar/search.html", "versions.html", "sidebar/scroll-start.html"),
        *("sidebar/navigation.html", "sidebar/scroll-end.html"),
    ]
}
html_copy_source = False
html_show_sphinx = False


def setup(app):
    """Connects what is below."""
    app.add_lexer("csv", TextLexer)  # which Pygments does not know
    app.connect("source-read", _write_contents)
    app.connect("source-read", _leave_folders_out)
    app.connect("source-read", _write_reference)
    app.connect("autodoc-process-docstring", _leave_colons_alone, priority=400)  # before Napoleon
    app.connect("build-finished", _finish)


def _write_contents(_app, page, source):
    """Gives the first page the contents, which GitHub would show as code."""
    if page == root_doc:
        for caption, pages in CONTENTS.items():
            source[0] += "\n".join([f"\n\n```{{toctree}}\n:hidden:\n:caption: {caption}\n", *pages, "```\n"])


def _leave_folders_out(app, page, source):
    """Makes links to folders plain text: GitHub shows what is in a folder, a site does not."""
    if (path := Path(app.env.doc2path(page))).suffix == ".md":
        source[0] = re.sub(
            r"\[([^]]+)\]\(([^)\s:#]+)\)",
            lambda link: link[1] if (path.parent / link[2]).is_dir() else link[0],
            source[0],
        )


def _write_reference(_app, page, source):
    """Writes the site's docs/api.md, which scripts/api_reference writes for GitHub: the same docstrings, with links."""
    if page == "docs/api":
        import tfprune

        names = ", ".join(f"{{py:obj}}`{name} <tfprune.{name}>`" for name in tfprune.__all__)
        lines = ["# Python reference\n", "What is not here is not promised to stay.\n", f"{names}\n"]
        for name in tfprune.__all__:
            kind = "class" if name[0].isupper() else "function"
            members = "\n   :members:" if kind == "class" else ""
            lines.append(f"## {name}\n\n```{{eval-rst}}\n.. auto{kind}:: tfprune.{name}{members}\n```\n")
        source[0] = "\n".join(lines)


def _leave_colons_alone(_app, what, _name, _thing, _options, lines):
    """Gives properties an empty type, or Napoleon takes what stands before a colon in their sentence for it."""
    if what in ("property", "attribute"):
        lines[:1] = [f": {line}" for line in lines[:1]]


def _finish(app, failure):
    """Names the first page as servers look for it, and checks all links within the site."""
    if failure is None and app.builder.name == "html":
        shutil.copy(Path(app.outdir, f"{root_doc}.html"), Path(app.outdir, "index.html"))
        for line in _broken_links(Path(app.outdir)):
            getLogger("tfprune").warning("a link leads nowhere: %s", line)
        if Path(app.outdir).name == version:
            _list_versions(Path(app.outdir).parent)


def _list_versions(folder):
    """Writes `versions.json`, the list of all versions of the site in a folder, and `latest`, a copy of the newest."""
    found = [path.parent.name for path in folder.glob("*/index.html") if path.parent.name != "latest"]
    versions = sorted(found, key=Version, reverse=True)
    listed = [{"version": own, "url": f"{own}/index.html"} for own in versions]
    (folder / "versions.json").write_text(json.dumps(listed, indent=1) + "\n", encoding="utf-8")
    for own in ("latest", "jupyter_execute"):  # the latter is MyST's, of notebooks
        shutil.rmtree(folder / own, ignore_errors=True)
    shutil.copytree(folder / versions[0], folder / "latest")


class _Page(HTMLParser):
    """The anchors of a page, and what it links to."""

    def __init__(self, path):
        super().__init__()
        self.anchors, self.links = {""}, []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, _tag, attributes):
        for name, value in attributes:
            if name == "id":
                self.anchors.add(value)
            elif name in ("href", "src") and value:
                self.links.append(value)


def _broken_links(folder):
    """Returns a line for each link from a page of the site to a file or an anchor of it that is not there."""
    pages = {path: _Page(path) for path in sorted(folder.rglob("*.html"))}
    broken = []
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            anchors = pages[target].anchors if target in pages else {unquote(parts.fragment)}
            if not parts.scheme and not parts.netloc and not (target.exists() and unquote(parts.fragment) in anchors):
                broken.append(f"{path.relative_to(folder)}: {link}")
    return broken
