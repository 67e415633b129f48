import contextlib

import numpy as np
import pytest

import tfprune
from tfprune.adapters.backend import keras
from tfprune.exporting.measured import times_of
from tfprune.structured.budgets import CORRECTIONS, SAMPLES, Budget, Request, choose_within, forms_of, size_of
from tfprune.structured.channels import channels
from tfprune.structured.scoring import CRITERIA
from tfprune.structured.surgery import remove_groups
from tfprune.structured.widths import SCOPES
from tfprune.utils.errors import ConfigError

layers = keras.layers


@pytest.fixture(scope="module")
def net() -> keras.Model:
    """Convolutions with a residual sum, a depthwise one, BatchNorm, and a dense layer that reads a flattened image."""
    x = inputs = layers.Input((8, 8, 3))
    x = layers.Conv2D(16, 3, padding="same", use_bias=False, name="stem")(x)
    y = layers.BatchNormalization(name="norm")(x)
    y = layers.Conv2D(32, 1, activation="relu", name="wide")(y)
    y = layers.DepthwiseConv2D(3, padding="same", name="depth")(y)
    y = layers.Conv2D(16, 1, name="narrow")(y)
    x = layers.Flatten()(layers.Add()([x, y]))
    x = layers.Dense(24, "relu", name="units")(x)
    return keras.Model(inputs, layers.Dense(5, "softmax", name="classes")(x))


@pytest.mark.parametrize("what", ["parameters", "macs", "bytes"])
def test_sizes_are_foreseen_exactly(net, what):
    found = channels(net)
    cost = size_of(net, found, what)
    random = np.random.default_rng(0)
    for _ in range(4):
        widths = {name: int(random.integers(1, len(group) + 1)) for name, group in found.free.items()}
        smaller = remove_groups(net, {name: range(n, len(found.free[name])) for name, n in widths.items()})
        real = {
            "parameters": smaller.count_params(),
            "macs": tfprune.summary(smaller).macs,
            "bytes": 4 * smaller.count_params(),
        }
        assert cost(widths) == pytest.approx(real[what], rel=1e-9)


def test_a_network_that_was_measured_within_the_time_is_not_thrown_away(net):
    """Where no correction is fast enough, the best of those that were drawn counts, not the narrowest."""
    found = channels(net)
    scores = CRITERIA["l1"](net, found, 0, None)
    seen = []

    def times(models):
        seen.append([own.count_params() for own in models[1:]])
        if len(seen) > 1:
            return [1.0, 0.9]
        fast = sorted(seen[0])[:3]
        return [1.0, *(0.4 if size in fast else 0.9 for size in seen[0])]

    asked = Request(None, Budget("latency", 0.5), "global", multiple=1)
    widths = choose_within(net, found, scores, asked, times)
    smaller = remove_groups(net, {name: range(n, len(found.free[name])) for name, n in widths.items()})
    assert smaller.count_params() > min(seen[0]) and smaller.count_params() in sorted(seen[0])[:3]


def test_groups_that_are_built_alike_have_one_form():
    x = inputs = layers.Input((8, 8, 3))
    for name in "abc":
        x = layers.Conv2D(8, 3, activation="relu", name=name)(x)
    x = layers.Dense(16, name="d")(layers.GlobalAveragePooling2D()(x))
    model = keras.Model(inputs, layers.Dense(3)(x))
    forms = forms_of(model, channels(model))
    assert forms["a"] == forms["b"]
    assert len({forms[name] for name in "acd"}) == 3  # c is read by a dense layer


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("what", ["parameters", "macs", "bytes"])
def test_a_target_is_met_by_the_copy(net, what, scope):
    smaller = tfprune.shrink(net, scope=scope, multiple=1, **{f"target_{what}": 0.4})
    left = {"macs": lambda own: tfprune.summary(own).macs}.get(what, lambda own: own.count_params())
    share = left(smaller) / left(net)
    assert 0.3 < share <= 0.4


def test_a_target_that_is_met_already_is_said(net, caplog):
    assert tfprune.shrink(net, target_parameters=10**9).count_params() == net.count_params()
    assert "meets target_parameters as it is" in caplog.text


def test_a_target_may_be_a_number(net):
    assert 1000 < tfprune.shrink(net, target_parameters=4000, multiple=1).count_params() <= 4000


def test_a_target_may_be_a_number_of_numpy(net):
    smaller = tfprune.shrink(net, target_macs=np.float32(0.5), floor=np.float32(0.125))
    assert smaller.count_params() == tfprune.shrink(net, target_macs=0.5, floor=0.125).count_params()


