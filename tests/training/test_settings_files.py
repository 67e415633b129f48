import pytest

from tfprune.training.config import Config
from tfprune.training.settings_files import read_settings, with_assignments, with_sparsity
from tfprune.utils.errors import ConfigError


def test_assignments_reach_the_run_the_method_the_model_and_the_optimizer():
    values = with_assignments(
        {"dataset": "penguins"},
        {
            **{"epochs": 30, "rate": 0.2, "model.hidden": [4], "optimizer.epsilon": 1e-6},
            **{"granularity": "filter", "channels.multiple": 4},
        },
    )
    made = Config.from_dict(values)
    assert made.epochs == 30 and made.settings["rate"] == 0.2
    assert made.model_settings["hidden"] == [4] and made.optimizer_settings["epsilon"] == 1e-6
    assert made.channel_settings["multiple"] == 4
    with pytest.raises(ConfigError, match="unknown setting 'rounds'"):
        with_assignments({"dataset": "penguins"}, {"rounds": 2})


def test_sparsity_goes_where_the_method_has_it():
    assert with_sparsity({"method": "dynamic"}, 0.5)["settings"] == {"final_sparsity": 0.5}
    assert with_sparsity({"method": "pruned"}, 0.5)["settings"] == {"sparsity": 0.5}
    with pytest.raises(ConfigError, match="unpruned prunes nothing"):
        with_sparsity({"method": "unpruned"}, 0.5)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("run.json", '{"dataset": "penguins", "settings": {"rate": 0.2}}'),
        ("run.toml", 'dataset = "penguins"\n[settings]\nrate = 0.2\n'),
    ],
)
def test_settings_are_read_from_json_and_toml(tmp_path, name, content):
    (tmp_path / name).write_text(content)
    assert Config.from_dict(read_settings(tmp_path / name)).settings["rate"] == 0.2


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("run.yaml", b"", "must end in .json or .toml"),
        ("run.json", b"{", "this is not JSON"),
        ("run.json", b"[1]", "must be a table of names and values, got list"),
        ("run.toml", b"dataset =", "this is not TOML"),
        ("run.toml", b"\xff\xfe", "this is not TOML"),
    ],
)
def test_bad_settings_files_are_named(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        read_settings(tmp_path / name)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_settings(tmp_path / "absent.json")
