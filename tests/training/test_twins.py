"""Some of the combinations of models, optimizers, `compile`, `fit` and callbacks that `twins` can draw."""

import pytest
import twins

COUNT, SEED = 60, 20


@pytest.mark.parametrize("own", twins.drawn(COUNT, SEED), ids=lambda own: f"{own.model}-{own.optimizer}-{own.fit}")
def test_pruned_to_nothing_it_is_keras_and_pruned_to_a_half_it_has_exactly_that_many_zeros(own):
    outcome, said = twins.tried(own)
    assert outcome in ("equal", "rounded", "unsteady", "keras"), f"{own}: {said}"


def test_every_name_is_drawn():
    drawn = twins.drawn(COUNT, SEED)
    assert {own.model for own in drawn} == set(twins.MODELS)
    assert {own.optimizer for own in drawn} == set(twins.OPTIMIZERS)
    assert {own.fit for own in drawn} == set(twins.FITS) and {own.compile for own in drawn} == set(twins.COMPILES)
    assert {name for own in drawn for name in own.callbacks} == set(twins.CALLBACKS)


def test_the_oracle_sees_what_is_wrong(monkeypatch):
    """A step that forgets its masks."""
    own = twins.Combination("mlp", "SGD", "plain", "arrays", (), "train", "dynamic")
    assert twins.tried(own) == ("equal", "")
    monkeypatch.setattr("tfprune.adapters.tf_keras.masking.InPlaceMasks._enforce", lambda *_: None)
    monkeypatch.setattr("tfprune.adapters.tf_keras.masking.InPlaceMasks._constrain", lambda *_: None)
    outcome, said = twins.tried(own)
    assert outcome == "wrong" and "pruned weights of " in said and "are not zero" in said
