import numpy as np
import pytest
from PIL import Image

from tfprune.report import _one_axis, plot_comparison, plot_curves, plot_sparsity


def row(phase, epoch, step, sparsity=0.0, loss=1.0):
    values = {"loss": loss, "accuracy": 0.5, "val_loss": loss, "val_accuracy": None}
    return {"phase": phase, "epoch": epoch, "step": step, "sparsity": sparsity} | values


LOTTERY = [row("dense", 1, 4), row("dense", 2, 8), row("ticket 1", 1, 12, 0.3), row("ticket 1", 2, 16, 0.3)]
PRUNED = [row("dense", 1, 4), row("dense", 2, 8), row("pruned", 2, 8, 0.3)]
REWOUND = [row("dense", 1, 4), row("dense", 4, 16), row("ticket 1", 3, 20, 0.3), row("ticket 1", 4, 24, 0.3)]


@pytest.mark.parametrize(
    ("history", "positions", "phases"),
    [
        (LOTTERY, [1, 2, 3, 4], [("dense", 0), ("ticket 1", 2)]),
        (PRUNED, [1, 2, 2], [("dense", 0), ("pruned", 2)]),
        (REWOUND, [1, 4, 5, 6], [("dense", 0), ("ticket 1", 4)]),
    ],
)
def test_phases_follow_one_another_on_the_axis(history, positions, phases):
    rows, at, starts = _one_axis(history)
    assert rows == history and at == positions and starts == phases


def picture(path):
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


@pytest.mark.parametrize("history", [LOTTERY, PRUNED, LOTTERY[:1]])
def test_figures_are_drawn_for_any_history(tmp_path, history):
    plot_curves(history, tmp_path / "curves.png", title="run")
    plot_sparsity(
        history, {"a": {"zeros": 3, "size": 4}, "b": {"zeros": 0, "size": 4}}, tmp_path / "s.png", title="run"
    )
    for name in ("curves.png", "s.png"):
        image = picture(tmp_path / name)
        assert image.shape[1] == 1200 and image.std() > 5


@pytest.mark.parametrize("seeds", [1, 5])
def test_comparison_is_drawn_for_one_seed_and_for_many(tmp_path, seeds):
    runs = {name: [{"test_loss": 0.5 + n, "test_accuracy": 0.9} for n in range(seeds)] for name in ("a", "b")}
    plot_comparison(runs, tmp_path / "c.png", title="all")
    assert picture(tmp_path / "c.png").std() > 5
