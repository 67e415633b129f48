"""The numbers of runs stay what they were when `golden.json` was recorded, see `record.py`."""

import copy
import json

import pytest
import record

GOLDEN = json.loads(record.GOLDEN.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def same_machine():
    return record.this_machine() == GOLDEN["machine"]


def test_settings_lead_to_the_run_ids_that_are_on_peoples_disks(tmp_path):
    made = record.run_ids(record.write_images(tmp_path))
    assert {settings: made.get(settings) for settings in GOLDEN["run_ids"]} == GOLDEN["run_ids"]


@pytest.mark.parametrize("group", record.GROUPS)
def test_runs_come_to_the_recorded_numbers(group, same_machine, tmp_path):
    made = record.record_group(group, tmp_path)
    assert not record.differences(made, GOLDEN["runs"][group], bits=same_machine)


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
