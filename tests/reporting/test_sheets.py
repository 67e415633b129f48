import csv

from written import write_runs

from tfprune.experiments.results import find_results
from tfprune.reporting.made import Made
from tfprune.reporting.report import sections
from tfprune.reporting.sheets import write_sheets


def test_each_table_is_latex_and_csv_and_each_figure_svg_and_pdf(tmp_path, monkeypatch):
    write_runs(tmp_path / "runs", ("unpruned", "dynamic"), 2)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    made = Made.now("tfprune report runs --tables out")
    paths = write_sheets(sections(find_results([tmp_path / "runs"])[0]), tmp_path / "out", made)
    suffixes = [path.suffix for path in paths]
    assert (
        suffixes.count(".tex") == suffixes.count(".csv") == 7 and suffixes.count(".svg") == suffixes.count(".pdf") == 5
    )
    text = (tmp_path / "out" / "1-results.tex").read_text()
    assert text.startswith("% 1970-01-01 00:00 UTC, tfprune") and "\\toprule" in text
    headers, *rows = csv.reader((tmp_path / "out" / "1-results.csv").read_text().splitlines())
    assert headers[0] == "method" and [row[0] for row in rows] == ["unpruned", "dynamic"]
    assert (tmp_path / "out" / "1-curves.pdf").read_bytes().startswith(b"%PDF")
