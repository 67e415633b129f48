import numpy as np
import pytest
from alone import trained
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tfprune.adapters.tf_keras.mask_values import get_masks
from tfprune.data._base import SPLITS
from tfprune.experiments.experiment import train
from tfprune.experiments.measuring import cost
from tfprune.experiments.run_data import load_data
from tfprune.experiments.rundir import RunDir
from tfprune.experiments.sweeps import run_all
from tfprune.experiments.together import networks_at_once, orders_of, score_together, train_together
from tfprune.methods import METHODS, TRIALS
from tfprune.training.config import Config
from tfprune.training.stacking import stack_weights

PARTS = {"train": "", "validation": "val_"}  # of a run on TensorBoard -> how the columns of its history begin
SETTINGS = {
    "as the penguins have it": ({}, tuple(METHODS)[::3]),
    "every method": ({}, tuple(METHODS)),
    "another order for each network, and a smaller last batch": (
        {
            **{"shuffle": True, "batch_size": 64, "scope": "global", "exclude": ("last",)},
            **{"learning_rate_schedule": "cosine", "warmup_epochs": 2.0},
        },
        ("unpruned", "lottery", "rigl"),
    ),
}


@pytest.mark.parametrize(
    ("settings", "methods"),
    [
        pytest.param(*own, id=name, marks=[pytest.mark.slow] * (name != "as the penguins have it"))
        for name, own in SETTINGS.items()
    ],
)
def test_runs_that_are_trained_together_come_to_the_numbers_of_each_alone(tmp_path, settings, methods):
    common = {"dataset": "penguins", "epochs": 40} | settings
    configs = [Config(**common, method=m, seed=s, out=tmp_path / "together") for m in methods for s in (0, 3)]
    assert networks_at_once(configs[0]) == 100
    results = train_together(configs)
    assert [(run.config.method, run.config.seed) for run in results] == [(m, s) for m in methods for s in (0, 3)]
    for together in results[1::2]:
        own = trained(together.config)
        assert all((together.masks()[name] == mask).all() for name, mask in get_masks(own.model).items())
        for split in SPLITS:
            assert together.metrics[split] == pytest.approx(own.evaluate(getattr(own.data, split)), abs=1e-5)
        assert (together.metrics["untuned"] is None) is (own.untuned is None)
        for name, score in (own.untuned or {"test": {}})["test"].items():
            assert together.metrics["untuned"]["test"][name] == pytest.approx(score, abs=1e-5)
        mine = {name: float(value) for name, value in cost(own).items()}
        assert together.metrics["cost"] == pytest.approx(mine), together.config.method
        for row, theirs in zip(own.history, together.history(), strict=True):
            assert theirs.pop("phase") == row["phase"]
            assert theirs == pytest.approx({key: row[key] for key in theirs}, abs=1e-5)


@pytest.mark.slow
def test_a_run_that_is_trained_together_leaves_the_metrics_of_one_alone(tmp_path):
    settings = {"dataset": "penguins", "epochs": 12}
    configs = [Config(**settings, method=m, seed=s, out=tmp_path / "together") for m in TRIALS for s in (0, 3)]
    for together in train_together(configs)[1::2]:
        alone = train(together.config.replace(out=str(tmp_path / "alone")))
        own, other = alone.metrics, together.metrics
        for split in ("train", "validation", "test"):
            assert other[split] == pytest.approx(own[split], abs=1e-5)
        for key in ("sparsity", "epochs", "parameters", "nonzero_parameters", "seed", "selection"):
            assert other[key] == own[key], key
        assert other["cost"] == pytest.approx(own["cost"]), together.config.method
        assert other["networks"] == 2
        masks = together.masks()
        assert all((masks[name] == mask).all() for name, mask in alone.masks().items())
        for row, theirs in zip(alone.history(), together.history(), strict=True):
            assert theirs.pop("phase") == row.pop("phase")
            assert theirs == pytest.approx(row, abs=1e-5)


