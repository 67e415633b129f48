import pytest
from scipy import stats

from tfprune.comparison import paired_difference, run_all
from tfprune.errors import ConfigError, TrainingError


def rows(*losses):
    return {str(seed): {"test_loss": loss} for seed, loss in enumerate(losses)}


def test_paired_differences_agree_with_scipys_paired_test():
    own, other = (0.41, 0.38, 0.45, 0.40), (0.40, 0.39, 0.41, 0.37)
    delta = paired_difference(rows(*own), rows(*other), "test_loss")
    interval = stats.ttest_rel(own, other).confidence_interval(0.95)
    assert (delta["low"], delta["high"]) == pytest.approx((interval.low, interval.high))
    assert delta["mean"] == pytest.approx(0.0175) and delta["better"] == 0.25


def test_only_shared_seeds_are_paired_and_one_is_not_enough():
    assert paired_difference(rows(1, 2, 3), rows(1, 2), "test_loss")["mean"] == 0
    assert paired_difference(rows(1, 2, 3), rows(1), "test_loss") is None
    assert paired_difference(rows(1), {}, "test_loss") is None


class Named:
    def __init__(self, run_id):
        self.run_id = run_id


def test_a_training_that_fails_is_noted_and_the_rest_go_on():
    def run(config):
        if config.run_id == "b":
            raise TrainingError("the loss is nan")
        return config.run_id

    assert run_all(map(Named, "abc"), run) == (["a", "c"], ["b: the loss is nan"])


def test_what_concerns_all_runs_stops_them():
    def run(config):
        raise ConfigError("out of range")

    with pytest.raises(ConfigError):
        run_all(map(Named, "ab"), run)
