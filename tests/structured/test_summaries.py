import logging

import numpy as np
import pytest

import tfprune
from tfprune.adapters.backend import keras
from tfprune.adapters.tf_keras.mask_values import get_masks
from tfprune.adapters.tf_keras.wrapping import mask_in_place

L = keras.layers


class Own(L.Layer):
    def build(self, input_shape):
        self.w = self.add_weight("w", (input_shape[-1], 6))

    def call(self, inputs):
        return inputs @ self.w


def model():
    inputs = L.Input((8,))
    x = L.BatchNormalization(name="norm")(Own(name="own")(inputs))
    return keras.Model(inputs, L.Dense(4, name="dense")(x))


def share_of_zeros(weights):
    return sum(np.sum(weight == 0) for weight in weights) / sum(weight.size for weight in weights)


def test_the_sparsity_of_all_weights_stands_beside_that_of_the_kernels():
    pruned = tfprune.prune(model(), 0.5)
    table = tfprune.summary(pruned)
    assert table.sparsity == 0.5 and table.total_sparsity == pytest.approx(share_of_zeros(pruned.get_weights()))
    assert table.total_sparsity < 0.5 and table.parameters == pruned.count_params()
    assert table.rows()[-1][6] == f"{100 * table.total_sparsity:.1f} % of all weights; MACs are incomplete: own"


def test_weights_that_nobody_knows_are_listed_and_pruned_on_demand(tmp_path):
    table = tfprune.summary(tfprune.prune(model(), 0.5))
    rows = {row.name: row for row in table.layers}
    assert table.unpruned == rows["own"].unpruned == ("own/w",)
    assert rows["own"].note == "not pruned: own/w; MACs: nothing is known of Own" and rows["own"].sparsity is None
    assert rows["norm"].note == "no kernel that can be pruned"
    pruned = tfprune.prune(model(), 0.75, include=table.unpruned)
    assert np.mean(pruned.get_layer("own").w.numpy() == 0) == 0.75
    pruned.save(str(tmp_path / "kept.keras"))
    pruned = keras.models.load_model(str(tmp_path / "kept.keras"), custom_objects={"Own": Own})
    table = tfprune.summary(pruned, include=["own"])
    assert table.sparsity == 0.75 and not table.unpruned
    assert {row.name: (row.zeros, row.kernel_weights) for row in table.layers}["own"] == (36, 48)


def test_what_has_a_mask_counts_as_a_kernel():
    masked = mask_in_place(model(), (), ["own/w"])
    assert set(get_masks(masked)) == {"own/w", "dense/kernel"}
    assert not tfprune.summary(masked).unpruned and tfprune.summary(masked).layers[0].kernel_weights == 48


def test_weights_that_layers_share_count_once():
    first, second = L.Dense(8, name="first"), L.Dense(8, name="second")
    inputs = L.Input((8,))
    network = keras.Model(inputs, second(first(inputs)))
    second.kernel = first.kernel
    table = tfprune.summary(network)
    assert table.parameters == network.count_params() == 64 + 8 + 8
    assert [row.kernel_weights for row in table.layers] == [64, 0]


def test_layers_of_one_name_are_told_apart_by_their_paths():
    inputs = L.Input((8,))
    bodies = [keras.Sequential([L.Input((8,)), L.Dense(4, name="d")], name=name) for name in "ab"]
    network = keras.Model(inputs, L.Dense(2, name="head")(L.Add()([body(inputs) for body in bodies])))
    assert [row.name for row in tfprune.summary(network).layers] == ["a/d", "b/d", "head"]


def test_what_a_model_holds_itself_has_a_row():
    class Whole(keras.Model):
        def __init__(self):
            super().__init__(name="whole")
            self.table = self.add_weight("table", (5, 3))
            self.dense = L.Dense(2, name="dense")

        def call(self, inputs):
            return self.dense(inputs @ self.table)

    network = Whole()
    network(np.zeros((1, 5), np.float32))
    table = tfprune.summary(network)
    assert table.parameters == network.count_params() and table.unpruned == ("whole/table",)
    assert table.uncounted == ("dense", "whole") and table.macs == 0


def test_one_short_line_warns_of_matrices_alone(caplog):
    blocks = [L.BatchNormalization(), L.LayerNormalization(), L.PReLU(), Own(), Own(), Own(), Own()]
    inputs = x = L.Input((6,))
    for layer in blocks:
        x = layer(x)
    network = keras.Model(inputs, L.Dense(2)(x))
    with caplog.at_level(logging.WARNING, logger="tfprune"):
        tfprune.prune(network, 0.5)
    [record] = caplog.records
    names = [layer.name for layer in blocks[3:]]
    assert record.getMessage() == (
        "not pruned, as no kernels of known layers: 4 weights, 4 of Own "
        f"({', '.join(f'{name}/w' for name in names[:3])} and 1 more); include=[...] prunes them in Python"
    )
    caplog.clear()
    with caplog.at_level(logging.WARNING, logger="tfprune"):
        tfprune.prune(network, 0.5, include=names)
        tfprune.prune(keras.applications.MobileNetV2(weights=None, input_shape=(32, 32, 3)), 0.5)
    assert not caplog.records
