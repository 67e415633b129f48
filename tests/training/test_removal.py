"""Which channels and branches are spared by the names of layers."""

import pytest

from tfprune.adapters.backend import keras
from tfprune.training.removal import removable, spared_branches
from tfprune.utils.errors import ModelError

L = keras.layers


def of_parts():
    """Two models in a model whose layers have the same names, and a layer whose kernel lies deeper."""
    inputs = L.Input((6, 8))
    parts = []
    for name in ("a", "b"):
        own = L.Input((6, 8))
        x = L.Conv1D(16, 3, groups=4 if name == "a" else 1, name="conv")(L.Dense(8, name="d1")(own))
        parts.append(keras.Model(own, L.Dense(8, name=f"only_{name}")(x), name=name)(inputs))
    return keras.Model(inputs, L.Dense(2, name="out")(L.Concatenate()(parts)))


def protected(exclude=()):
    return {group.name: group.protected for group in removable(of_parts(), exclude).groups}


def test_layers_of_one_name_are_told_apart_by_their_paths():
    unspared = protected()
    free = {name for name, why in unspared.items() if why is None}
    assert free == {"a/d1", "b/d1", "b/conv", "a/only_a", "b/only_b"}  # the channels of a/conv go with those of a/d1
    assert protected(["a/conv"])["a/d1"] == "a/conv is excluded"
    for exclude, spared in (
        (["b/d1"], {"b/d1"}),
        (["only_b"], {"b/only_b"}),  # a name that no other layer has
        (["b"], {"b/d1", "b/conv", "b/only_b"}),
    ):
        found = protected(exclude)
        assert {name for name, why in found.items() if why == f"{name} is excluded"} == spared & free
        assert {name for name, why in found.items() if why is None} == free - spared
    with pytest.raises(ModelError, match="exclude names 'c/d1', which is no prunable layer"):
        removable(of_parts(), ["c/d1"])


def test_branches_are_spared_by_the_names_of_layers_inside_of_their_models():
    class Plan:
        exclude = ("deep",)

    inputs = x = L.Input((8,))
    own = L.Input((8,))
    inner = keras.Model(own, L.Dense(8, name="deep")(own), name="inner")
    for number, layer in enumerate((inner, L.Dense(8, name="flat"))):
        x = L.Add(name=f"add_{number}")([x, L.Dense(8, name=f"end_{number}")(layer(x))])
    model = keras.Model(inputs, L.Dense(2)(x))
    found = removable(model, granularity="branch")
    assert found.names == ("inner", "flat")
    assert spared_branches(model, found, Plan()) == [0]
