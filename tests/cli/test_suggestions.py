import json
import shlex

import click
import pytest
from PIL import Image

from tfprune.cli._options import data_settings_typed, make_config
from tfprune.cli._running import _hints
from tfprune.cli._suggestions import compare_command, train_command
from tfprune.cli.compare import _configs, compare, seeds_of
from tfprune.cli.export import _file_name, export, export_command
from tfprune.cli.train import train
from tfprune.exporting.formats import FORMATS, QUANTIZED
from tfprune.training.config import Config


def typed(command: click.Command, line: str) -> dict:
    program, name, *words = shlex.split(line)
    assert (program, name) == ("tfprune", command.name)
    return command.make_context(name, words).params


def runs(line):
    """The configs of a suggested `tfprune compare`."""
    given = typed(compare, line)
    seeds = seeds_of(given["seeds"], given["first_seed"])
    return _configs(seeds, False, {name: given[name] for name in given if name not in NOT_OF_RUNS})


NOT_OF_RUNS = ("seeds", "first_seed", "equal_budget", "dry_run", "json_file", "figures", "pages", "wide", "plan")
NOT_OF_RUNS += ("executor", "jobs", "address", "cpus_per_trial", "gpus_per_trial")

SETTINGS = [
    {},
    {"seed": 2},
    {"seed": 7},
    {"method": "unpruned"},
    {"method": "rigl", "settings": {"fraction": 0.1}},
    {"settings": {"final_sparsity": 0.5}},
    {"settings": {"rate": 0.3}},
    {"settings": {"events": (0.25, 0.5), "criterion": "lamp"}},
    {"method": "lottery", "settings": {"sparsity": 0.8, "rounds": 3}},
    {"epochs": 8, "batch_size": 25, "learning_rate": 0.01, "scope": "global", "exclude": ("dense_2", "first")},
    {"model_settings": {"hidden": (16, 8), "activation": "tanh"}, "xla": True, "deterministic": True},
    {"optimizer": "sgd", "optimizer_settings": {"momentum": 0.5}, "learning_rate_schedule": "cosine"},
    {"warmup_epochs": 5, "shuffle": True, "limit": 50, "loop": "plain", "precision": "mixed_bfloat16"},
    {"granularity": "filter", "settings": {"final_sparsity": 0.5}, "channel_settings": {"multiple": 2}, "epochs": 8},
    {"granularity": "branch", "channel_settings": {"order": ["a", "b"]}},
    {"granularity": "block", "pattern": "4x1", "pooling": "max", "settings": {"final_sparsity": 0.5}},
    {"granularity": "n:m", "pattern": "1:4"},
    {"granularity": "n:m"},
    {"dataset": "fashion_mnist", "augment": (), "stream": "shards", "data_dir": "some data", "out": "else where"},
    {"dataset": "cifar10", "model": "resnet8", "augment": ("crop",), "strategy": "mirrored"},
    {"model": "applications:MobileNetV2", "model_settings": {"frozen": True}, "dataset": "flowers"},
    {"out": "elsewhere", "checkpoint_every": "5", "mlflow": "tracked"},
    {"metrics": ("f1", "auc"), "class_weight": "balanced"},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_the_suggested_comparison_has_the_run_among_its_own_and_others_like_it(settings):
    config = Config(**{"dataset": "penguins"} | settings)
    found = runs(compare_command(config))
    assert config.to_dict() in [own.to_dict() for own in found]
    shared = ("dataset", "model", "model_settings", "epochs", "batch_size", "granularity", "pattern", "exclude", "out")
    for own in found:
        if own.method != "unpruned":
            assert [getattr(own, name) for name in shared] == [getattr(config, name) for name in shared]
            if config.method != "unpruned":
                assert own.requested_sparsity == pytest.approx(
                    config.requested_sparsity, abs=0.012
                )  # defaults differ by so much
    assert {own.method for own in found} >= {"unpruned", "dynamic"} and len({own.seed for own in found}) == 3


def test_methods_that_cannot_do_it_in_so_few_epochs_are_not_suggested():
    config = Config(dataset="penguins", method="pruned", granularity="n:m", epochs=2)
    assert {own.method for own in runs(compare_command(config))} == {"unpruned", "pruned", "lottery"}


def test_the_export_that_is_suggested_makes_the_file(tmp_path):
    files = [_file_name("model", name, how) for name in FORMATS for how in ("none", *QUANTIZED.get(name, ()))]
    for file in (*files, "model", "mine.tflite", "mine-int8-io.tflite"):
        given = typed(export, export_command(tmp_path, file))
        default = _file_name("model", given["name"], given["quantize"])
        assert (given["out"] or tmp_path / "exports" / default) == tmp_path / "exports" / file
        assert given["quantize"] == ("int8-io" if "int8-io" in file else given["quantize"])
    for file in ("compact", "compact.keras"):
        assert export_command(tmp_path, file) == f"tfprune compact {tmp_path}"


def test_nothing_that_is_default_or_was_detected_is_suggested(tmp_path):
    assert compare_command(Config(dataset="penguins", seed=1)) == "tfprune compare --dataset penguins --seeds 3"
    table = tmp_path / "my table.csv"
    table.write_text("a,b,kind\n" + "".join(f"{n},{n % 7},{'xy'[n % 2]}\n" for n in range(60)))
    config = Config(dataset=str(table), data_settings={"label": "kind", "test": 0.3}, epochs=4)
    table.unlink()  # of a finished run nothing is opened
    assert compare_command(config) == (
        f"tfprune compare --dataset '{table}' --set data.test=0.3 --label kind --epochs 4 --seeds 3"
    )


def test_what_was_found_in_the_data_is_left_out_and_their_path_is_as_it_is_typed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table = tmp_path / "penguins"  # a name of tfprune's too
    table.mkdir()
    for number in range(4):
        Image.new("RGB", (9, 9), (number, 0, 0)).save(table / f"{number}.png")
    (table / "labels.csv").write_text("file,shade\n" + "".join(f"{n}.png,{n}.5\n" for n in range(4)))
    line = ["--dataset", "./penguins", "--set", "data.side=8", "--seed", "1", "--epochs", "3"]
    given = typed(train, shlex.join(["tfprune", "train", *line]))
    plain = {name: value for name, value in given.items() if name not in ("file", "force", "dry_run", "as_json")}
    config, found = make_config(None, plain), data_settings_typed(None, plain)
    assert found == {"side"}
    line = "tfprune compare --dataset ./penguins --set data.side=8 --epochs 3 --seeds 3"
    assert compare_command(config, typed=found) == line
    assert config.data_settings in [own.data_settings for own in runs(line)]


def test_the_suggested_training_has_the_settings_too():
    config = Config(dataset="penguins", method="pruned", granularity="filter", epochs=9, exclude=("dense_1",))
    given = typed(train, train_command(config, "--sparsity", "0.25"))
    own = make_config(
        None, {name: value for name, value in given.items() if name not in ("file", "force", "dry_run", "as_json")}
    )
    assert own.method == "dynamic" and own.requested_sparsity == 0.25
    assert own.identity() | {"method": 0, "settings": 0} == config.identity() | {"method": 0, "settings": 0}


@pytest.mark.parametrize(
    ("settings", "hinted"),
    [
        ({"settings": {"final_sparsity": 0.9}}, True),
        ({"settings": {"final_sparsity": 0.5}}, False),
        ({"settings": {"final_sparsity": 0.9}, "scope": "global"}, False),
        ({"settings": {"final_sparsity": 0.9}, "granularity": "filter"}, False),
        ({"method": "unpruned"}, False),
    ],
)
def test_a_scope_that_was_better_is_named_at_high_sparsity_alone(settings, hinted):
    assert any("--scope global" in line for line in _hints(Config(**{"dataset": "penguins"} | settings))) is hinted


CHANGES = [
    ("granularity", "filter", {"granularity": "weight"}, {}),
    ("granularity", "filter", {"granularity": "branch"}, {"order": ()}),
    ("granularity", "block", {"granularity": "weight"}, {}),
    ("granularity", "block", {"granularity": "n:m"}, {}),
    ("granularity", "n:m", {"granularity": "filter", "sparsity": 0.5}, {"multiple": 8}),
    ("granularity", "n:m", {"granularity": "n:m", "assignments": ("pattern=1:4",)}, {}),
    ("optimizer", "adam", {"optimizer": "sgd"}, {}),
    ("optimizer", "adam", {"assignments": ("optimizer=sgd",)}, {}),
    ("method", "lottery", {"method": "pruned"}, {}),
]


@pytest.mark.parametrize(("name", "stored", "given", "channels"), CHANGES, ids=str)
def test_settings_of_a_file_are_for_the_parts_that_it_names(name, stored, given, channels, tmp_path):
    config = Config(**{"dataset": "penguins", name: stored})
    (tmp_path / "run.json").write_text(json.dumps(config.to_dict()))
    changed = make_config(tmp_path / "run.json", given)
    assert channels.items() <= changed.channel_settings.items() and bool(changed.channel_settings) is bool(channels)
    assert changed.run_id == make_config(None, {"dataset": "penguins", **given}).run_id


def test_a_model_in_a_file_of_settings_gives_way_with_its_own(tmp_path):
    config = Config(dataset="fashion_mnist", model="lenet", model_settings={"kernel_size": 5}, epochs=4)
    (tmp_path / "run.json").write_text(json.dumps(config.to_dict()))
    other = make_config(tmp_path / "run.json", {"model": "conv2"})
    assert other.model_settings == Config(dataset="fashion_mnist", model="conv2").model_settings and other.epochs == 4


def test_own_data_of_a_run_keep_their_settings_however_their_path_is_typed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table = tmp_path / "t.csv"
    table.write_text("a,b,kind\n" + "".join(f"{n},{n % 7},{'xy'[n % 2]}\n" for n in range(60)))
    settings = ("data.label=kind", "data.test=0.3", "data.split_seed=5")
    config = make_config(None, {"dataset": "t.csv", "assignments": settings})
    run = tmp_path / "runs" / config.run_id
    run.mkdir(parents=True)
    (run / "config.json").write_text(json.dumps(config.to_dict()))
    for typed in ("t.csv", "./t.csv", str(table)):
        assert make_config(run / "config.json", {"dataset": typed}).run_id == config.run_id
    (tmp_path / "elsewhere").mkdir()
    table.rename(tmp_path / "elsewhere" / "t.csv")
    moved = make_config(run / "config.json", {"dataset": "elsewhere/t.csv"})
    assert moved.data_settings == config.data_settings and moved.run_id == config.run_id
