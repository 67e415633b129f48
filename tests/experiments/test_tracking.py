import importlib.util
import logging

import pytest

from tfprune.experiments.experiment import train
from tfprune.experiments.together import train_together
from tfprune.experiments.tracking import EXPERIMENT, Tracker, tracked
from tfprune.training.trainer import Trainer
from tfprune.utils.errors import ConfigError, RunError

needs_mlflow = pytest.mark.skipif(
    importlib.util.find_spec("mlflow") is None, reason="MLflow is not installed (extra [mlflow])"
)


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """Returns the MLflow runs in a folder, the oldest first."""
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")

    def found(folder=tmp_path / "ml"):
        from mlflow import MlflowClient

        client = MlflowClient(tracking_uri=folder.as_uri())
        experiment = client.get_experiment_by_name(EXPERIMENT).experiment_id
        return client, client.search_runs([experiment], order_by=["attributes.start_time ASC"])

    return found


def logged(client, run, name):
    return [(metric.step, metric.value) for metric in client.get_metric_history(run.info.run_id, name)]


@needs_mlflow
def test_a_run_that_is_cut_off_goes_on_in_the_same_mlflow_run(tiny, tmp_path, monkeypatch, runs):
    config = tiny(mlflow=str(tmp_path / "ml"), checkpoint_every="4")

    def stop(self):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "finish", stop)  # two epochs after the checkpoint
        with pytest.raises(KeyboardInterrupt):
            train(config)
    client, [run] = runs()
    assert run.info.status == "KILLED" and len(logged(client, run, "loss")) == 6
    result = train(config)
    client, [run] = runs()
    assert run.info.status == "FINISHED" and run.info.run_name == config.run_id
    rows = result.history()
    for name in ("loss", "accuracy", "val_loss", "val_accuracy", "sparsity"):
        assert logged(client, run, name) == [(row["step"], row[name]) for row in rows], name  # each once
    assert run.data.metrics["final/test_loss"] == result.metrics["test"]["loss"]
    assert run.data.metrics["final/sparsity"] == pytest.approx(55 / 180)
    assert run.data.params["method"] == "dynamic" and run.data.params["settings.rate"] == "0.17"
    assert "mlflow" not in run.data.params and run.data.tags["tfprune.folder"] == str(result.folder.root)
    assert {file.path for file in client.list_artifacts(run.info.run_id)} == {
        *("config.json", "metrics.json", "history.csv", "curves.png", "sparsity.png"),
    }


@needs_mlflow
def test_side_by_side_each_run_is_one_in_mlflow(tiny, tmp_path, runs):
    configs = [tiny(method="pruned", seed=seed, mlflow=str(tmp_path / "ml")) for seed in (0, 1)]
    results = train_together(configs)
    client, found = runs()
    assert {run.info.run_name for run in found} == {config.run_id for config in configs}
    for result in results:
        [run] = (run for run in found if run.info.run_name == result.config.run_id)
        assert logged(client, run, "sparsity") == [(row["step"], row["sparsity"]) for row in result.history()]


@needs_mlflow
def test_a_store_that_fails_is_an_error_at_first_and_a_warning_later(tiny, tmp_path, caplog, runs):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="MLflow cannot use gopher://there"), tracked(tiny(mlflow="gopher://there")):
        pass
    with (
        pytest.raises((ConfigError, RunError), match="MLflow"),
        tracked(tiny(mlflow=str(tmp_path / "file" / "ml"))) as tracker,
    ):
        tracker.begin(None)
    row = {"phase": "train", "epoch": 1, "step": 4, "loss": 0.5, "sparsity": 0.0}
    with tracked(tiny(mlflow=str(tmp_path / "ml"))) as tracker:
        tracker.begin("0" * 32)  # a run that this store does not know
        client, [run] = runs()
        (tmp_path / "ml").rename(tmp_path / "away")
        with caplog.at_level(logging.WARNING, "tfprune"):
            tracker.log([row])
        assert "does not answer" in caplog.text and "the run goes on" in caplog.text
        (tmp_path / "away").rename(tmp_path / "ml")
        tracker.log([row, row | {"step": 8}])  # what was not taken is logged now
    assert logged(client, run, "loss") == [(4, 0.5), (8, 0.5)]


def test_without_mlflow_nothing_is_tracked_or_it_is_said_how_to_get_it(tiny, monkeypatch):
    with tracked(tiny()) as tracker:
        assert type(tracker) is Tracker and tracker.id is None
    with tracked(tiny(mlflow="ml"), keeps=False) as tracker:  # in a worker that keeps no files
        assert type(tracker) is Tracker
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'tfprune\[mlflow\]'"), tracked(tiny(mlflow="ml")):
        pass
    assert tiny(mlflow="ml").run_id == tiny().run_id  # where a run is tracked does not make it another
