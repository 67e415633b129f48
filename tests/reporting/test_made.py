import pytest

from tfprune.reporting.made import Made
from tfprune.utils.errors import ConfigError


@pytest.mark.parametrize(("seconds", "date"), [("0", "1970-01-01 00:00 UTC"), ("253402300799", "9999-12-31 23:59 UTC")])
def test_a_report_has_the_date_that_is_set(monkeypatch, seconds, date):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", seconds)
    assert Made.now("tfprune report").date == date


def test_without_the_variable_it_is_now(monkeypatch):
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    assert Made.now("tfprune report").date > "2026"


@pytest.mark.parametrize("seconds", ["9" * 20, "\u00b2", "-1", "", "now", "1.5"])
def test_a_date_that_is_none_is_refused_by_name(monkeypatch, seconds):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", seconds)
    with pytest.raises(ConfigError, match="SOURCE_DATE_EPOCH must be a"):
        Made.now("tfprune report")
