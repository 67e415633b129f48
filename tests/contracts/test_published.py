"""The figures of the docs are those of the published runs: `scripts/recompute` finds any that is not."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from written import write_runs

from tfprune.experiments.results import find_results
from tfprune.reporting.report import as_json, sections

ROOT = Path(__file__).parents[2]
MOST = 5_000_000  # bytes of all published data


def recompute(root=ROOT, *arguments):
    command = [sys.executable, ROOT / "scripts" / "recompute", "--root", root, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def copy(tmp_path):
    shutil.copytree(ROOT / "docs", tmp_path / "docs", ignore=shutil.ignore_patterns("figures", "cifar10", "study"))
    shutil.copy(ROOT / "README.md", tmp_path)
    (tmp_path / "docs" / "figures").mkdir()
    return tmp_path


def test_the_docs_are_what_the_data_come_to_which_needs_no_tensorflow():
    code = f"""
import runpy, sys
sys.argv = ["recompute"]
try:
    runpy.run_path({str(ROOT / "scripts" / "recompute")!r}, run_name="__main__")
finally:
    print([name for name in ("tensorflow", "keras", "tf_keras") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_data_are_small():
    assert sum(path.stat().st_size for path in (ROOT / "docs" / "results").rglob("*") if path.is_file()) < MOST


def altered(root, page, old, new):
    text = (root / page).read_text()
    assert old in text
    (root / page).write_text(text.replace(old, new, 1))


def test_figures_that_are_altered_are_found_and_places_that_are_gone(copy):
    altered(copy, "docs/penguins.md", "| 93.5 ± 7.4 %", "| 93.6 ± 7.4 %")
    altered(copy, "docs/penguins.md", "in 6 of 200 seeds", "in 7 of 200 seeds")
    altered(copy, "docs/cifar10.md", "## Conclusions\n", "## Conclusions\n\nIt wins by 1.7 points.\n")
    altered(copy, "docs/tickets.md", "<!-- /tickets main -->", "")
    altered(copy, "README.md", "| by construction", "| supported")
    done = recompute(copy)
    assert done.returncode == 1
    for said in (
        *("results penguins: differs from the data", "the data say: Dynamic pruning costs", "1.7 is not computed"),
        *("has no <!-- tickets main -->", "overview: differs from the data"),
    ):
        assert said in done.stdout, done.stdout


def test_tables_are_renewed_and_sentences_are_not(copy):
    page = copy / "docs" / "flowers.md"
    before = page.read_text()
    sentence = re.search(r"To decide on the accuracy takes about \d+ seeds\.", before)[0]
    wrong = before.replace(sentence, re.sub(r"\d+", "1", sentence))
    page.write_text(re.sub(r"\| \d+\.\d ± ", "| 99.9 ± ", wrong, count=1))
    done = recompute(copy, "--write")
    assert done.returncode == 1 and f"the data say: {sentence}" in done.stdout
    assert page.read_text() == wrong and (copy / "docs" / "figures" / "flowers-results-accuracy.svg").is_file()


@pytest.mark.slow
def test_new_runs_take_the_place_of_a_table_and_name_the_sentences_that_no_longer_hold(copy):
    write_runs(copy / "runs", dataset="flowers")
    [section] = sections(find_results([copy / "runs"])[0])
    (copy / "numbers.json").write_text(json.dumps(as_json(section.results, section.summary)))
    done = recompute(copy, "--add", "flowers", "results flowers", copy / "numbers.json")
    assert done.returncode == 1 and "docs/flowers.md: the data say: " in done.stdout, done.stdout + done.stderr
    assert "differs" not in done.stdout
    page = (copy / "docs" / "flowers.md").read_text()
    assert "| dynamic  | " in page and "-0.20 (-0.20 to -0.20)" in page and "Seeds 0 to 2, " in page
    assert (copy / "docs" / "figures" / "flowers-results-accuracy.svg").is_file()
    before = (copy / "docs" / "results" / "flowers.csv.gz").read_bytes()
    recompute(copy, "--add", "flowers", "results flowers", copy / "numbers.json")
    assert (copy / "docs" / "results" / "flowers.csv.gz").read_bytes() == before  # the same bytes for the same runs
