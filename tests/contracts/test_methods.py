"""What every method promises, by name; a newly registered one is held to it with no line added here."""

import dataclasses
import functools
import itertools
import sys

import numpy as np
import pytest
from alone import trained

from tfprune.adapters.tf_keras.mask_values import get_masks, kernels
from tfprune.data import DATASETS
from tfprune.experiments.building import build, initial_weights, load_data
from tfprune.methods import METHODS
from tfprune.methods._dynamic_sparse import DynamicSparseTraining
from tfprune.pruning.events import keep_after
from tfprune.pruning.masks import expected_kept, sparsity_of
from tfprune.training.channel_trainer import ChannelTrainer
from tfprune.training.setting_checks import WEIGHT_SCOPES
from tfprune.utils.errors import ConfigError, ModelError

EPOCHS = 6
pytestmark = pytest.mark.parametrize("method", METHODS)


def now(trainer):
    return kernels(trainer.model), get_masks(trainer.model), trainer.history


def sparser(method, sparsity):
    setting = METHODS[method].sparsity_setting
    return {setting: sparsity} if setting else {}


def test_it_says_what_it_is(method):
    cls = METHODS[method]
    assert dataclasses.is_dataclass(cls) and cls.summary().endswith(".")
    assert cls.paper
    assert cls.from_settings(method, {}).settings().keys() == cls.defaults().keys()
    assert cls.sparsity_setting is None or cls.sparsity_setting in cls.defaults()


def test_unknown_settings_list_the_choices(method):
    with pytest.raises(ConfigError, match=f"method {method} has no setting 'nonsense'"):
        METHODS[method].from_settings(method, {"nonsense": 1})


@pytest.mark.some(every=7)
@pytest.mark.parametrize(
    ("sparsity", "scope"),
    [
        (None, "layer"),
        *itertools.product([0.0, 0.5, 0.99], WEIGHT_SCOPES),
    ],  # its own sparsity once: scopes are the same
)
def test_it_meets_its_count_to_one_weight(method, scope, sparsity, tiny):
    settings = {} if sparsity is None else sparser(method, sparsity)
    config = tiny(method, scope=scope, settings=settings)
    if sparsity == 0.99 and config.pruning.width_reduction:
        with pytest.raises(ModelError, match="as few as 17 parameters; ask for a lower sparsity"):
            trained(config)
        return
    trainer = trained(config)
    masks, weights = get_masks(trainer.model), kernels(trainer.model)
    events = config.pruning.pruning_events
    if scope != "global":
        expected = expected_kept({name: mask.shape for name, mask in masks.items()}, events, scope)
        assert {name: mask.sum() for name, mask in masks.items()} == expected
    if scope == "layer":
        assert expected == {name: keep_after(events, mask.size) for name, mask in masks.items()}
    else:
        size = sum(mask.size for mask in masks.values())
        assert sum(int(mask.sum()) for mask in masks.values()) == keep_after(events, size)
    for name, mask in masks.items():
        assert mask.any()
        zero = weights[name] == 0
        assert zero[mask == 0].all()
        # what comes back starts at zero, and may lie behind a dead unit
        if not isinstance(config.pruning, DynamicSparseTraining):
            assert not zero[mask == 1].any()
    if sparsity and settings and not config.pruning.width_reduction:
        assert sparsity_of(masks) == pytest.approx(sparsity, abs=0.02)


@pytest.mark.some(every=2)
def test_the_same_seed_gives_the_same_bits_and_another_seed_others(method, tiny):
    other, first = (now(trained(tiny(method, seed=seed))) for seed in (2, 1))
    again = now(trained(tiny(method, seed=1), anew=True))
    for name, kernel in first[0].items():
        np.testing.assert_array_equal(kernel, again[0][name])
        assert np.any(kernel != other[0][name])
    assert first[2] == again[2]


def test_it_starts_like_every_other_method(method, tiny):
    """The same split, initial weights and order: what differs is the pruning, so seeds can be paired."""
    if tiny(method).pruning.width_reduction:
        pytest.skip("it is another model")
    own, unpruned = (
        trained(tiny(name, epochs=4, settings=sparser(name, 0.0))).history[0] for name in (method, "unpruned")
    )
    for key in ("loss", "accuracy", "val_loss"):
        assert own[key] == unpruned[key]


def test_history_follows_the_pruning(method, tiny):
    trainer = trained(tiny(method))
    sparsities = [row["sparsity"] for row in trainer.history]
    assert sparsities == sorted(sparsities)
    assert sparsities[-1] == sparsity_of(get_masks(trainer.model))
    steps = [row["step"] for row in trainer.history]
    assert steps == sorted(steps) and steps[-1] == trainer.trained_epochs * trainer.steps_per_epoch
    assert trainer.trained_epochs == trainer.config.pruning.total_epochs(EPOCHS)
    assert all(np.isfinite(row["val_loss"]) for row in trainer.history)


@pytest.mark.some(every=2)
@pytest.mark.usefixtures("eagerly")
def test_it_takes_out_as_many_channels_as_asked_for_or_says_that_it_takes_none(method, tiny):
    changes = {"granularity": "filter", "channel_settings": {"multiple": 4}, "settings": sparser(method, 0.5)}
    if not METHODS[method].sparsity_setting:
        return
    if "filter" not in METHODS[method].granularities:
        with pytest.raises(ConfigError, match=f"method {method} has no granularity 'filter'"):
            tiny(method, **changes)
        return
    config = tiny(method, **changes)
    data = load_data(config)
    reinit_fn = functools.partial(initial_weights, config, data, "reinit")
    trainer = ChannelTrainer(build(config, data), data, config, reinit_fn=reinit_fn)
    config.pruning.run(trainer)
    trainer.check(kernels(trainer.model), "the model")
    assert trainer.channel_tracker.widths == {"dense_1": 8}


def test_it_never_imports_training_or_tensorflow(method):
    source = sys.modules[METHODS[method].__module__].__file__
    with open(source) as file:
        imports = [line for line in file if line.startswith(("import ", "from "))]
    assert not [
        line for line in imports if any(word in line for word in ("tensorflow", "backend", "training", "keras"))
    ]


def test_every_data_set_has_settings_for_it(method):
    for name in DATASETS:
        METHODS[method].from_settings(method, {}).check(DATASETS[name].epochs)
