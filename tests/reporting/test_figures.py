import itertools
import re

import numpy as np
import pytest
from PIL import Image

from tfprune.reporting.comparison import paired_difference
from tfprune.reporting.figures.epochs import _one_axis, curves_panels, plot_curves, plot_mean_curves, plot_sparsity
from tfprune.reporting.figures.panels import DARK, LIGHT, MARKERS, looks_of
from tfprune.reporting.figures.rendering import _figure, _style, svg
from tfprune.reporting.figures.strips import comparison_panels, differences_panels, plot_comparison
from tfprune.reporting.figures.trade_offs import costs_panels, plot_sparsities, sparsities_panels, trade_off_panels


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


def summary_of(seeds=3, levels=(0.5,), methods=("pruned", "dynamic")):
    """What `summarise` would say, with numbers that differ between methods, seeds and levels."""
    summary = {}
    for place, (method, level) in enumerate([("unpruned", 0.0), *((m, level) for m in methods for level in levels)]):
        rows = {
            str(seed): {"test_loss": 0.5 + 0.1 * place + 0.01 * seed * place, "test_accuracy": 0.9 - 0.02 * place}
            for seed in range(seeds)
        }
        mean = {name: float(np.mean([row[name] for row in rows.values()])) for name in ("test_loss", "test_accuracy")}
        mean |= {"sparsity": level, "training_flops": 1e6 * (1 + place % 2), "training_flops_masked": 9e5}
        sd = {name: 0.01 if seeds > 1 else None for name in ("test_loss", "test_accuracy")}
        values = {"method": method, "requested_sparsity": level, "seeds": rows, "mean": mean, "sd": sd}
        values["ratio"] = {"nonzero_parameters": 1 - level, "training_flops_masked": 1 - level / 2}
        summary[f"{method} {100 * level:.0f} %" if len(levels) > 1 and level else method] = values
    return summary


ALL = ("pruned", "lottery", "dynamic", "random", "shuffled", "reinitialised", "small_dense", "longer", "tenth")


def drawn(panel, theme=LIGHT):
    """The axes of a panel, laid out."""
    with _style(theme):
        figure = _figure([panel], theme)
        figure.canvas.draw()
    return figure.axes[0]


@pytest.mark.parametrize("plot", [plot_comparison, plot_sparsities])
@pytest.mark.parametrize("seeds", [1, 5])
@pytest.mark.parametrize("levels", [(0.5,), (0.5, 0.9)])
def test_comparisons_are_drawn_for_one_seed_and_for_many(tmp_path, plot, seeds, levels):
    plot(summary_of(seeds, levels), tmp_path / "c.png", title=r"all $\frac$ of it")  # no mathematics
    assert picture(tmp_path / "c.png").std() > 5


def test_differences_are_those_of_shared_seeds_with_mean_and_interval():
    summary = summary_of(seeds=3)
    del summary["dynamic"]["seeds"]["2"]
    loss, accuracy = differences_panels(summary)
    paired = paired_difference(summary["pruned"]["seeds"], summary["unpruned"]["seeds"], "test_loss")
    assert f"pruned {paired['mean']:.4f} ({paired['low']:.4f} to {paired['high']:.4f})" in loss.alt
    assert "dynamic 0.2100 (0.0829 to 0.3371)." in loss.alt and "pruned -2.0 points" in accuracy.alt
    axes = drawn(loss)
    assert [label.get_text() for label in axes.get_yticklabels()] == ["pruned", "dynamic"]
    dots = [line for line in axes.lines if line.get_marker() == "o"]
    assert [sorted(line.get_xdata()) for line in dots] == [pytest.approx([0.1, 0.11, 0.12]), pytest.approx([0.2, 0.22])]
    assert [0.0, 0.0] in [list(line.get_xdata()) for line in axes.lines]  # the line of no difference


def test_without_a_pair_there_is_no_difference_and_with_one_no_interval():
    summary = summary_of(seeds=1)
    assert all("interval" not in panel.alt and "nan" not in panel.alt for panel in differences_panels(summary))
    assert differences_panels({"dynamic": summary["dynamic"]}) == []
    assert differences_panels({"unpruned": summary["unpruned"]}) == []


