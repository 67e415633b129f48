"""What single methods promise beyond what all do, see `contracts/test_methods.py`."""

import math

import numpy as np
import pytest
from alone import trained

from tfprune.adapters.tf_keras.mask_values import get_masks, kernel_variables, kernels
from tfprune.adapters.tf_keras.optimizers import slots
from tfprune.experiments.together import train_together
from tfprune.methods import METHODS
from tfprune.training.trainer import Trainer
from tfprune.utils.errors import ConfigError


class Recorded:
    """A task that only takes down what it is asked for."""

    def __init__(self, epochs):
        self.epochs, self.calls = epochs, []

    def __getattr__(self, name):
        return lambda *args, **kwargs: self.calls.append((name, args, kwargs))


def calls(method, epochs, **settings):
    task = Recorded(epochs)
    METHODS[method](**settings).run(task)
    return task.calls


def test_gradual_pruning_follows_the_papers_cubic():
    [(_, _, given)] = calls("gradual", 400, sparsity=0.8, begin=0.25, end=0.75, updates=4)
    assert [(epoch, round(cut.sparsity, 6)) for epoch, cut in given["events"].items()] == [
        (150, round(0.8 * (1 - 0.75**3), 6)), (200, 0.7), (250, round(0.8 * (1 - 0.25**3), 6)), (300, 0.8),
    ]  # fmt: skip


@pytest.mark.parametrize(("epochs", "warned"), [(4, True), (9, True), (10, False), (160, False)])
def test_an_early_bird_that_cannot_be_found_is_no_secret(caplog, epochs, warned):
    [(_, _, given)] = calls("early_bird", epochs)
    assert list(given["events"])[-1] == epochs // 2
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == warned
    if warned:
        assert "finds no ticket in fewer than 5" in said[0] and "train for at least 10 epochs" in said[0]


def test_rigl_moves_less_and_less_and_set_always_the_same():
    def moved(method):
        _, (_, _, given) = calls(method, 400, updates=2)
        return [(epoch, cut.regrow_fraction, cut.growth.name) for epoch, cut in given["events"].items()]

    cosine = [0.3 * (1 + math.cos(math.pi * share)) / 2 for share in (1 / 3, 2 / 3)]
    assert moved("rigl") == [
        (100, pytest.approx(cosine[0]), "gradient"),
        (200, pytest.approx(cosine[1]), "gradient"),
    ]
    assert moved("set") == [(100, 0.3, "random"), (200, 0.3, "random")]


def test_short_runs_have_an_update_an_epoch():
    assert METHODS["rigl"]().update_epochs(6) == (1, 2, 3, 4)
    assert METHODS["rigl"](until=0.5).update_epochs(6) == (1, 2)  # at the end of the third nothing would move
    assert METHODS["gradual"]().update_epochs(6) == (1, 2, 3, 4)


@pytest.mark.parametrize(
    ("method", "settings", "message"),
    [
        ("rigl", {}, "no epoch ends before until=0.75 of 1 epochs, so that the masks would never move; train longer"),
        ("gradual", {}, "between 0 and 0.75 of 1 epochs no epoch ends"),
        ("gradual", {"begin": 0.8}, "begin must be below end, which is 0.75, got 0.8"),
        ("early_bird", {}, "latest=0.5 of 1 epochs is before the first ends"),
        ("rate_rewinding", {"rewind_epoch": 1}, "rewind_epoch must be below the 1 epochs"),
        ("fine_tuned", {"tuning_epochs": 0}, "tuning_epochs must be a whole number of at least 1"),
        ("snip", {"per_class": 0}, "per_class must be a whole number of at least 1"),
        ("grasp", {"temperature": 0}, "temperature must be a finite number above 0"),
        ("synflow", {"shuffle": 1}, "shuffle must be true or false"),
    ],
)
def test_what_cannot_be_done_is_said(tiny, method, settings, message):
    with pytest.raises(ConfigError, match=message):
        tiny(method, epochs=1, settings=settings)


