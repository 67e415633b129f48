from written import write_runs

from tfprune.experiments.results import find_results
from tfprune.reporting.comparison import summarise
from tfprune.reporting.figures.forest import accuracy_panel
from tfprune.reporting.figures.panels import LIGHT
from tfprune.reporting.figures.rendering import _figure


def test_differences_stand_beside_their_margin_and_one_method_apart(tmp_path):
    write_runs(tmp_path)
    panel = accuracy_panel(summarise(find_results([tmp_path])[0]))
    assert panel.alt.startswith("Accuracy less that of unpruned, in points: ")
    assert "dynamic -0.20 (all seeds alike)" in panel.alt and "unpruned -" not in panel.alt
    [axes] = _figure([panel], LIGHT).axes
    names = [label.get_text() for label in axes.get_yticklabels()]
    colours = {name: axes.lines[2 * place].get_color() for place, name in enumerate(names)}
    assert set(names) == {"pruned", "lottery", "dynamic"} and colours["dynamic"] == LIGHT.train
    assert {colours[name] for name in names if name != "dynamic"} == {LIGHT.muted}
    [band] = axes.patches
    assert (band.get_x(), band.get_x() + band.get_width()) == (-0.5, 0.5)
