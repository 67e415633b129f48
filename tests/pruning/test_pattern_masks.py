import numpy as np
import pytest
from alone import trained
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tfprune.adapters.backend import tf, tfmot_registry  # noqa: F401 - the second sees to it that tfmot finds tf_keras
from tfprune.adapters.tf_keras.mask_values import get_masks, kernels
from tfprune.experiments.sweeps import run_all
from tfprune.methods import METHODS
from tfprune.pruning.events import PruningEvent, geometric, keep_after
from tfprune.pruning.masks import SCOPES, ones_like
from tfprune.pruning.pattern_masks import check_pattern, describe_pattern, kept_after, pooled, prune_pattern
from tfprune.pruning.patterns import Blocks, NOfM
from tfprune.utils.errors import SparsityError

KERNELS = hnp.arrays(np.float32, hnp.array_shapes(max_dims=4, max_side=9), elements=st.integers(0, 9))
PATTERNS = st.one_of(
    st.builds(Blocks, st.integers(1, 5), st.integers(1, 5), st.sampled_from(("avg", "max"))),
    st.tuples(st.integers(1, 4), st.integers(1, 4)).map(lambda both: NOfM(both[0], sum(both))),
)


def tfmots(weights, sparsity=0.5, **pattern):
    """Returns the mask that tfmot's own pruning comes to."""
    from tensorflow_model_optimization.python.core.sparsity.keras import pruning_impl, pruning_schedule

    variables = [(tf.Variable(weights), tf.Variable(tf.ones_like(weights)), tf.Variable(0.0))]
    schedule = pruning_schedule.ConstantSparsity(sparsity, 0)
    given = {"block_size": (1, 1), "block_pooling_type": "AVG"} | pattern
    pruning = pruning_impl.Pruning(lambda: tf.constant(1), variables, schedule, **given)
    return pruning._maybe_update_block_mask(variables[0][0])[1].numpy()


def ours(weights, pattern, sparsity=0.5):
    scores = {"kernel": np.abs(weights)}
    return prune_pattern(scores, ones_like(scores), PruningEvent(sparsity=sparsity), "layer", pattern)["kernel"]


@pytest.mark.parametrize("pooling", ["avg", "max"])
@pytest.mark.parametrize(
    ("shape", "block"), [((16, 12), (4, 1)), ((16, 12), (1, 4)), ((20, 18), (4, 3)), ((15, 8), (4, 2))]
)
def test_blocks_are_those_of_tfmot(shape, block, pooling):
    weights = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    for sparsity in (0.3, 0.5, 0.9):
        theirs = tfmots(weights, sparsity, block_size=block, block_pooling_type=pooling.upper())
        np.testing.assert_array_equal(ours(weights, Blocks(*block, pooling), sparsity), theirs)


@pytest.mark.parametrize("shape", [(16, 5), (18, 5), (3, 7), (3, 3, 8, 4), (3, 3, 1, 4), (1, 1, 6, 2)])
@pytest.mark.parametrize(("n", "m"), [(2, 4), (1, 4), (3, 4), (1, 2)])
def test_n_in_every_m_are_those_of_tfmot_which_counts_the_zeros(shape, n, m):
    weights = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    theirs = tfmots(weights, sparsity_m_by_n=(m - n, m))
    np.testing.assert_array_equal(ours(weights, NOfM(n, m), 1 - n / m), theirs)


def test_by_hand():
    weights = np.array([[1.0, 9.0], [2.0, 1.0], [3.0, 1.0], [4.0, 1.0], [5.0, 2.0]])
    np.testing.assert_array_equal(pooled(weights, Blocks(2, 1)), [[1.5, 5.0], [3.5, 1.0], [5.0, 2.0]])
    np.testing.assert_array_equal(pooled(weights, Blocks(2, 1, "max")), [[2.0, 9.0], [4.0, 1.0], [5.0, 2.0]])
    np.testing.assert_array_equal(ours(weights, Blocks(2, 1)).T, [[0, 0, 1, 1, 1], [1, 1, 0, 0, 0]])
    np.testing.assert_array_equal(ours(weights, NOfM(2, 4)).T, [[0, 0, 1, 1, 1], [1, 1, 0, 0, 1]])