def test_rewired_weights_start_at_zero_with_empty_slots(tiny, monkeypatch):
    config, seen = tiny("rigl", settings={"sparsity": 0.8, "fraction": 0.5}), []
    cut = Trainer._prune

    def watched(trainer, event):
        before = get_masks(trainer.model)
        cut(trainer, event)
        if event.regrow_fraction:
            for name, kernel in kernel_variables(trainer.model).items():
                new = (get_masks(trainer.model)[name] == 1) & (before[name] == 0)
                values = [variable.numpy()[new] for variable in (kernel, *slots(trainer.model.optimizer, kernel))]
                assert len(values) == 3  # Adam's two moments
                seen.append((new.sum(), sum(np.count_nonzero(value) for value in values)))

    monkeypatch.setattr(Trainer, "_prune", watched)
    trainer = trained(config)
    assert sum(count for count, _ in seen) > 5 and not any(zeros for _, zeros in seen)
    counts = [int(mask.sum()) for mask in get_masks(trainer.model).values()]
    assert counts == [22, 14]  # 36 in proportion to 24 and 15, the sums of the kernels' sides


def test_an_early_bird_is_drawn_once_its_mask_has_settled_and_else_at_the_latest(tiny):
    def drawn(**settings):
        history = trained(tiny("early_bird", epochs=40, settings=settings)).history
        return next(row["epoch"] for row in history if row["sparsity"])

    assert drawn(distance=0.9) == 5  # the first look that has four before it
    assert drawn(distance=0.0, looks=8) == 20


@pytest.mark.slow
def test_each_network_draws_its_own_early_bird(tiny):
    settings = {"distance": 0.03, "sparsity": 0.5}
    config = tiny("early_bird", epochs=60, settings=settings, learning_rate=0.02)
    together = train_together([config.replace(seed=seed) for seed in range(4)])
    epochs = [next(row["epoch"] for row in run.history() if row["sparsity"]) for run in together]
    assert len(set(epochs)) > 1
    alone = trained(config.replace(seed=3)).history
    assert next(row["epoch"] for row in alone if row["sparsity"]) == epochs[3]


def test_fine_tuning_keeps_the_last_learning_rate_and_rewinding_goes_through_them_again(tiny):
    for loop in ("fused", "plain"):
        rates = {}
        for method in ("fine_tuned", "rate_rewinding"):
            config = tiny(method, epochs=4, learning_rate_schedule="cosine", learning_rate=1.0, loop=loop)
            trainer = trained(config)
            steps = np.arange(16)
            rates[method] = np.array([float(trainer.model.optimizer._learning_rate(step)) for step in steps])
        cosine = 0.5 * (1 + np.cos(np.pi * np.arange(16) / 16))
        np.testing.assert_allclose(rates["rate_rewinding"], cosine, rtol=1e-5, atol=1e-7)
        np.testing.assert_allclose(rates["fine_tuned"], np.full(16, cosine[12]), rtol=1e-5)


def test_the_scores_between_pruning_and_tuning_are_kept(tiny):
    tuned = trained(tiny("fine_tuned", settings={"sparsity": 0.9}))
    before, after = tuned.untuned["validation"], tuned.evaluate(tuned.data.validation)
    pruned = trained(tiny("pruned", settings={"sparsity": 0.9}))
    assert pruned.untuned == tuned.untuned and pruned.evaluate(pruned.data.validation) == before
    assert after["loss"] < before["loss"]
    assert trained(tiny("snip")).untuned is None  # nothing was trained yet


@pytest.mark.slow
@pytest.mark.parametrize("method", ["snip", "synflow"])
def test_ablations_of_pruning_at_initialisation(tiny, method):
    """Frankle et al. 2021: the counts a layer stay, places or initial weights do not; inverted, the rest is kept."""

    def made(*ablation):
        own = trained(tiny(method, settings={"sparsity": 0.5} | dict.fromkeys(ablation, True)))
        return get_masks(own.model), kernels(own.model)

    masks, weights = made()
    shuffled, new, inverted = made("shuffle")[0], made("reinitialise"), made("invert")[0]
    for name, mask in masks.items():
        assert mask.sum() == shuffled[name].sum() and np.any(mask != shuffled[name])
        np.testing.assert_array_equal(mask, new[0][name])
        assert np.any(weights[name] != new[1][name])
    if method == "snip":  # in one round the two halves have no weight in common
        assert not any(np.any(mask & inverted[name]) for name, mask in masks.items())


def test_the_cost_of_scores_is_counted(tiny):
    """180 multiply-adds an example; SNIP takes 3 forward passes of 30 examples, GraSP 9, SynFlow 3 of one a round."""
    for method, settings, passes in (
        ("snip", {}, 3 * 30),
        ("grasp", {}, 9 * 30),
        ("synflow", {"rounds": 7}, 3 * 7),
        ("magnitude_at_init", {}, 0),
        ("rigl", {}, 4 * 3 * 30),
    ):
        assert trained(tiny(method, settings=settings)).costs.scored == 180 * passes, method
