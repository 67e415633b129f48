"""Nothing reaches a terminal, a page or a spreadsheet around the functions that make text showable."""

import ast
import re
from pathlib import Path

import pytest

import tfprune

PACKAGE = Path(tfprune.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
TERMINAL = "cli/_terminal.py"  # which alone prints
READ_BACK = [
    "experiments/run_data.py",
    "training/history.py",
]  # splits.csv, history.csv: of words and numbers of ours
AT_THE_END = "training/stopping.py"  # says a sentence of its own while native code has the process
PRINTERS = ("echo", "secho", "style", "echo_via_pager", "confirm", "prompt", "progressbar", "get_text_stream")


def name(path):
    return path.relative_to(PACKAGE).as_posix()


def calls(path):
    """Yields what a file calls: `print`, `click.echo`, `tqdm.write`, `sys.stdout.write`."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func)


def imported(path):
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", [path for path in FILES if name(path) not in (TERMINAL, AT_THE_END)], ids=name)
def test_nobody_prints_but_the_terminal(path):
    forbidden = {"print", "pprint", "tqdm.write", *(f"click.{printer}" for printer in PRINTERS)}
    assert not forbidden & set(calls(path))
    assert not [call for call in calls(path) if re.fullmatch(r"sys\.(__)?std(out|err)(__)?\.(buffer\.)?write\w*", call)]
    assert not {f"click.{printer}" for printer in PRINTERS} & set(imported(path))


def test_the_walk_finds_what_it_looks_for(tmp_path):
    (tmp_path / "x.py").write_text(
        "click.echo(1)\nprint(2)\nsys.stdout.write(3)\ntqdm.write(4)\nfrom click import echo"
    )
    found = {*calls(tmp_path / "x.py"), *imported(tmp_path / "x.py")}
    assert {"click.echo", "print", "sys.stdout.write", "tqdm.write"} <= found
    assert set(calls(PACKAGE / TERMINAL)) >= {"click.echo", "tqdm.write"}


def test_csv_for_people_is_written_by_one_function():
    writers = [name(path) for path in FILES if {"csv.writer", "csv.DictWriter"} & set(calls(path))]
    assert writers == sorted([*READ_BACK, "utils/text.py"])


def test_tables_are_made_where_their_cells_are_made_showable():
    makers = [name(path) for path in FILES if "tabulate" in set(calls(path))]
    makers_of_text = (
        "experiments/model_card.py",
        "reporting/tables.py",
        "utils/notebook.py",
    )
    assert makers == [TERMINAL, *makers_of_text]


def test_an_error_in_a_line_is_written_once():
    written = [name(path) for path in FILES if re.search(r"join\(str\(\w+\)\.split\(\)\)", path.read_text("utf-8"))]
    assert written == ["utils/text.py"]