@settings(deadline=None)
@given(st.lists(KERNELS, min_size=1, max_size=3), PATTERNS, st.sampled_from(SCOPES), st.data())
def test_two_cuts_meet_their_counts_and_revive_nothing(arrays, pattern, scope, data):
    first = {str(n): array for n, array in enumerate(arrays)}
    if isinstance(pattern, NOfM):
        events = geometric(pattern.sparsity, 2)
    else:
        events = (PruningEvent(rate=0.3), PruningEvent(sparsity=data.draw(st.floats(0, 0.99))))
    masks = prune_pattern(first, ones_like(first), events[0], scope, pattern)
    second = {
        name: data.draw(hnp.arrays(np.float32, array.shape, elements=st.integers(0, 5)))
        for name, array in first.items()
    }
    later = prune_pattern(second, masks, events[1], scope, pattern)
    assert all(np.all(later[name] <= masks[name]) and later[name].any() for name in masks)
    zeroed = {name: np.where(later[name], second[name] + 1, 0) for name in later}
    check_pattern(zeroed, later, events, scope, pattern, "model")
    units = describe_pattern(later, pattern).values()
    left = (
        sum(own["kept"] for own in units) if isinstance(pattern, Blocks) else sum(int(m.sum()) for m in later.values())
    )
    assert kept_after({name: array.shape for name, array in first.items()}, events, scope, pattern) == left


def test_a_mask_off_its_pattern_is_an_error():
    events = [PruningEvent(sparsity=0.5)]

    def check(mask, pattern):
        mask = np.array(mask, np.uint8)[:, np.newaxis]
        check_pattern({"a": mask * 1.0}, {"a": mask}, events, "layer", pattern, "the model")

    check([1, 1, 0, 0], Blocks(2, 1))
    check([1, 0, 0, 1, 1], NOfM(2, 4))
    for mask, pattern, message in (
        ([1, 0, 1, 0], Blocks(2, 1), "the model: a block of a is pruned in part"),
        ([1, 1, 1, 1], Blocks(2, 1), "the model: a keeps 2 blocks where 1 were asked for"),
        ([1, 1, 1, 0, 0, 0, 0, 1], NOfM(2, 4), "2 groups of a do not keep 2 of every 4 weights"),
        ([1, 0, 0, 1, 0], NOfM(2, 4), "1 groups of a do not keep 2 of every 4 weights"),
    ):
        with pytest.raises(SparsityError, match=message):
            check(mask, pattern)
    with pytest.raises(SparsityError, match="1 pruned weights of a are not zero"):
        check_pattern({"a": np.ones(2)}, {"a": np.array([1, 0])}, events, "layer", Blocks(1, 1), "the model")


def test_what_does_not_divide_is_counted():
    masks = {"dense": np.ones((10, 3), np.uint8), "conv": np.ones((3, 3, 1, 8), np.uint8)}
    assert describe_pattern(masks, Blocks(4, 1)) == {
        "dense": {"units": 9, "smaller": 3, "kept": 9},
        "conv": {"units": 72, "smaller": 72, "kept": 72},
    }
    assert describe_pattern(masks, NOfM(2, 4)) == {
        "dense": {"units": 9, "smaller": 3},
        "conv": {"units": 72, "smaller": 72},
    }


PATTERNED = [name for name in METHODS if "block" in METHODS[name].granularities]


@pytest.mark.parametrize("pattern", ["5x2", "1:5"])
@pytest.mark.parametrize("method", PATTERNED)
def test_every_method_that_has_a_pattern_meets_it(method, pattern, tiny):
    config = tiny(method, granularity="block" if "x" in pattern else "n:m", pattern=pattern)
    trainer = trained(config)
    masks = get_masks(trainer.model)
    trainer.check(kernels(trainer.model), "the model")
    for name, own in trainer.report()["pattern"]["layers"].items():
        if "kept" in own:
            assert own["kept"] == keep_after(config.pruning.pruning_events, own["units"])
        else:  # of 12 inputs the last two are a group of their own, which keeps as many as the others
            assert set(masks[name].sum(axis=0)) == {3}


def test_blocks_are_ranked_in_any_scope_by_any_criterion(tiny):
    for scope in ("global", "erk"):
        trainer = trained(tiny(granularity="block", scope=scope, settings={"criterion": "taylor"}))
        trainer.check(kernels(trainer.model), "the model")
        units = trainer.report()["pattern"]["layers"].values()
        everything = sum(own["units"] for own in units)
        assert sum(own["kept"] for own in units) == keep_after(trainer.config.pruning.pruning_events, everything)


def test_networks_side_by_side_come_to_the_masks_that_each_has_alone(tiny):
    configs = [tiny("pruned", granularity=kind, seed=seed) for kind in ("block", "n:m") for seed in (1, 2)]
    results, failures = run_all(configs)
    assert not failures
    for config, result in zip(configs, results, strict=True):
        assert result.metrics["networks"] == 2
        alone = trained(config)
        assert result.metrics["pattern"] == alone.report()["pattern"]
        for name, mask in get_masks(alone.model).items():
            np.testing.assert_array_equal(result.masks()[name], mask)
