"""README's picture, and those of all methods against sparsity."""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def pictures(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    import _pictures

    yield _pictures
    for name in ("_pictures", "_study", "_inference", "_shrinking"):
        sys.modules.pop(name)


def test_a_table_of_a_page_is_read_as_a_comparison(pictures):
    rows = ["| method | 50 % zeros |", "|---|---|", "| unpruned | 90.0 ± 1.0 % |", "| set | 80.0 %, loss +1 |"]
    page = "\n".join(["| a |", "|---|", "<!-- here -->", "", *rows, "end"])
    found = pictures.summary_of(pictures.table(page, "<!-- here -->"))
    assert list(found) == ["unpruned", "set 50 % zeros"]
    assert found["unpruned"]["mean"] == {"sparsity": 0.0, "test_accuracy": 0.9}
    assert found["unpruned"]["sd"] == {"test_accuracy": 0.01}
    assert found["set 50 % zeros"]["requested_sparsity"] == 0.5
    assert found["set 50 % zeros"]["sd"] == {"test_accuracy": None}


def test_the_pages_have_what_the_pictures_show(pictures):
    inference = pictures._inference.Files(ROOT / "docs" / "results" / "inference").rows()
    assert {row["network"] for row in inference} == set(pictures.INFERENCE)
    assert set(pictures.NAMED) < set(pictures._study.DRAWN)