def test_scores_are_those_of_runs_that_leave_folders(tiny, tmp_path):
    methods = ("unpruned", "dynamic", "lottery")
    configs = [tiny(method, seed=seed, shuffle=True, epochs=12) for method in methods for seed in (0, 3)]
    drawn = orders_of(configs, load_data(configs[0]))
    scores = [score for own in score_together(configs, drawn, log_every=5) for score in own]
    assert drawn.epochs == 12
    assert not tmp_path.exists() or not any(tmp_path.iterdir())
    for score, run in zip(scores, train_together(configs), strict=True):
        assert score.config == run.config and not score.diverged and score.cpu_seconds > 0
        assert (score.sparsity, score.epochs) == (run.sparsity, run.metrics["epochs"])
        for split in SPLITS:
            assert score.scores[split] == pytest.approx(run.metrics[split], abs=1e-5)


def test_a_network_that_diverges_leaves_the_others_alone(tmp_path, monkeypatch):
    build = stack_weights

    def broken(weights):
        return build([[np.full_like(w, np.nan) for w in own] if n == 1 else own for n, own in enumerate(weights)])

    monkeypatch.setattr("tfprune.experiments.together.stack_weights", broken)
    configs = [
        Config(dataset="penguins", method=m, epochs=4, seed=seed, out=tmp_path) for m in TRIALS for seed in range(3)
    ]
    results = train_together(configs)
    assert [run.config.seed for run in results] == [0, 2] * len(TRIALS)
    assert all(np.isfinite(run.metrics["test"]["loss"]) for run in results)
    assert {path.name for path in tmp_path.iterdir()} == {run.config.run_id for run in results}


def test_networks_that_all_diverge_are_reported_one_by_one(tmp_path):
    wild = {"learning_rate": 1e38, "optimizer": "sgd", "model_settings": {"output_activation": "linear"}}
    configs = [Config(dataset="penguins", method="dynamic", epochs=4, seed=n, out=tmp_path, **wild) for n in range(2)]
    results, failures = run_all(configs)
    assert results == [] and len(failures) == 2 and all("try a lower --learning-rate" in line for line in failures)


def test_large_data_leave_room_for_few_networks(tiny, monkeypatch):
    monkeypatch.setattr("tfprune.experiments.together.LARGEST_SPLIT", 3 * 200 * 12 * 4)
    assert networks_at_once(tiny()) == 3


@pytest.mark.parametrize(
    "settings",
    [{"loop": "plain"}, {"precision": "mixed_bfloat16"}, {"batch_size": 1}],
)
def test_what_cannot_be_trained_together_is_told_apart(tiny, settings):
    assert networks_at_once(tiny(**settings)) == 1


def test_what_runs_side_by_side_leave_is_written_under_their_locks(tiny, monkeypatch):
    create, held = RunDir.create, []

    def created(self):
        held.append((self.root / ".lock").is_file())
        create(self)

    monkeypatch.setattr(RunDir, "create", created)
    results = train_together([tiny("unpruned", seed=seed) for seed in (0, 1)])
    assert held == [True, True]
    assert all(result.folder.finished and not (result.folder.root / ".lock").exists() for result in results)


def test_each_run_has_the_curves_of_its_history_on_tensorboard_and_a_card(tiny):
    for run in train_together([tiny("dynamic", seed=seed) for seed in (0, 1)]):
        boards = {part: EventAccumulator(str(run.folder.tensorboard / part)).Reload() for part in PARTS}
        assert {path.name for path in run.folder.tensorboard.iterdir()} == set(PARTS)
        shown = {
            f"{prefix}{tag}": [(event.step, event.value) for event in boards[part].Scalars(tag)]
            for part, prefix in PARTS.items()
            for tag in boards[part].Tags()["scalars"]
            if not tag.startswith("final_by_parameters/")
        }
        rows = run.history()
        assert set(shown) == {"loss", "accuracy", "sparsity", "val_loss", "val_accuracy"}
        for tag, events in shown.items():
            assert [step for step, _ in events] == [row["step"] for row in rows]
            assert [value for _, value in events] == pytest.approx([row[tag] for row in rows])
        (final,) = boards["train"].Scalars("final_by_parameters/test_accuracy")
        assert final.step == run.metrics["nonzero_parameters"]
        assert final.value == pytest.approx(run.metrics["test"]["accuracy"])
        assert "_hparams_/session_start_info" in boards["train"].summary_metadata
        assert run.config.run_id in run.folder.card.read_text()
