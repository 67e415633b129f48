import pytest
from scipy import stats

from tfprune.comparison import holm, paired_difference, run_all
from tfprune.errors import ConfigError, TrainingError


def rows(*losses):
    return {str(seed): {"test_loss": loss} for seed, loss in enumerate(losses)}


def test_paired_differences_agree_with_scipys_paired_test():
    own, other = (0.41, 0.38, 0.45, 0.40), (0.40, 0.39, 0.41, 0.37)
    delta = paired_difference(rows(*own), rows(*other), "test_loss")
    interval = stats.ttest_rel(own, other).confidence_interval(0.95)
    assert (delta["low"], delta["high"]) == pytest.approx((interval.low, interval.high))
    assert delta["mean"] == pytest.approx(0.0175) and delta["better"] == 0.25
    assert delta["p"] == stats.ttest_rel(own, other).pvalue


def test_seeds_that_do_not_differ_are_no_evidence():
    assert paired_difference(rows(1, 2), rows(1, 2), "test_loss")["p"] == 1.0


def test_holms_correction_on_known_values():
    # Holm's step-down by hand: sorted 0.005, 0.01, 0.03, 0.04 times 4, 3, 2, 1, never below the one before.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0] and holm([]) == [] and holm([0.2]) == [0.2]


def test_only_shared_seeds_are_paired_and_one_is_not_enough():
    assert paired_difference(rows(1, 2, 3), rows(1, 2), "test_loss")["mean"] == 0
    assert paired_difference(rows(1, 2, 3), rows(1), "test_loss") is None
    assert paired_difference(rows(1), {}, "test_loss") is None


def test_a_training_that_fails_is_noted_and_the_rest_go_on(tiny):
    def run(config, dense):
        if config.seed == 1:
            raise TrainingError("the loss is nan")
        return config.seed

    configs = [tiny(seed=seed) for seed in range(3)]
    assert run_all(configs, run) == ([0, 2], [f"{configs[1].run_id}: the loss is nan"])


def test_what_concerns_all_runs_stops_them(tiny):
    def run(config, dense):
        raise ConfigError("out of range")

    with pytest.raises(ConfigError):
        run_all([tiny()], run)


def test_the_baseline_of_a_seed_is_handed_to_its_other_methods(tiny):
    configs = [tiny(method, seed=seed) for seed in (0, 1) for method in ("unpruned", "pruned", "dynamic")]
    handed = []

    def run(config, dense):
        handed.append(dense)
        return config.run_id

    run_all(configs, run)
    first, second = configs[0].run_id, configs[3].run_id
    assert handed == [None, first, first, None, second, second]
