import json
import os

import pytest

from tfprune.training.config import Config, model_defaults
from tfprune.utils.errors import ConfigError, TfpruneError


def config(**changes):
    return Config(**{"dataset": "penguins"} | changes)


@pytest.mark.parametrize(
    ("changes", "run_id"),
    [  # Golden: these names are on people's disks. A change here makes every finished run be run again.
        ({}, "penguins-dynamic-seed0"),
        ({"method": "lottery", "seed": 12}, "penguins-lottery-seed12"),
        ({"epochs": 300}, "penguins-dynamic-seed0-9239defb"),
        ({"settings": {"rate": 0.2}}, "penguins-dynamic-seed0-83e2f93e"),
        ({"settings": {"rate_factor": 3.0}}, "penguins-dynamic-seed0-eb6b8354"),
        ({"scope": "global", "exclude": ("dense_2",)}, "penguins-dynamic-seed0-7b2b46c1"),
        ({"scope": "global", "spare": ("dense_2",)}, "penguins-dynamic-seed0-7b2b46c1"),
        ({"model_settings": {"hidden": [16, 8]}}, "penguins-dynamic-seed0-6773d5b6"),
        ({"granularity": "filter"}, "penguins-dynamic-seed0-0e563461"),
        ({"granularity": "filter", "channel_settings": {"multiple": 4}}, "penguins-dynamic-seed0-f984f9a1"),
        ({"granularity": "block"}, "penguins-dynamic-seed0-d1673c15"),
        ({"granularity": "n:m"}, "penguins-dynamic-seed0-cee43939"),
        ({"deterministic": True}, "penguins-dynamic-seed0-4341945c"),
    ],
)
def test_run_ids_are_readable_and_stable(changes, run_id):
    assert config(**changes).run_id == run_id


def test_what_prunes_nothing_has_no_granularity():
    """So that runs of all granularities share it, whatever else they are told."""
    own = config(method="dynamic", granularity="filter", channel_settings={"criterion": "taylor"})
    filled = {"criterion": "taylor", "multiple": 8, "slots": "keep", "dropout": "keep", "recalibrate": 0}
    assert own.channel_settings == filled
    assert own.as_baseline().run_id == config(method="unpruned").run_id
    assert config(method="unpruned", granularity="filter").run_id == config(method="unpruned").run_id
    assert own.replace(granularity="weight").run_id == config().run_id


def test_n_in_every_m_decides_the_sparsity():
    own = config(granularity="n:m", pattern="1:4")
    assert own.requested_sparsity == own.settings["final_sparsity"] == 0.75 and own.pooling is None
    assert own.replace(method="lottery").settings["sparsity"] == 0.75 and own.as_baseline().pattern is None
    assert config(method="pruned", granularity="n:m", pattern="1:3", settings={"sparsity": 0.667}).pattern == "1:3"
    assert config(granularity="block").pattern == "4x1" and config(granularity="block").pooling == "avg"
    assert config(granularity="block", pattern="16x2").replace(granularity="weight").run_id == config().run_id


def test_where_things_lie_is_not_part_of_the_run_id():
    assert config(out="elsewhere", data_dir="data").run_id == config().run_id


@pytest.mark.parametrize("method", ["dynamic", "pruned", "lottery", "random"])
def test_a_setting_that_came_later_does_not_rename_runs(method):
    named = config(method=method, epochs=9, settings={}).replace(settings={"criterion": "lamp"})
    default = config(method=method, epochs=9).run_id
    assert named.run_id != default
    assert named.replace(settings={"criterion": "random" if method == "random" else "magnitude"}).run_id == default


def test_a_method_ranks_in_its_papers_scope_unless_another_is_named():
    assert config().scope == "layer" and config(method="snip").scope == "global"
    assert config(method="snip").replace(method="dynamic").run_id == config().run_id
    assert config(method="snip", scope="layer").replace(method="synflow").scope == "layer"
    assert config(method="snip", scope="global").run_id == config(method="snip").run_id
    baseline = config(method="unpruned").run_id
    assert {config(method="snip", scope=scope).as_baseline().run_id for scope in (None, "layer", "erk")} == {baseline}


def test_spelling_out_a_default_changes_nothing():
    assert config(epochs=4000, settings={"rate": 0.17}, optimizer_settings={"epsilon": 1e-8}).run_id == config().run_id


def test_settings_that_differ_have_ids_that_differ():
    ids = {config(**c).run_id for c in ({"epochs": 9}, {"batch_size": 9}, {"learning_rate": 9}, {"scope": "global"})}
    assert len(ids) == 4


@pytest.mark.parametrize("method", ["unpruned", "pruned", "lottery", "dynamic"])
def test_it_round_trips_through_json(method):
    original = config(method=method, seed=3, epochs=30, exclude=("dense_2",))
    stored = json.loads(json.dumps(original.to_dict()))
    assert Config.from_dict(stored).to_dict() == original.to_dict()
    assert Config.from_dict(stored).run_id == original.run_id


