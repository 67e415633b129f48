"""What the README and docs/ tell people to type is there, and does what they say."""

import ast
import contextlib
import dataclasses
import io
import re
import runpy
import subprocess
import sys

import matplotlib.pyplot as plt
import pytest
from documented import (
    NOTEBOOKS,
    PAGES,
    ROOT,
    anchors,
    blocks,
    cells,
    commands,
    inline_commands,
    links,
    run_python,
    words_of,
)

import tfprune
from tfprune import cli
from tfprune.cli import COMMANDS
from tfprune.cli._options import make_config
from tfprune.data import DATASETS
from tfprune.models import MODELS
from tfprune.training import config

OTHERS = {"export", "source", "tensorboard", "pip", "ray", "ls"}  # commands that are not ours
SETTINGS = {option.name for option in COMMANDS["train"].params} - {"sparsity", "file", "force", "dry_run", "as_json"}
EPOCHS = {
    "penguins": 600,
    "fashion_mnist": 3,
}  # where a page leaves them to the data set: names of runs stay what they are
by_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def lines_of(page):
    """Yields the words of all shell lines of a page."""
    for block in blocks(page):
        if block.language == "bash":
            yield from commands(block.text)
        elif block.language == "yaml":
            yield from (line.split()[1:] for line in block.text.splitlines() if "tfprune " in line)


@by_page
def test_commands_options_and_settings_exist(page, monkeypatch):
    monkeypatch.setenv("TFPRUNE_TRUST", "")  # which --trust sets
    for words in lines_of(page):
        if "tfprune" in words:
            check_command(words[words.index("tfprune") + 1 :])
            continue
        name = words[1] if words[0].endswith("python") else words[0]
        if "/" in name:
            script = (ROOT / name.removeprefix(".venv/")).read_text()
            for option in (word for word in words[1:] if word.startswith("--")):
                assert option in script or "tfprune" in script, f"{name} has no {option}"
        else:
            assert name in OTHERS or "=" in name, f"what is {name}?"
        for extra in re.findall(r"\[(\w+)\]", " ".join(words) if name == "pip" else ""):
            assert f'"{extra}":' in (ROOT / "setup.py").read_text() or extra == "default"


def check_command(words):
    command = COMMANDS[words[0]]
    given = command.make_context(words[0], list(words[1:])).params
    datasets = given["dataset"] if isinstance(given.get("dataset"), tuple) else (given.get("dataset"),)
    known = all(name in DATASETS for name in datasets) and (given.get("model") or "mlp") in MODELS
    if "assignments" in given and known and not given.get("file"):
        shared = {name: value for name, value in given.items() if name in SETTINGS} | {"dataset": datasets[0]}
        levels = given["sparsity"] if isinstance(given["sparsity"], tuple) else (given["sparsity"],)
        for sparsity in levels or (None,):
            make_config(None, shared | {"sparsity": sparsity})


@by_page
def test_options_in_sentences_exist(page):
    for words in inline_commands(page):
        commands = [COMMANDS[words[1]]] if words[1] in COMMANDS else [cli.cli, *(COMMANDS[name] for name in COMMANDS)]
        for word in words[1:]:
            option = word.partition("=")[0]
            assert not option.startswith("--") or option in {"--help", *options_of(commands)}, f"{words}: no {option}"


def options_of(commands):
    for parameter in (parameter for command in commands for parameter in command.params):
        yield from (*parameter.opts, *parameter.secondary_opts)


@by_page
def test_links_lead_somewhere(page):
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@by_page
def test_snippets_are_python(page):
    for block in blocks(page):
        if block.language == "python":
            ast.parse(block.text)


@pytest.mark.parametrize("name", tfprune.__all__)
def test_what_is_public_has_an_example(name):  # which pytest's --doctest-modules runs
    assert ">>> " in getattr(tfprune, name).__doc__


def test_the_reference_is_current():
    reference = runpy.run_path(str(ROOT / "scripts" / "api_reference"))
    assert reference["PAGE"].read_text(encoding="utf-8") == reference["page"](), "run: python scripts/api_reference"


def pages_that_run():
    for page in PAGES:
        runs = [block for block in blocks(page) if block.runs]
        if any(block.slow for block in runs):
            yield pytest.param(page, True, id=f"{page.name}-slow", marks=pytest.mark.slow)
        if any(not block.slow for block in runs):
            yield pytest.param(page, False, id=page.name)


@pytest.fixture
def fewer_epochs(monkeypatch):
    """Data sets with `EPOCHS` as their own; what a `Config` knows of the real ones is forgotten, and afterwards too."""
    for name, epochs in EPOCHS.items():
        monkeypatch.setattr(f"tfprune.data.{name}.{name.upper()}", dataclasses.replace(DATASETS[name], epochs=epochs))
    config._default_identity.cache_clear()
    yield
    config._default_identity.cache_clear()


@pytest.mark.usefixtures("fewer_epochs")
@pytest.mark.parametrize(("page", "slow"), list(pages_that_run()))
def test_what_a_page_shows_can_be_done(page, slow, tmp_path, monkeypatch, request):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("TFPRUNE_TRUST", "")
    if slow:
        monkeypatch.setenv("TFDS_DATA_DIR", str(request.getfixturevalue("copies")))
    names, printed = {"__name__": "__main__"}, None
    for block in blocks(page):
        if block.file:
            (tmp_path / block.file).parent.mkdir(exist_ok=True)
            (tmp_path / block.file).write_text(block.text)
        elif block.runs and (slow or not block.slow):
            printed = run_python(block.text, names) if block.language == "python" else run_shell(block, monkeypatch)
        elif block.language == "text" and printed is not None:
            missing = [line for line in words_of(block.text) if line not in words_of(printed)]
            assert not missing, f"not printed: {missing}\nbut:\n{printed}"
            printed = None


@pytest.mark.usefixtures("fewer_epochs")
def test_the_readmes_python_runs_on_tf_keras_as_on_keras_3(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    for code in [block.text for block in blocks(ROOT / "README.md") if block.language == "python"][:3]:
        run_python(code.replace("import keras\n", "import tf_keras as keras\n"), names)
    assert type(names["trained"].model).__module__.startswith("tf_keras")


def test_the_notebook_runs_from_top_to_bottom(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "displayhook", show)
    names = {"__name__": "__main__"}
    for code, stored in cells(NOTEBOOKS[0]):
        printed = run_python(code, names)
        assert words_of(stored) == words_of(printed), code
    plt.close("all")


def show(value):
    """Shows what the last line of a cell is worth, as a notebook does."""
    if value is not None:
        print(repr(value))
        assert "<table>" in value._repr_html_()


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda notebook: notebook.name)
def test_a_notebook_has_no_paths_of_the_machine_that_ran_it(notebook):
    for _, stored in cells(notebook):
        assert not re.search(r"/(home|root|tmp|Users|work|opt)/|site-packages", stored)


def run_shell(block, monkeypatch):
    output = ""
    for words in commands(block.text):
        if words[0] in ("source", "tensorboard"):  # a shell's own matter; a server
            continue
        if words[0] == "ls":
            output += subprocess.run(words, capture_output=True, text=True, check=True).stdout
            continue
        assert words[0] == "tfprune", f"{' '.join(words)}: say on the page why this is not run"
        monkeypatch.setattr(sys, "argv", words)
        with contextlib.redirect_stdout(io.StringIO()) as printed, contextlib.redirect_stderr(printed):
            with pytest.raises(SystemExit) as stop:
                cli.main()
        assert not stop.value.code, f"{' '.join(words)}: {printed.getvalue()}"
        output += printed.getvalue()
    return output
