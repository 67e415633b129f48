"""The commands and snippets of the README and of `docs/`, as tests check and run them.

A fenced block of `bash` or `python` is run as it stands, in the order of its page and in a folder of the page's own.
What a page says of a block stands in a comment on the line above it, which nobody sees who reads the page:

* `<!-- not run: WHY -->`: only its commands, options and settings are looked at;
* `<!-- slow -->`: run only with `-m slow`;
* `<!-- file: NAME -->`: the block is that file, and is written where the page's commands look for it;
* `<!-- given: PYTHON -->`: what a reader has already, run where it stands.

A `text` block is what the block before it prints: its words have to come, whatever the numbers; `...` stands for more.
"""

import ast
import contextlib
import dataclasses
import io
import json
import re
import shlex
from pathlib import Path

ROOT = Path(__file__).parents[1]
NOTEBOOKS = [ROOT / "docs" / name for name in ("notebook.ipynb", "keras3.ipynb")]  # that on JAX in a process of its own
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")])
BLOCK = re.compile(
    r"(?:^<!-- (?P<note>not run: [^\n]+?|slow|file: \S+) -->\n)?^```(?P<language>\w+)\n(?P<text>.*?)^```$"
    r"|^<!-- given:\n(?P<given>.*?)^-->$",
    re.M | re.S,
)
NUMBER = re.compile(r"[-+]?\d[\d,.]*(?:e[-+]\d+)?")


@dataclasses.dataclass(frozen=True)
class Block:
    """A fenced block of a page, or what a comment gives."""

    language: str
    text: str
    note: str

    @property
    def runs(self):
        return self.language in ("bash", "python") and self.note in ("", "slow")

    @property
    def slow(self):
        return self.note == "slow"

    @property
    def file(self):
        """Name of the file that the block is, if it is one."""
        kind, _, name = self.note.partition(": ")
        return name if kind == "file" else None


def blocks(page):
    """Returns the blocks of a page in order."""
    found = BLOCK.finditer(page.read_text(encoding="utf-8"))
    return [
        Block("python", block["given"], "")
        if block["given"]
        else Block(block["language"], block["text"], block["note"] or "")
        for block in found
    ]


def commands(text):
    """Returns the command lines of a shell block, each as its words."""
    lines = re.sub(r"\\\n\s*", " ", text).splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def cells(notebook):
    """Returns the code of each cell of a notebook, and the text of the outputs that are stored with it."""
    for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            outputs = [output for output in cell["outputs"] if output["output_type"] != "display_data"]  # a figure
            texts = [output.get("text") or output["data"]["text/plain"] for output in outputs]
            yield "".join(cell["source"]), "\n".join("".join(text) for text in texts)


def inline_commands(page):
    """Returns the words of each `tfprune ...` that stands in a page's sentences and tables."""
    prose = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    return [shlex.split(code) for code in re.findall(r"`(tfprune [^`]+)`", prose)]


def links(page):
    """Returns what a page links to within the repository."""
    prose = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    return [link for link in re.findall(r"\]\(([^)\s]+)\)", prose) if "://" not in link]


def anchors(page):
    """Returns the anchors that a page's headings have on GitHub."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.M)
    names = [re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles]
    return {f"{name}-{seen}" if (seen := names[:place].count(name)) else name for place, name in enumerate(names)}


def words_of(text):
    """Returns the lines of a text with their numbers and spaces all alike, without rulers and empty ones."""
    lines = (" ".join(NUMBER.sub("0", line).split()) for line in text.splitlines())
    return [line for line in lines if line.strip("-=. |")]


def run_python(code, names):
    """Runs code, whose last line is shown if it is an expression; returns what was printed."""
    *lines, last = ast.parse(code).body
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compile(ast.Module(lines, []), "snippet", "exec"), names)
        if isinstance(last, ast.Expr):
            exec(compile(ast.Interactive([last]), "snippet", "single"), names)
        else:
            exec(compile(ast.Module([last], []), "snippet", "exec"), names)
    return printed.getvalue()