def test_what_is_far_from_the_best_gets_a_second_panel():
    summary = summary_of()
    assert len(sparsities_panels(summary)) == 1
    summary["pruned"]["mean"]["test_accuracy"] = 0.6
    _, near = sparsities_panels(summary)
    low, high = drawn(near).get_ylim()
    tops = [values["mean"]["test_accuracy"] + values["sd"]["test_accuracy"] for values in summary.values()]
    assert low == pytest.approx(0.82) and high > max(tops)  # no whisker is cut off


def test_a_narrower_network_is_drawn_at_the_sparsity_of_its_counterpart():
    summary = summary_of(methods=("small_dense",))
    summary["small_dense"]["mean"]["sparsity"] = 0.0
    (panel,) = sparsities_panels(summary)
    assert "unpruned 90.0 % at 0 %, small_dense 88.0 % at 50 %" in panel.alt
    points = [line.get_xdata()[0] for line in drawn(panel).lines if line.get_marker() in "os"]
    assert points == pytest.approx([0.0, 0.5])


def test_marks_of_ten_methods_stay_apart():
    summary = summary_of(methods=ALL)
    panel = sparsities_panels(summary)[0]
    places = sorted(line.get_xdata()[0] for line in drawn(panel).lines if line.get_marker() in tuple(MARKERS))
    assert len(places) == 10 and min(np.diff(places)) > 0.01
    looks = looks_of(summary, LIGHT)
    assert len(set(looks.values())) == len({c for c, _ in looks.values()}) == len({m for _, m in looks.values()}) == 10


def test_many_lines_are_a_panel_per_method_with_the_others_in_grey():
    summary = summary_of(methods=ALL, levels=(0.3, 0.5, 0.9))
    panels = sparsities_panels(summary)
    assert [panel.title for panel in panels] == list(dict.fromkeys(values["method"] for values in summary.values()))
    axes = drawn(panels[3])
    colours = [line.get_color() for line in axes.lines if len(line.get_xdata()) == 3 and line.get_marker() != "_"]
    assert colours.count(LIGHT.train) == 1 and set(colours) == {LIGHT.train, LIGHT.muted}
    assert len({drawn(panel).get_ylim() for panel in panels}) == 1


def test_no_bar_of_a_share_goes_past_all_of_it():
    summary = summary_of(methods=("unpruned", "dynamic"))
    for values in summary.values():
        values["mean"]["test_accuracy"], values["sd"]["test_accuracy"] = 0.99, 0.05
    for panel in (comparison_panels(summary)[1], sparsities_panels(summary)[0], costs_panels(summary)[1]):
        axes = drawn(panel)
        ends = [x if axes.get_ylabel() == "" else y for line in axes.lines for x, y in line.get_xydata()]
        segments = [own for lines in axes.collections for own in lines.get_segments()]
        ends += [end[1] for own in segments for end in own]
        assert max(ends) <= 1.0 or axes.get_ylabel() != "test accuracy"


def test_marks_without_bars_stand_at_their_sparsity():
    summary = summary_of(methods=("pruned", "dynamic"))
    for values in summary.values():
        values["sd"]["test_accuracy"] = None
    marks = [line for line in drawn(sparsities_panels(summary)[0]).lines if line.get_marker() in tuple(MARKERS)]
    assert sorted(line.get_xdata()[0] for line in marks) == pytest.approx([0.0, 0.5, 0.5])


@pytest.mark.parametrize("levels", [(0.5,), (0.3, 0.5, 0.9)])
def test_names_of_ten_methods_do_not_overlap(levels):
    summary = summary_of(methods=ALL, levels=levels)
    for panel in (*comparison_panels(summary), *sparsities_panels(summary), *costs_panels(summary)):
        axes = drawn(panel)
        figure = axes.get_figure()
        legend = [text for legend in figure.legends for text in legend.get_texts()]
        (left, right), (low, high) = axes.get_xlim(), sorted(axes.get_ylim())
        below = [text for text in axes.get_xticklabels() if left <= text.get_position()[0] <= right]
        beside = [text for text in axes.get_yticklabels() if low <= text.get_position()[1] <= high]
        assert len(below) > 2 and len(beside) > 2
        for texts in (below, beside, legend):
            boxes = [text.get_window_extent() for text in texts if text.get_text()]
            assert not [(a, b) for a, b in itertools.combinations(boxes, 2) if a.overlaps(b)]
            assert all(box.x0 >= 0 and box.x1 <= figure.bbox.width for box in boxes)


