import json

import pytest
from written import write_runs

from tfprune.experiments.plans import expand, outcome, plan_table, read_plan
from tfprune.experiments.results import find_results
from tfprune.methods import METHODS, TRIALS
from tfprune.utils.errors import ConfigError

PLAN = """
dataset = "penguins"
epochs = 12
methods = ["unpruned", "pruned", "lottery"]
sparsities = [0.5, 0.8]
seeds = 2

[grid]
learning_rate = [0.01, 0.03]
model.hidden = [[12], [16, 8]]
"lottery.rounds" = [1, 3]

[[runs]]
optimizer = "sgd"
optimizer.momentum = 0.9
"""


def plan(text, tmp_path):
    (tmp_path / "plan.toml").write_text(text)
    return read_plan(tmp_path / "plan.toml")


def test_a_grid_is_every_combination_once(tmp_path):
    configs = plan(PLAN.partition("[[runs]]")[0], tmp_path)
    count = {method: sum(config.method == method for config in configs) for method in METHODS}
    assert count["unpruned"] == 2 * 2 * 2  # rates, widths, seeds
    assert count["pruned"] == 2 * 2 * 2 * 2 and count["lottery"] == 2 * 2 * 2 * 2 * 2
    assert len(configs) == sum(count.values()) == len({config.run_id for config in configs})
    assert {config.settings["rounds"] for config in configs if config.method == "lottery"} == {1, 3}
    assert {tuple(config.model_settings["hidden"]) for config in configs} == {(12,), (16, 8)}
    assert {config.seed for config in configs} == {0, 1} and {config.epochs for config in configs} == {12}


def test_a_list_adds_settings_and_fixes_what_it_names():
    runs = [{"method": "pruned", "sparsity": 0.9}, {"batch_size": 25, "seed": 7}, {"optimizer": "sgd"}]
    configs = expand({"dataset": "penguins", "seeds": [3, 4], "methods": ["unpruned", "dynamic"], "runs": runs})
    said = [(config.method, config.requested_sparsity, config.batch_size, config.seed) for config in configs[:4]]
    dynamic = pytest.approx(1 - 0.83**2)
    assert said == [
        *(("pruned", 0.9, 50, seed) for seed in (3, 4)),
        *(("unpruned", 0.0, 25, 7), ("dynamic", dynamic, 25, 7)),
    ]
    assert [config.optimizer for config in configs] == ["adam"] * 4 + ["sgd"] * 4


def test_tables_of_settings_are_read_wherever_they_stand(tmp_path):
    text = 'dataset = "penguins"\nepochs = 12\nmethods = ["dynamic", "lottery"]\nlottery.rounds = 2\n'
    text += 'granularity = "filter"\n[model]\nhidden = [8]\n[grid]\nchannels.criterion = ["l1", "l2"]\n'
    configs = plan(text, tmp_path)
    assert [config.channel_settings["criterion"] for config in configs] == ["l1", "l1", "l2", "l2"]
    assert {tuple(config.model_settings["hidden"]) for config in configs} == {(8,)}
    assert {config.settings["rounds"] for config in configs if config.method == "lottery"} == {2}


def test_without_more_the_usual_methods_are_run_with_one_seed():
    assert [config.method for config in expand({"dataset": "penguins"})] == list(TRIALS)
    assert [config.method for config in expand({"dataset": "penguins", "methods": "all"})] == list(METHODS)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dataset": None}, "dataset is missing"),
        ({"methods": ["dinamic"]}, "unknown method 'dinamic': did you mean dynamic"),
        ({"methods": []}, "methods must be a list with at least one value"),
        ({"seeds": 0}, "seeds must be a whole number of at least 1, got 0"),
        ({"seeds": 99999999999}, "seeds must be a whole number of at most 10,000, got 99999999999"),
        ({"seeds": [-1]}, "seeds must be a whole number of at least 0, got -1"),
        ({"seeds": True}, "seeds must be a list"),
        ({"sparsities": 0.5}, "sparsities must be a list with at least one value, got 0.5"),
        ({"sparsities": [1.5]}, "must be a fraction in"),
        ({"grid": []}, "grid must be a table from settings to lists"),
        ({"grid": {"epochs": 5}}, "grid.epochs must be a list with at least one value, got 5"),
        ({"grid": {"epoch": [5]}}, "unknown setting 'epoch': did you mean epochs"),
        ({"grid": {"lottery.round": [5]}}, "method lottery has no setting 'round': did you mean rounds"),
        ({"grid": {"rounds": [5]}, "methods": ["lottery"]}, "rounds is a setting of methods: write lottery.rounds"),
        ({"grid": {"model.hiden": [5]}}, "model mlp has no setting 'hiden'"),
        (
            {"sparsities": [0.5], "dynamic.final_sparsity": 0.8},
            "dynamic.final_sparsity and the sparsities both say how much",
        ),
        ({"runs": {}}, "runs must be a list of tables"),
        ({"runs": []}, "runs must be a list of tables"),
    ],
)
def test_what_is_wrong_is_said(changes, message, tmp_path):
    values = {key: value for key, value in ({"dataset": "penguins"} | changes).items() if value is not None}
    with pytest.raises(ConfigError, match=message):
        expand(values)
    (tmp_path / "plan.json").write_text(json.dumps(values))
    with pytest.raises(ConfigError, match=f"plan.json: .*{message}"):
        read_plan(tmp_path / "plan.json")


def test_the_table_has_a_row_a_trial_and_the_settings_that_differ(tmp_path):
    write_runs(
        tmp_path, methods=("unpruned", "dynamic"), seeds=3, metrics={"validation": {"loss": 0.5, "accuracy": 0.8}}
    )
    write_runs(
        tmp_path, methods=("dynamic",), seeds=1, batch_size=25, metrics={"validation": {"loss": 0.25, "accuracy": 0.8}}
    )
    results, _ = find_results([tmp_path])
    headers, rows = plan_table(map(outcome, results))
    assert headers[:3] == ("method", "batch_size", "seeds") and headers[3] == "validation loss"
    assert sorted(row[:4] for row in rows) == [
        ("dynamic", "25", "1", "0.2500"),
        ("dynamic", "50", "3", "0.5000"),
        ("unpruned", "50", "3", "0.5000"),
    ]
    alone, together = results[0], [run for run in results[1:] if run.config.method == results[0].config.method]
    for run in together:
        run.metrics["networks"] = 2
    headers, rows = plan_table(map(outcome, [alone, *together]))
    assert headers[-2:] == ("seconds", "networks at once") and rows[0][-1] == "1, 2"
    assert plan_table(map(outcome, together[:1]))[0][-1] == "seconds"