def test_the_most_important_channels_stay_and_groups_that_are_worth_little_become_narrow():
    a, b = layers.Dense(16, name="a"), layers.Dense(16, name="b")
    model = keras.Sequential([layers.Input((16,)), a, b, layers.Dense(2, name="c")])
    a.kernel.assign(np.tile(np.arange(16) + 100.0, (16, 1)))
    b.kernel.assign(np.tile(np.arange(16) / 100 + 1.0, (16, 1)))
    smaller = tfprune.shrink(model, 0.5, scope="global", normalizer="none", multiple=1)
    widths = [layer.units for layer in smaller.layers]
    assert widths == [14, 2, 2]  # a tenth stays whatever it is worth
    np.testing.assert_array_equal(smaller.layers[0].kernel.numpy()[0], np.arange(2, 16) + 100.0)
    assert [own.units for own in tfprune.shrink(model, 0.5, scope="layer", multiple=1).layers] == [8, 8, 2]


def macs(model) -> float:
    return tfprune.summary(model).macs


def by_macs(models):
    return [macs(model) / macs(models[0]) for model in models]


@pytest.mark.some(every=2)
@pytest.mark.parametrize("target", [0.7, 0.3])
def test_a_target_of_time_is_met_by_what_is_measured(net, target):
    """Here a network takes as long as it multiplies; then the best one is known."""
    found = channels(net)
    scores = CRITERIA["l2"](net, found, 0, None)
    asked = Request(None, Budget("latency", target), "global", multiple=1)
    counted = []

    def times(models):
        counted.append(len(models))
        return by_macs(models)

    widths = choose_within(net, found, scores, asked, times)
    size = size_of(net, found, "macs")
    share = size(widths) / size({name: len(group) for name, group in found.free.items()})
    assert 0.85 * target <= share <= target
    assert sum(counted) <= SAMPLES + 2 + 2 * CORRECTIONS


def test_a_target_of_time_that_is_too_low_says_what_was_measured(net):
    found = channels(net)
    asked = Request(None, Budget("latency", 0.001), "global")
    with pytest.raises(
        ConfigError, match=r"no width makes the model take 0\.001 x its time here: the narrowest .* takes"
    ):
        choose_within(net, found, CRITERIA["l2"](net, found, 0, None), asked, by_macs)


def test_time_is_really_measured_and_the_model_left_as_it_was(net, monkeypatch):
    """Whether a network this small is any faster without some of its channels is up to the machine."""
    monkeypatch.setattr("tfprune.structured.budgets.SAMPLES", 2)
    monkeypatch.setattr("tfprune.structured.budgets.CORRECTIONS", 1)
    net.compile("adam", "sparse_categorical_crossentropy")
    x, y = np.ones((4, 8, 8, 3), "float32"), np.zeros(4)
    before = [weight.numpy() for weight in net.weights]
    with contextlib.suppress(ConfigError):
        tfprune.shrink(net, target_latency=0.99, data=(x, y), runtime="training", batch_size=4)
    assert all(np.array_equal(weight.numpy(), own) for weight, own in zip(net.weights, before, strict=True))
    assert int(net.optimizer.iterations) == 0
    shares = times_of(net, x, "keras", 4)([net, remove_groups(net, {})])
    assert shares[0] == 1 and 0 < shares[1] < np.inf


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"keep": 0.5, "target_macs": 0.5}, "say how much stays by one of keep, target_parameters"),
        ({"target_macs": 0.5, "target_bytes": 0.5}, "say how much stays by one of keep, target_parameters"),
        ({"keep": 0}, r"keep must be in \(0, 1\], got 0"),
        (
            {"target_macs": 0},
            r"target_macs must be a share of the whole model's in \(0, 1\), or a number above 1, got 0",
        ),
        ({"target_latency": 2, "data": 1}, r"target_latency must be a share of the whole model's in \(0, 1\), got 2"),
        ({"target_latency": 0.5, "runtime": "training"}, "runtime='training' is measured on examples"),
        ({"target_latency": 0.5, "runtime": "fast"}, "unknown runtime 'fast'"),
        ({"scope": "glob"}, "unknown scope 'glob'.*global"),
        ({"normalizer": "avg"}, "unknown normalizer 'avg'"),
        ({"keep": 0.5, "scope": "global", "floor": 1}, "no channel goes at keep=0.5: .* a lower floor"),
        ({"target_latency": 0.5, "data": [np.ones((4, 8, 8, 3))] * 2}, "takes 1 inputs, and data have 2"),
        ({"floor": 2}, r"floor must be in \[0, 1\], got 2"),
        ({"criterion": "l3"}, "unknown criterion 'l3'"),
        ({"criterion": "taylor2"}, r"criterion taylor2 needs examples=\(inputs, class numbers\), or data=\(x, y\)"),
        ({"granularity": "branch", "target_macs": 0.5}, "residual branches go by keep alone"),
        ({"granularity": "branch", "criterion": "fpgm"}, "unknown criterion 'fpgm'"),
        ({"target_parameters": 10}, "no width comes down to"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(net, given, message):
    with pytest.raises(ConfigError, match=message):
        tfprune.shrink(net, **given)
