"""Bad settings by every way in: each is one line and exit code 2, and none needs TensorFlow to be found."""

import json

import pytest

from tfprune.training.config import Config
from tfprune.utils.errors import TfpruneError

NUMBERS = ("nan", "inf", "-inf", "-1", "0", "x", "[]", "{}", "null", "true", '"5"x', "1e400", "0x10", "1x2")
BY_DEFAULT = tuple(value for value in NUMBERS if value != "null")  # null: as the data set says
BAD: dict[str, tuple[str, ...]] = {
    **{name: (*BY_DEFAULT, "1.5") for name in ("epochs", "batch_size", "limit")},
    "seed": tuple(value for value in NUMBERS if value != "0"),
    "learning_rate": BY_DEFAULT,
    "warmup_epochs": tuple(value for value in BY_DEFAULT if value != "0"),
    "checkpoint_every": (*NUMBERS, "1.5", "0s", "-1s", "s", "5m", "nans"),
    "rate": ("nan", "inf", "-0.1", "1", "17", "17%", "x", "[]", "null", "true"),
    "events": ("nan", "0", "1", "x", "[]", "[0.5, 0.5]", "[0.9, 0.1]", "[0.5, 2]", '["a"]', "{}", "null", "-0.5"),
    "final_sparsity": ("nan", "inf", "-0.1", "1", "30", "30%", "x", "[]", "true"),
    "scope": ("nowhere", "0", "[]", "LAYER", ""),
    "granularity": ("filters", "2:4", "0", "[]", "BLOCK", ""),
    "pattern": ("2:4", "4x1", "0", "[]", "x"),
    "pooling": ("avg", "0", "[]"),
    "precision": ("float8", "16", "[]", "null", "FLOAT32"),
    "loop": ("quick", "1", "[]", "null"),
    "xla": ("yes", "1", "[]", "null", '"true"x'),
    "deterministic": ("yes", "1", "[]", "null"),
    "shuffle": ("yes", "1", "[]"),
    "optimizer": ("adan", "1", "[]", "SGD"),
    "learning_rate_schedule": ("linear", "1", "[]"),
    "exclude": ("1", "{}", "[1]", "null", "true"),
    "spare": ("1", "{}", "[1]", "null", "true"),
    "augment": ("spin", "[1]", "{}", "7"),
    "settings": ("1", "[]", "x", '{"nonsense": 1}'),
    "model_settings": ("1", "[]", "x", '{"nonsense": 1}'),
    "optimizer_settings": ("1", "[]", "x", '{"nonsense": 1}', '{"epsilon": "x"}'),
    "optimizer.beta_1": ("2", "x", "nan", "-1", "[]", "null"),
    "optimizer.epsilon": ("-1", "x", "nan", "inf", "[]", "null"),
    "optimizer.momentum": ("0.5",),
    "model.nonsense": ("1",),
    "method": ("dynamics", "1", "[]", "null", ""),
    "model": ("mpl", "1", "[]", "no/such/file.h5"),
    "nonsense": ("1",),
    "": ("1",),
    "epochs ": ("x",),
    "étage": ("1",),
}
CASES = [(key, value) for key, values in BAD.items() for value in values]


@pytest.mark.parametrize(("key", "value"), CASES)
def test_a_bad_setting_on_the_command_line_is_one_line(refused, key, value):
    refused("train", "--dataset", "penguins", "--set", f"{key}={value}")


def plain(value):
    try:
        return json.loads(value)
    except ValueError:
        return value


IN_CONFIG = [(key, value) for key, value in CASES if key in {"seed", *BAD} & set(Config.__dataclass_fields__)]


@pytest.mark.parametrize(("key", "value"), IN_CONFIG)
def test_a_bad_setting_in_a_file_or_from_python_is_one_line(refused, tmp_path, key, value):
    file = tmp_path / "run.json"
    file.write_text(json.dumps({"dataset": "penguins", key: plain(value)}))
    refused("train", "--config", file)
    if plain(value) is not None:
        with pytest.raises(TfpruneError):
            Config(**{"dataset": "penguins", key: plain(value)})


FILES = {
    "empty.json": b"",
    "list.json": b"[1, 2]",
    "number.json": b"7",
    "null.json": b"null",
    "torn.json": b'{"dataset": "peng',
    "deep.json": b"[" * 5000,
    "twice.toml": b'dataset = "penguins"\ndataset = "penguins"\n',
    "torn.toml": b'dataset = "peng',
    "latin.toml": b'dataset = "pengu\xefns"\n',
    "utf16.json": '{"dataset": "penguins"}'.encode("utf-16"),
    "zeros.json": b"\0" * 100,
    "binary.toml": bytes(range(256)),
    "dataset.json": b'{"dataset": 5}',
    "unknown.json": b'{"dataset": "penguins", "epoch": 5}',
    "no_dataset.toml": b"epochs = 5\n",
    "other.yaml": b"dataset: penguins\n",
    "no_suffix": b'{"dataset": "penguins"}',
    "table.toml": b'dataset = "penguins"\nsettings = 5\n',
    "huge.json": b'{"dataset": "penguins", "epochs": 1' + b"0" * 5000 + b"}",
}


@pytest.mark.parametrize("name", FILES)
def test_a_bad_file_of_settings_is_one_line(refused, tmp_path, name):
    (tmp_path / name).write_bytes(FILES[name])
    refused("train", "--config", tmp_path / name)
