"""The numbers of runs stay what they were when `golden.json` was recorded, see `record.py`."""

import copy
import json

import pytest
import record

from tfprune.methods import METHODS

GOLDEN = json.loads(record.GOLDEN.read_text(encoding="utf-8"))
LOOPS = ("plain", "fused", "stacked")  # groups of every method
USUAL = ("filters", "convolutions")


@pytest.fixture(scope="module")
def same_machine():
    return record.this_machine() == GOLDEN["machine"]


def test_settings_lead_to_the_run_ids_that_are_on_peoples_disks(tmp_path):
    made = record.run_ids(record.write_images(tmp_path))
    assert {settings: made.get(settings) for settings in GOLDEN["run_ids"]} == GOLDEN["run_ids"]


@pytest.mark.parametrize(
    "group", [own if own in USUAL else pytest.param(own, marks=pytest.mark.slow) for own in record.GROUPS]
)
def test_runs_come_to_the_recorded_numbers(group, same_machine, tmp_path):
    made = record.record_group(group, tmp_path)
    assert not record.differences(made, GOLDEN["runs"][group], bits=same_machine)


@pytest.mark.parametrize(("group", "place"), [(group, place) for place, group in enumerate(LOOPS)])
def test_each_method_comes_to_the_recorded_numbers_in_one_of_the_loops(group, place, same_machine, tmp_path):
    methods = tuple(METHODS)[place :: len(LOOPS)]
    made = record.record_group(group, tmp_path, methods)
    recorded = {run: own for run, own in GOLDEN["runs"][group].items() if run in made}
    assert len(recorded) >= len(methods) and not record.differences(made, recorded, bits=same_machine)


def test_each_part_of_a_record_is_compared():
    golden = GOLDEN["runs"]["filters"]
    run = next(iter(golden))
    for part, names in golden[run].items():
        for name, value in names.items():
            changed = copy.deepcopy(golden)
            changed[run][part][name] = value * (1 + 1e-4) if part == "numbers" else "other"
            [line] = record.differences(changed, golden, bits=True)
            assert line.startswith(f"{run}: ") and name in line
            assert (part == "bits") == (not record.differences(changed, golden, bits=False))
    assert record.differences({}, {run: golden[run]}, bits=True) == [f"{run}: recorded, and not run"]
