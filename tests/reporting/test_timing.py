import json

import pytest
from written import write_run, write_runs

from tfprune.experiments.results import find_results
from tfprune.reporting.comparison import remarks, summarise
from tfprune.reporting.tables import comparison_table, cost_table
from tfprune.reporting.timing import timing_notes, timing_of, trained_as_stacks, why_times_differ
from tfprune.reporting.verdicts import verdicts

MACHINE = {"cpu": "Some CPU", "cores": 2, "gpus": []}


def compared(folder):
    summary = summarise(find_results([folder])[0])
    cells = [dict(zip(headers, row, strict=True)) for headers, rows in tables(summary) for row in rows]
    return summary, cells


def tables(summary):
    return comparison_table(summary), cost_table(summary)


def less_time(summary):
    [verdict] = [verdict for verdict in verdicts(summary) if "less training time" in verdict.statement]
    return verdict


def test_times_compare_where_all_were_trained_alike(tmp_path):
    write_runs(tmp_path, metrics={"networks": 3})
    summary, cells = compared(tmp_path)
    assert all(values["times_differ"] is None for values in summary.values())
    assert all(cell["time / unpruned"].startswith("about ") for cell in cells)
    [note] = timing_notes(summary)
    assert note.startswith("Many networks were trained as one model: times of a method are 3 measurements, not one per")
    assert less_time(summary).low is None and "(no interval: 3 measurements" in less_time(summary).evidence


def test_times_of_networks_trained_one_by_one_have_intervals(tmp_path):
    write_runs(tmp_path)
    summary, cells = compared(tmp_path)
    assert not timing_notes(summary) and less_time(summary).low is not None
    assert all(cell["time / unpruned"] in ("1.00", "2.00") for cell in cells)


def test_rows_of_earlier_versions_show_by_their_seconds_that_they_were_stacked():
    def rows(*times):
        return {str(n): {"training_time": time} for n, time in enumerate(times)}

    assert trained_as_stacks(rows(1.0, 1.0, 2.0, 2.0)) == 2 and trained_as_stacks(rows(*[0.5] * 100)) == 1
    assert trained_as_stacks(rows(1.0, 1.1, 1.2, 1.3)) is None and trained_as_stacks(rows(1.0, 1.0)) is None
    alone = {seed: row | {"timing": {"networks": "alone"}} for seed, row in rows(*[1.0] * 6).items()}
    assert trained_as_stacks(alone) is None


def test_a_seed_that_was_trained_alone_leaves_times_and_their_verdict_blank(tmp_path):
    write_runs(tmp_path, ("unpruned", "pruned", "lottery"), metrics={"networks": 3})
    write_run(tmp_path, "dynamic", 0)
    for seed in (1, 2):
        write_run(tmp_path, "dynamic", seed, metrics={"networks": 2})
    summary, cells = compared(tmp_path)
    for cell in cells:
        assert bool(cell["time / unpruned"]) == (cell["method"] != "dynamic")
    assert summary["dynamic"]["ratio"]["training_time"] is None
    assert summary["dynamic"]["ratio"]["training_flops"] is not None  # which are the same however they are computed
    assert summary["dynamic"]["reached"]["seconds_to_reach"] is None
    verdict = less_time(summary)
    assert (verdict.outcome, verdict.low, verdict.high) == ("by construction", None, None)
    assert (
        "lottery: times do not compare: dynamic was trained alone, in the plain loop; 2 as one model, in the fused "
        "loop, lottery 3 as one model, in the fused loop"
    ) in verdict.evidence
    note, _ = timing_notes(summary)
    assert note.startswith("Blank where times do not compare: dynamic was trained alone") and "--out NEW_FOLDER" in note


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"machine": MACHINE | {"gpus": ["One GPU"]}}, "on Some CPU, 2 cores, One GPU"),
        ({"machine": MACHINE | {"cores": 8}}, "on Some CPU, 8 cores"),
        ({"seconds": {"train": 1.0, "compile": 2.0, "total": 3.0}}, "in the fused loop"),
        ({"networks": 1}, "in the fused loop"),
    ],
)
def test_machine_and_loop_are_part_of_it(changes, said):
    plain = {"machine": MACHINE, "seconds": {"train": 1.0, "total": 1.0}}
    own, other = ({"0": {"timing": timing_of(metrics)}} for metrics in (plain | changes, plain))
    assert why_times_differ("a", own, "b", own) is None
    assert why_times_differ("a", own, "b", other).startswith(f"times do not compare: a was trained {said}, b ")


def test_layers_whose_flops_are_left_out_are_named(tmp_path):
    folders = write_runs(tmp_path, ("unpruned", "pruned"))
    assert remarks(compared(tmp_path)[0]) == []
    cost = json.loads((folders[0] / "metrics.json").read_text())["cost"]
    write_run(tmp_path, "dynamic", metrics={"cost": cost | {"uncounted": ["scaled", "own"]}})
    [remark] = remarks(compared(tmp_path)[0])
    assert remark == "FLOPs and the speed-up leave out layers that cannot be counted: scaled, own."


def test_only_shared_seeds_count():
    alone, stacked = ({"timing": timing_of({"machine": MACHINE, "seconds": {}} | own)} for own in ({}, {"networks": 2}))
    assert why_times_differ("a", {"0": alone, "1": stacked}, "b", {"0": alone, "2": alone}) is None
    assert why_times_differ("a", {"0": {}}, "b", {"0": alone}) is None  # a row of an earlier version
