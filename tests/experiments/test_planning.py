import numpy as np
import pytest

from tfprune.experiments.libraries import library_of
from tfprune.experiments.planning import SIZES, Planner, Times
from tfprune.experiments.run_data import load_data
from tfprune.exporting.latency import Latency
from tfprune.structured.surgery import build_smaller
from tfprune.training.config import Config
from tfprune.utils.errors import ConfigError

SMALL = {"filters": (16, 16), "hidden": (24,)}


@pytest.fixture
def planner(copies):
    config = Config(
        dataset="fashion_mnist", method="pruned", data_dir=copies, limit=16, batch_size=8, granularity="filter",
        channel_settings={"multiple": 4}, model_settings=SMALL,
    )  # fmt: skip
    planner = Planner(library_of(config, load_data(config)), rounds=2)
    return planner


def test_of_branches_those_go_that_are_named_and_then_the_last_ones():
    config = Config(
        dataset="penguins", method="pruned", granularity="branch", model="residual:tower",
        channel_settings={"order": ("two",)},
    )  # fmt: skip
    planner = Planner(library_of(config, load_data(config)), rounds=2)
    assert [own.widths["residual branches"] for own in planner.candidates] == [4, 3, 2, 1]
    half = planner.at(0.5)
    assert planner.channel_tracker.removed == {"residual branches": ["two", "four"]}
    smaller = build_smaller(planner._model, planner.channel_tracker.removed)
    assert half.parameters == smaller.count_params() and "four/kernel" not in half.kernels
    assert planner.times(half).ratio("training") > 0


def taking(planner, monkeypatch, seconds):
    """Lets a version take as long as a function of its share says."""
    asked = []

    def times(candidate):
        asked.append(candidate.keep)
        pair = (Latency(1, (1.0,)), Latency(1, (seconds(candidate.keep),)))
        return Times(training=pair, inference=pair)

    monkeypatch.setattr(planner, "times", times)
    return asked


def test_sizes_are_those_of_the_model_without_the_channels(planner):
    whole, half = planner.at(1.0), planner.at(0.5)
    assert half.widths == {"conv_1": 8, "conv_2": 8, "dense_1": 12}
    smaller = build_smaller(planner._model, planner.channel_tracker.removed)
    assert whole.parameters == planner._model.count_params() and half.parameters == smaller.count_params()
    assert half.bytes == 4 * half.parameters
    assert half.kernels["conv_2/kernel"] == (9 * 8 * 8, 9 * 8 * 8 * 14 * 14)
    assert half.macs == sum(macs for _, macs in half.kernels.values())
    with pytest.raises(ConfigError, match=r"keep must be in \(0, 1\], got 0"):
        planner.at(0.0)


def test_candidates_get_narrower_and_are_all_there_are(planner):
    macs = [candidate.macs for candidate in planner.candidates]
    assert macs == sorted(set(macs), reverse=True)
    assert planner.candidates[0].widths == planner.channel_tracker.sizes
    assert planner.candidates[-1].widths == {"conv_1": 4, "conv_2": 4, "dense_1": 4}


@pytest.mark.parametrize("what", ["macs", "parameters", "bytes"])
def test_the_widest_within_a_size_is_found(planner, what):
    whole = getattr(planner.candidates[0], what)
    found = planner.within(what, 0.5)
    assert getattr(found, what) <= whole / 2
    wider = planner.candidates[planner.candidates.index(found) - 1]
    assert getattr(wider, what) > whole / 2
    assert planner.within(what, float(getattr(found, what))) == found
    with pytest.raises(ConfigError, match=f"no width comes down to 10 {what}: the narrowest has .* channels.multiple"):
        planner.within(what, 10)
    with pytest.raises(ConfigError, match=f"no width comes down to 0.001 of the {what}: the narrowest has"):
        planner.within(what, 0.001)


def test_a_speed_is_found_by_bisection(planner, monkeypatch):
    asked = taking(planner, monkeypatch, lambda keep: keep)
    found = planner.faster(2.0, "training")
    wider = planner.candidates[planner.candidates.index(found) - 1]
    assert found.keep <= 0.5 < wider.keep
    assert len(asked) <= 2 + np.log2(len(planner.candidates))


def test_what_is_worth_least_for_its_cost_goes_across_groups(planner, monkeypatch):
    whole = planner.candidates[0]
    for what in SIZES:
        found = planner.best(what, 0.5)
        assert getattr(found, what) <= getattr(whole, what) / 2
    shares = {name: found.widths[name] / size for name, size in whole.widths.items()}
    assert len(set(shares.values())) > 1 and all(width % 4 == 0 for width in found.widths.values())
    assert planner.best("keep", 0.5).keep == pytest.approx(0.5, abs=0.08)  # 28 of 56, to a multiple of 4 of each

    def by_parameters(speed, models):
        return [own.count_params() / models[0].count_params() for own in models]

    monkeypatch.setattr(planner, "_shares", by_parameters)
    found = planner.best("training", 0.5)
    assert found.parameters <= 0.5 * whole.parameters and found.keep > planner.within("parameters", 0.5).keep
    with pytest.raises(ConfigError, match="no width makes the model take 0.01 x its time here"):
        planner.best("inference", 0.01)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"channel_settings": {"criterion": "taylor"}}, "criterion taylor looks at examples, and a plan at weights"),
        ({"granularity": "branch", "channel_settings": {}}, "branches make one group: leave out scope global"),
    ],
)
def test_a_plan_by_worth_is_of_channels_and_their_weights(changes, message):
    given = {"dataset": "penguins", "method": "pruned", "model": "residual:tower", "granularity": "filter"}
    config = Config(**given | changes)
    with pytest.raises(ConfigError, match=message):
        Planner(library_of(config, load_data(config)), rounds=1).best("macs", 0.5)


def test_the_times_of_several_versions_are_shares_of_the_first_one(planner):
    whole, share = planner._shares(1, [build_smaller(planner._model, {}) for _ in range(2)])
    assert whole == 1.0 and share > 0


def test_a_speed_that_no_width_reaches_is_said(planner, monkeypatch):
    taking(planner, monkeypatch, lambda keep: 0.8)
    with pytest.raises(ConfigError, match=r"no width makes inference 2 x as fast here: .* is 1.25 x as fast"):
        planner.faster(2.0, "inference")
    with pytest.raises(ConfigError, match="--target-speedup must be above 1, got 0.5"):
        planner.faster(0.5, "training")


def test_times_are_measured_beside_the_whole_model_and_once(planner):
    half = planner.at(0.5)
    times = planner.times(half)
    assert [latency.batch for latency in (*times.training, *times.inference)] == [8, 8, 1, 1]
    assert all(len(latency.seconds) == 2 and min(latency.seconds) > 0 for latency in times.training)
    assert planner.times(planner.at(0.5)) is times