def test_exclude_has_an_older_name_that_old_settings_and_run_ids_go_by():
    new, old = config(exclude=("dense_2",)), config(spare="dense_2")
    assert new == old and old.exclude == old.spare == ("dense_2",) and new.run_id == old.run_id
    stored = new.to_dict()
    earlier = {"spare" if name == "exclude" else name: value for name, value in stored.items()}
    assert "spare" not in stored and Config.from_dict(earlier) == Config.from_dict(stored) == new
    assert new.replace(spare=("dense_1",)).exclude == new.replace(exclude=("dense_1",)).exclude == ("dense_1",)
    assert new.replace(exclude=()).exclude == new.replace(spare=()).exclude == ()
    assert new.replace(epochs=9).exclude == ("dense_2",)


def test_the_class_projects_settings_are_the_defaults():
    stored = config().to_dict()
    assert stored["epochs"] == 4000 and stored["batch_size"] == 50 and stored["learning_rate"] == 1e-4
    assert stored["optimizer"] == "adam" and stored["optimizer_settings"]["epsilon"] == 1e-8
    assert stored["settings"] == {
        "events": [1 / 3, 2 / 3],
        "rate": 0.17,
        "final_sparsity": None,
        "rate_factor": 1.0,
    } | {"criterion": "magnitude"}
    assert stored["model_settings"]["output_activation"] == "tanh" and not stored["shuffle"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dataset": "pengiuns"}, "unknown data set 'pengiuns': did you mean penguins"),
        ({"method": "dinamic"}, "unknown method 'dinamic': did you mean dynamic"),
        ({"model": "mpl"}, "unknown model 'mpl': did you mean mlp"),
        ({"optimizer": "adm"}, "unknown optimizer 'adm': did you mean adam"),
        ({"scope": "layers"}, "unknown scope 'layers': did you mean layer"),
        ({"settings": {"criterion": "lampe"}}, "unknown criterion 'lampe': did you mean lamp"),
        ({"epochs": 0}, "epochs must be a whole number of at least 1, got 0"),
        ({"batch_size": -5}, "batch_size must be a whole number of at least 1, got -5"),
        ({"learning_rate": 0}, "learning_rate must be a finite number above 0"),
        ({"seed": -1}, "seed must be a whole number of at least 0"),
        ({"shuffle": "yes"}, "shuffle must be true or false"),
        ({"deterministic": 1}, "deterministic must be true or false"),
        ({"deterministic": True, "precision": "auto"}, "deterministic needs a precision by name"),
        ({"exclude": 5}, "exclude must be a list of names"),
        ({"spare": 5}, "exclude must be a list of names"),
        ({"spare": ("a",), "exclude": ("b",)}, "spare is an older name of exclude"),
        ({"settings": 5}, "settings must be a table"),
        ({"settings": {"evnts": 1}}, "method dynamic has no setting 'evnts': did you mean events"),
        ({"settings": {"rate": 17}}, "rate must be a fraction .* for 17 % write 0.17"),
        ({"settings": {"rate": 0.3, "final_sparsity": 0.5}}, "set one of them"),
        ({"settings": {"events": [0.7, 0.2]}}, "events must increase"),
        ({"settings": {"events": [0.0]}}, r"events must be a fraction in \(0, 1\)"),
        ({"epochs": 2}, "of 2 epochs fall at the ends of epochs 0, 1: each needs one of its own"),
        ({"epochs": 10, "settings": {"events": [0.31, 0.35]}}, "fall at the ends of epochs 3, 3"),
        (
            {"method": "lottery", "epochs": 5, "settings": {"rewind_epoch": 5}},
            "rewind_epoch must be below the 5 epochs",
        ),
        ({"method": "lottery", "settings": {"rounds": 0}}, "rounds must be a whole number of at least 1"),
        ({"model_settings": {"hiden": 3}}, "model mlp has no setting 'hiden': did you mean hidden"),
        ({"granularity": "filters"}, "unknown granularity 'filters': did you mean filter"),
        (
            {"granularity": "filter", "method": "shuffled"},
            "method shuffled has no granularity 'filter'; it can be weight",
        ),
        ({"granularity": "block", "method": "snip"}, "method snip has no granularity 'block'; it can be weight"),
        ({"granularity": "block", "pattern": "2:4"}, "must be ROWSxCOLUMNS, such as 4x1, got '2:4'"),
        ({"granularity": "block", "pattern": "0x4"}, "must be ROWSxCOLUMNS, such as 4x1, got '0x4'"),
        ({"granularity": "block", "pooling": "min"}, "unknown pooling 'min': Choices: avg, max"),
        ({"granularity": "n:m", "pattern": "4:2"}, "must be N:M with whole N below M, such as 2:4, got '4:2'"),
        ({"granularity": "n:m", "pooling": "avg"}, "pooling avg is of granularity block, not n:m"),
        ({"granularity": "n:m", "scope": "global"}, "ranks within every 4 weights: scope layer, not global"),
        ({"granularity": "n:m", "settings": {"final_sparsity": 0.3}}, "2:4 is a sparsity of 0.5, and 0.3 is asked for"),
        ({"pattern": "2:4"}, "pattern 2:4 is of granularity block or n:m, not weight"),
        ({"granularity": "filter", "scope": "erk"}, "ranks channels in scope layer or global or isomorphic, not erk"),
        ({"granularity": "branch", "scope": "global"}, "ranks residual branches in scope layer, not global"),
        (
            {"scope": "isomorphic"},
            "scope isomorphic ranks the channels of layers that are built alike: set granularity",
        ),
        (
            {"granularity": "filter", "settings": {"criterion": "synflow"}},
            "granularity filter ranks channels by channels.criterion; leave criterion alone",
        ),
        ({"granularity": "filter", "loop": "fused"}, "granularity filter changes the model in training"),
        (
            {"channel_settings": {"multiple": 4}},
            "channels.multiple is of granularity filter or branch; set --granularity",
        ),
        (
            {"granularity": "filter", "strategy": "mirrored", "channel_settings": {"recalibrate": 64}},
            "channels.recalibrate needs strategy none, not mirrored",
        ),
        ({"channel_settings": 4}, "channel_settings must be a table"),
        ({"optimizer_settings": {"eps": 3}}, "optimizer adam has no setting 'eps'"),
        ({"optimizer_settings": {"epsilon": -1}}, "optimizer.epsilon must be a finite number of at least 0"),
        ({"optimizer_settings": {"beta_1": 1.5}}, "optimizer.beta_1 must be a fraction"),
    ],
)
def test_bad_settings_are_named_with_their_range(changes, message):
    with pytest.raises(ConfigError, match=message):
        config(**changes)