def test_more_methods_than_colours_differ_in_their_marks():
    looks = looks_of(summary_of(methods=[*ALL, *(f"another_{n}" for n in range(12))]), LIGHT)
    assert len(set(looks.values())) == 22


def test_trade_offs_are_a_line_a_method_through_its_sparsities():
    summary = summary_of(methods=("pruned",), levels=(0.5, 0.75))
    compression, flops = trade_off_panels(summary)
    axes = drawn(compression)
    [line] = (line for line in axes.lines if line.get_label() == "pruned")
    np.testing.assert_allclose(line.get_xdata(), [2, 4])
    assert axes.get_xscale() == "log" and "pruned 75 % 86.0 % at 4.00" in compression.alt
    assert "pruned 75 % 86.0 % at 0.62" in flops.alt


def test_what_is_far_below_all_the_rest_does_not_flatten_the_trade_offs():
    summary = summary_of(methods=("pruned", "dynamic", "lottery"), levels=(0.5, 0.75))
    assert "cut off" not in drawn(trade_off_panels(summary)[0]).get_ylabel()
    summary["pruned 75 %"]["mean"]["test_accuracy"] = 0.1
    axes = drawn(trade_off_panels(summary)[0])
    assert axes.get_ylim()[0] > 0.5 and "cut off" in axes.get_ylabel()


def test_costs_are_drawn_twice_where_zeros_could_be_left_out():
    summary = summary_of(methods=("pruned",))
    summary["unpruned"]["mean"]["training_flops_masked"] = summary["unpruned"]["mean"]["training_flops"]
    for panel in costs_panels(summary):
        hollow = [line for line in drawn(panel).lines if line.get_markerfacecolor() == "none"]
        assert [(line.get_marker(), list(line.get_xdata())) for line in hollow] == [("s", [9e5])]
    assert "pruned 0.610 for 2e+06 (9e+05 with zeros left out)" in costs_panels(summary)[0].alt


def test_costs_that_lie_far_apart_get_a_logarithmic_axis():
    summary = summary_of(methods=("pruned",))
    assert drawn(costs_panels(summary)[0]).get_xscale() == "linear"
    summary["pruned"]["mean"]["training_flops_masked"] = 1e4
    assert drawn(costs_panels(summary)[0]).get_xscale() == "log"


def test_curves_name_where_it_ends_and_what_was_pruned_when():
    other = [row("dense", 1, 4, loss=3.0), row("dense", 2, 8), row("ticket 1", 2, 16, 0.3, loss=2.0)]
    never, lottery = curves_panels({"unpruned": [LOTTERY[:2]], "lottery": [LOTTERY, other]})
    assert never.alt.endswith("1.000 in training and 1.100 in validation; never pruned.")
    assert lottery.alt.startswith("Loss of lottery over 4 epochs, at the end 1.500 in training")
    assert lottery.alt.endswith("pruned after epoch 2.")  # seeds that logged other epochs share the rest
    one, two = drawn(never), drawn(lottery)
    assert one.get_ylim() == two.get_ylim()
    bands = [path.vertices[:, 1] for band in two.collections for path in band.get_paths()]
    assert any((values.min(), values.max()) == pytest.approx((1.0, 3.0)) for values in bands)


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_an_svg_is_in_the_colours_of_its_theme_and_always_the_same(theme):
    panel = costs_panels(summary_of())[0]
    image = svg(panel, theme)
    assert image == svg(panel, theme) and image.startswith("<svg")
    used, other = (DARK, LIGHT) if theme is DARK else (LIGHT, DARK)
    for text in (image, svg(curves_panels({"lottery": [LOTTERY]})[0], theme)):
        assert used.ink in text and other.ink not in text
    assert used.methods[0].lower() in image.lower() and other.methods[0].lower() not in image.lower()
    assert {url for url in re.findall(r"https?://[^\"<]*", image)} <= {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }


def luminance(colour):
    channels = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_colours_stand_out_from_the_paper(theme):
    def contrast(colour):
        high, low = sorted((luminance(colour), luminance(theme.paper)), reverse=True)
        return (high + 0.05) / (low + 0.05)

    assert contrast(theme.ink) > 10
    for colour in (theme.muted, theme.train, theme.validation, theme.sparsity, *theme.methods):
        assert contrast(colour) >= 3, colour  # what WCAG 2 asks of graphics
