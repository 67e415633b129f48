import base64
import csv
import hashlib
import html.parser
import json
import re

import pytest
from written import write_run, write_runs

from tfprune.experiments.listing import as_csv, list_runs
from tfprune.experiments.results import find_results, read_comparisons
from tfprune.reporting.made import Made
from tfprune.reporting.pages import WRITERS, writer_for
from tfprune.reporting.report import sections
from tfprune.utils.errors import ConfigError, RunError

EVIL = '<script>alert("x")</script>'
MADE = Made("tfprune report 'my runs' --out report.html", "2026-11-29 05:00 UTC", "0.1.0")
TICKED = "a|b `c` [d](e) *f* _g_ $h$"


class Page(html.parser.HTMLParser):
    """What a browser would make of a page: elements with attributes, and text."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.text, self.open = [], "", []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data if self.open and self.open[-1] not in ("style", "script") else ""

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


def report(tmp_path, suffix, *folders):
    """Writes a report on folders; returns its path."""
    path = tmp_path / "out" / f"report{suffix}"
    written = writer_for(path)(sections(find_results(folders)[0]), path, MADE)
    assert written[0] == path and all(file.is_file() for file in written)
    return path


def page_of(tmp_path, *folders):
    return Page(report(tmp_path, ".html", *folders).read_text("utf-8"))


@pytest.fixture
def runs(tmp_path):
    write_runs(tmp_path / "runs")
    return tmp_path / "runs"


@pytest.fixture
def evil(tmp_path):
    """Runs with names that would do harm if they were taken for markup."""
    folder = tmp_path / EVIL.replace("/", "\u2215") / TICKED
    layers = {EVIL: {"zeros": 1, "size": 2}, TICKED: {"zeros": 1, "size": 4}}
    machine = {"cpu": '"><img src=x onerror=alert(1)>', "cores": 2, "gpus": []}
    for method in ("unpruned", "dynamic"):
        write_run(
            folder,
            method,
            model_settings={"activation": f"{EVIL}{TICKED}"},
            metrics={"machine": machine, "sparsity": {"achieved": 0.3, "layers": layers}},
        )
    return folder


def test_a_page_has_verdicts_tables_figures_and_layers(tmp_path, runs):
    page = page_of(tmp_path, runs)
    for text in (
        *("penguins: mlp, 12 epochs", "refuted", "dynamic needs fewer epochs than unpruned", "with its exact binomial"),
        *("Mean ± standard deviation over seeds", "0.5517 ± 0.0520", "Python 3.11.7, TensorFlow 2.21.0", "0 to 2"),
        *("Accuracy against sparsity", "Differences to unpruned, seed by seed", "Training curves", "training cost"),
        *("dense_1/kernel", "29.9"),
    ):
        assert text in page.text
    assert "nan" not in page.text and "None" not in page.text and not page.open
    assert len(figures_of(page)) == 1 + 2 + 2 + 4 + 2
    for text in (
        "Best by accuracy",
        "Smallest within 0.5 points of unpruned",
        "Fastest to train",
        *MADE.command.split(),
    ):
        assert text in page.text
    assert page.text.index("Fastest to train") < page.text.index("Data set")
    regions = [attributes["aria-label"] for attributes in page.all("div") if attributes.get("role") == "region"]
    assert regions == [
        *("Results", "All results", "Tests of accuracy", "Size, speed and accuracy", "Costs"),
        *("By construction statements", "Undecided statements", "Sparsity per layer"),
    ]


def figures_of(page):
    return [attributes for attributes in page.all("svg") if "aria-label" in attributes]


def test_every_figure_is_in_the_colours_of_the_page_and_says_what_it_shows(tmp_path, runs):
    page = page_of(tmp_path, runs)
    assert all(len(figure["aria-label"]) > 40 and figure["role"] == "img" for figure in figures_of(page))
    assert any("pruned after epoch 12" in figure["aria-label"] for figure in figures_of(page))
    painted = " ".join(
        attributes.get("style") or "" for tag, attributes in page.elements if tag in ("path", "use", "text")
    )
    assert "var(--ink)" in painted and "var(--method-1)" in painted and not re.search("#[0-9a-f]{6}", painted)
    names = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(set(names)) == len(names) > 50
    assert "dynamic, seed 2: 0.6240" in page.text and "dynamic at 30 %" in page.text  # what marks say


def test_a_page_needs_no_network_and_runs_no_script_but_its_own(tmp_path, runs):
    page = page_of(tmp_path, runs)
    text = (tmp_path / "out" / "report.html").read_text("utf-8")
    assert not re.search(r"https?:|//[a-z]|@import", text)
    policy = next(a["content"] for a in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy")
    script = re.search("<script>(.*?)</script>", text, re.S)[1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy == f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    tags = [tag for tag, _ in page.elements]
    assert tags.count("script") == 1 and not set(tags) & {"img", "link", "iframe", "object"} and len(text) < 500_000
    assert [a["content"] for a in page.all("meta") if a.get("name") == "viewport"] == [
        "width=device-width, initial-scale=1"
    ]


def test_answers_and_runs_link_to_the_folders_of_runs_from_where_the_page_is(tmp_path, runs):
    links = [attributes["href"] for attributes in page_of(tmp_path, runs).all("a")]
    assert len(links) == 3 * 3 + 12 or len(links) == 2 * 3 + 12  # of answers, and of the list of runs
    assert all(((tmp_path / "out") / link / "metrics.json").is_file() for link in links)


def test_names_on_a_page_stay_names(tmp_path, evil):
    page = page_of(tmp_path, evil)
    assert page.text.count(EVIL) >= 2 and TICKED in page.text and "onerror=alert(1)>" in page.text
    assert [tag for tag, _ in page.elements].count("script") == 1 and not page.open and not page.all("img")
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]


def test_names_in_markdown_stay_names(tmp_path, evil):
    text = report(tmp_path, ".md", evil).read_text("utf-8")
    assert "<script>" not in text and "<img" not in text
    assert r"a\|b \`c\` \[d\](e) \*f\* \_g\_ $h$" in text
    rows = [line for line in text.splitlines() if "&lt;script&gt;" in line and line.startswith("|")]
    assert [len(re.findall(r"(?<!\\)\|", row)) for row in rows] == [4]  # kernel and two trials


@pytest.mark.parametrize("name", ["+1", "=cmd", "@a", "-1+1", "\uff1dcmd"])
def test_no_cell_is_a_formula(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    from pathlib import Path

    rows = "".join(f"{number},{number % 2}\n" for number in range(60))
    Path(f"{name}.csv").write_text(f"x,y\n{rows}")
    write_run(tmp_path / name, "dynamic", dataset=f"{name}.csv", data_settings={"label": "y"})
    (row,) = csv.DictReader(report(tmp_path, ".csv", Path(name)).read_text("utf-8").splitlines())
    assert row["folder"].startswith(f"'{name}/")
    assert not [cell for cell in row.values() if re.match(r"[=+@-](?![\d.e]*$)", cell)]
    (row,) = csv.DictReader(as_csv(list_runs([Path(name)])[0]).splitlines())
    assert row["path"].startswith(f"'{name}/") and row["dataset"] == row["dataset"].lstrip("=@-")


def test_markdown_has_the_tables_and_figures_of_the_page(tmp_path, runs):
    path = report(tmp_path, ".md", runs)
    text = path.read_text("utf-8")
    for heading in ("Verdicts", "Results", "Costs", "Training curves", "Sparsity per layer"):
        assert f"\n### {heading}\n" in text
    links = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", text)
    assert links == [f"report_files/1-{name}.png" for name in ("sparsity", "differences", "scores", "curves", "costs")]
    assert all((path.parent / link).is_file() for link in links)
    assert re.search(r"\| dynamic +\| 3 +\| 0\.5717 ± 0\.0520 \| \+0\.0200", text)


def test_csv_has_a_row_a_run_with_all_digits(tmp_path, runs):
    rows = list(csv.DictReader(report(tmp_path, ".csv", runs).read_text().splitlines()))
    (section,) = sections(find_results([runs])[0])
    assert len(rows) == 12 and [row["seed"] for row in rows[:3]] == ["0", "1", "2"]
    for row in rows:
        own = section.summary[row["trial"]]["seeds"][row["seed"]]
        plain = {name: value for name, value in own.items() if name not in ("timing", "uncounted")}
        assert {name: "" if value is None else str(value) for name, value in plain.items()}.items() <= row.items()
        assert not any(cell.startswith(("{", "[")) for cell in row.values()) and "timing_machine" in row
        assert float(row["test_loss"]) == own["test_loss"] and row["dataset"] == "penguins"
    assert {row["epochs_to_reach"] for row in rows if row["trial"] == "pruned"} == {""}


def test_json_is_what_compare_writes_and_can_be_read_back(tmp_path, runs):
    (numbers,) = read_comparisons(report(tmp_path, ".json", runs))
    (section,) = sections(find_results([runs])[0])
    assert numbers["methods"] == json.loads(json.dumps(section.summary))
    assert numbers["dataset"] == "penguins" and len(numbers["verdicts"]) == 3


def test_two_groups_are_two_sections_in_every_form(tmp_path, runs):
    write_runs(tmp_path / "more", ("unpruned", "dynamic"), 2, learning_rate=0.01)
    folders = (runs, tmp_path / "more")
    page = page_of(tmp_path, *folders)
    titles = [f"penguins: mlp, 12 epochs, learning_rate={rate}" for rate in ("0.0001", "0.01")]
    assert all(page.text.count(title) == 2 for title in titles)  # in the list of contents too
    links = [link for attributes in page.all("a") if (link := attributes["href"]).startswith("#")]
    assert links == ["#comparison-1", "#comparison-2"]
    assert [f"#{attributes['id']}" for attributes in page.all("section")] == links
    text = report(tmp_path, ".md", *folders).read_text("utf-8")
    assert re.findall("^## (.*)$", text, re.M) == titles and "report_files/2-costs.png" in text
    rows = list(csv.DictReader(report(tmp_path, ".csv", *folders).read_text().splitlines()))
    assert list(dict.fromkeys(row["comparison"] for row in rows)) == titles and len(rows) == 16
    comparisons = read_comparisons(report(tmp_path, ".json", *folders))
    assert [comparison["settings"]["learning_rate"] for comparison in comparisons] == [0.0001, 0.01]


@pytest.mark.parametrize("suffix", WRITERS)
@pytest.mark.parametrize("methods", [("dynamic",), ("unpruned", "dynamic"), ("unpruned",)])
def test_one_seed_or_one_method_is_said_and_no_nan(tmp_path, suffix, methods):
    write_runs(tmp_path / "runs", methods, 1)
    text = report(tmp_path, suffix, tmp_path / "runs").read_text("utf-8")
    shown = re.sub(r"base64,[\w+/=]*", "", text)
    assert not re.search(r"\bnan\b|None|Infinity", shown)
    if suffix in (".html", ".md"):
        assert "One seed: there are no standard deviations, intervals or p values" in shown
        assert ("This needs unpruned and another method" in shown) == (len(methods) == 1)


def test_the_same_runs_make_the_same_page(tmp_path, runs):
    first = report(tmp_path, ".html", runs).read_bytes()
    assert report(tmp_path, ".html", runs).read_bytes() == first


def test_a_suffix_decides_and_an_unknown_one_lists_the_choices(tmp_path):
    assert writer_for(tmp_path / "REPORT.HTML") is WRITERS[".html"]
    for name in ("report.pdf", "report"):
        with pytest.raises(ConfigError, match=r"--out must end in one of \.html, .*\.json, \.tex, got .*report"):
            writer_for(tmp_path / name)


@pytest.mark.parametrize("suffix", WRITERS)
def test_a_place_that_cannot_be_written_is_one_line(tmp_path, runs, suffix):
    (tmp_path / "out").touch()
    with pytest.raises(RunError, match="cannot be written"):
        report(tmp_path, suffix, runs)