def test_unknown_and_absent_settings_in_a_table_are_named():
    with pytest.raises(ConfigError, match="unknown setting 'epoch': did you mean epochs"):
        Config.from_dict({"dataset": "penguins", "epoch": 3})
    with pytest.raises(ConfigError, match="dataset is not set"):
        Config.from_dict({})


def test_another_method_starts_from_its_own_settings():
    changed = config(settings={"rate": 0.5}).replace(method="lottery")
    assert changed.settings == {"sparsity": 0.3, "rounds": 1, "rewind_epoch": 0, "criterion": "magnitude"}
    assert config(settings={"rate": 0.5}).replace(seed=4).settings["rate"] == 0.5


@pytest.mark.parametrize("epochs", [1, 2, 30])
def test_a_training_of_one_epoch_warms_up_for_half_of_it(epochs):
    config = Config(dataset="cifar10", method="unpruned", epochs=epochs)
    assert config.warmup_epochs == min(1.0, 0.5 * epochs)
    assert config.replace(epochs=2 * epochs).warmup_epochs == 1.0
    with pytest.raises(ConfigError, match=f"warmup_epochs must be below the {epochs} epochs, got {epochs}"):
        Config(dataset="cifar10", method="unpruned", epochs=epochs, warmup_epochs=epochs)


def test_requested_sparsity():
    assert config().requested_sparsity == pytest.approx(1 - 0.83**2)
    assert config(method="pruned").requested_sparsity == 0.3
    assert config(method="unpruned").requested_sparsity == 0.0


def test_models_show_their_settings():
    assert model_defaults("mlp")["hidden"] == (300, 100)


@pytest.mark.parametrize(
    "changes", [{"dataset": "own.csv"}, {"dataset": "tfds:own"}, {"model": "own.h5"}, {"model": "own:net"}]
)
def test_what_is_stored_opens_nothing_that_it_names(tmp_path, monkeypatch, changes):
    monkeypatch.chdir(tmp_path)
    os.mkfifo("own.csv")  # whoever opens them waits for ever
    os.mkfifo("own.h5")
    with pytest.raises(ConfigError, match=f"{next(iter(changes.values()))} has no fingerprint"):
        Config.stored(config().to_dict() | {"model_settings": {}} | changes)


def test_what_is_stored_is_read_where_its_data_are_not(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    own = tmp_path / "own.csv"
    own.write_text("x,label\n" + "".join(f"{n},{'ab'[n % 2]}\n" for n in range(60)))
    before = config(dataset="own.csv", data_settings={"label": "label"})
    own.unlink()
    assert Config.stored(before.to_dict()) == before
    assert Config.stored(config().to_dict()) == config()


def test_a_model_that_has_no_end_is_not_read(tmp_path):
    os.mkfifo(tmp_path / "own.h5")
    with pytest.raises(TfpruneError, match="no regular file"):
        config(model=str(tmp_path / "own.h5"))


@pytest.mark.parametrize("dataset", [None, 3, ["penguins"]])
def test_a_data_set_that_is_no_text_is_named(dataset):
    with pytest.raises(ConfigError, match="dataset must be text, got"):
        Config.stored(config().to_dict() | {"dataset": dataset, "data_settings": {"kind": "table", "fingerprint": "x"}})
