import numpy as np
import pytest
from PIL import Image

from tfprune.comparison import RATIOS
from tfprune.errors import RunError
from tfprune.report import (
    _one_axis,
    comparison_table,
    plot_comparison,
    plot_curves,
    plot_mean_curves,
    plot_sparsities,
    plot_sparsity,
    update_page,
)


def row(phase, epoch, step, sparsity=0.0, loss=1.0):
    values = {"loss": loss, "accuracy": 0.5, "val_loss": loss + 0.1, "val_accuracy": None}
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


def test_mean_curves_are_drawn_for_any_number_of_methods(tmp_path):
    histories = {
        "dense": [LOTTERY[:2]],
        "lottery": [LOTTERY, LOTTERY],
        "pruned": [PRUNED],
        "d": [LOTTERY],
        "e": [REWOUND],
    }
    for count in (1, 5):
        plot_mean_curves(dict(list(histories.items())[:count]), tmp_path / "m.png", title="all")
        assert picture(tmp_path / "m.png").std() > 5


def test_accuracy_is_drawn_against_sparsity_for_one_seed_and_for_many(tmp_path):
    for deviation in (None, 0.01):
        summary = {}
        for method, sparsity in (("dense", 0.0), ("a", 0.9), ("a", 0.5), ("b", 0.5)):
            values = {"mean": {"test_accuracy": 0.9 - sparsity / 5, "sparsity": sparsity}}
            summary[f"{method} {sparsity}"] = values | {"method": method, "sd": {"test_accuracy": deviation}}
        plot_sparsities(summary, tmp_path / "s.png", title="all")
        assert picture(tmp_path / "s.png").std() > 5


def test_the_table_gives_means_deviations_and_ratios():
    mean = {"test_loss": 0.5, "test_accuracy": 0.9, "sparsity": 0.3, "nonzero_parameters": 1400.0}
    mean |= {"weights_gzip": 9000, "epochs": 4000}
    one = {"seeds": {"0": {}}, "mean": mean, "sd": dict.fromkeys(mean), "ratio": dict.fromkeys(RATIOS), "delta": None}
    two = {"seeds": {"0": {}, "1": {}}, "mean": mean, "sd": dict.fromkeys(mean, 0.01)}
    two |= {"ratio": dict.fromkeys(RATIOS, 1.5)}
    two["delta"] = {"mean": 0.1, "low": -0.01, "high": 0.2, "p_holm": 0.0412}
    headers, rows = comparison_table({"a": one, "b": two})
    assert len(headers) == len(rows[0]) == len(rows[1])
    assert rows[0] == ("a", "1", "0.5000", "", "", "90.0 %", "30.0 %", "1,400", "9.0", "4,000", "")
    assert rows[1][2:5] == ("0.5000 ± 0.0100", "+0.1000 (-0.0100 to +0.2000)", "0.041")
    assert rows[1][5] == "90.0 ± 1.0 %" and rows[1][-1] == "1.50"


def test_a_page_without_marks_is_named(tmp_path):
    (tmp_path / "page.md").write_text("# Page\n<!-- results -->\n")
    for name, message in (("page.md", "has no <!-- results -->"), ("absent.md", "cannot be read")):
        with pytest.raises(RunError, match=message):
            update_page(tmp_path / name, "results", "table")
    assert (tmp_path / "page.md").read_text() == "# Page\n<!-- results -->\n"
