import sys
import types

import pytest

from tfprune.utils.curves import curves_figure
from tfprune.utils.notebook import LiveCurves

ROWS = [{"loss": 1.0 / epoch, "val_loss": None, "sparsity": 0.1 * epoch} for epoch in (1, 2, 3)]


class ZMQInteractiveShell:
    """What IPython runs in where there is a notebook."""


@pytest.fixture
def notebook(monkeypatch):
    """Pretends that this is a notebook; returns what it shows: a figure each, and how it was shown."""
    shown = []
    handle = types.SimpleNamespace(update=lambda figure: shown.append(("update", figure)))
    ipython = types.ModuleType("IPython")
    ipython.version_info = (9, 0)
    ipython.get_ipython = ZMQInteractiveShell
    ipython.display = types.ModuleType("IPython.display")
    ipython.display.display = lambda figure, display_id: shown.append(("display", figure)) or handle
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", ipython.display)
    return shown


def test_a_training_is_shown_once_and_then_brought_up_to_date(notebook):
    history = []
    live = LiveCurves(history, every=0.0)
    live.update()
    for row in ROWS:
        history.append(row)
        live.update()
    live.finish()
    assert [how for how, _ in notebook] == ["display", "update", "update", "update"]
    assert len(notebook[-1][1].axes[0].lines[0].get_xdata()) == 3


def test_figures_are_not_drawn_more_often_than_they_can_be_looked_at(notebook):
    live = LiveCurves(ROWS, every=3600.0)
    for _ in range(5):
        live.update()
    assert len(notebook) == 1


def test_nothing_is_shown_where_there_is_no_notebook(monkeypatch):
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    live = LiveCurves(ROWS, every=0.0)
    live.update()
    live.finish()
    assert live._display is None


def test_a_figure_has_loss_and_sparsity_and_shows_itself():
    figure = curves_figure(ROWS)
    left, right = figure.axes
    assert [line.get_label() for line in left.lines] == ["training"] and right.get_ylim() == (0, 100)
    assert figure._repr_png_().startswith(b"\x89PNG")
