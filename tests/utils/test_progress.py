import io

import pytest

from tfprune.utils import progress
from tfprune.utils.progress import USUAL_WIDTH, progress_bar


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("width", [0, 50])
def test_a_bar_is_as_wide_as_the_terminal_of_which_some_report_no_width(monkeypatch, width):
    monkeypatch.setattr("sys.stderr", Terminal())
    monkeypatch.setattr(progress, "_stderr_width", lambda: width)
    with progress_bar(range(3), desc="runs") as bar:
        assert bool(bar.dynamic_ncols) is (width > 0)
        assert width or len(str(bar)) == USUAL_WIDTH


def test_there_is_none_in_files_and_none_that_is_not_wanted(monkeypatch, capsys):
    assert list(progress_bar([1])) == [1] and capsys.readouterr().err == ""
    monkeypatch.setattr("sys.stderr", Terminal())
    assert progress_bar(wanted=False, total=3).disable
