import pytest

import tfprune
from tfprune.adapters.backend import keras as tf_keras
from tfprune.adapters.backend import keras3
from tfprune.adapters.keras3.facts import macs_of_layers


def attention(library):
    layers = library.layers
    query, value = layers.Input((5, 8)), layers.Input((7, 6))
    return library.Model([query, value], layers.MultiHeadAttention(2, 3, value_dim=4, name="m")(query, value))


def attention_by_name(library):
    layers = library.layers
    query, value, key = layers.Input((5, 8)), layers.Input((7, 6)), layers.Input((7, 9))
    out = layers.MultiHeadAttention(2, 3, name="m")(query, key=key, value=value)
    return library.Model([query, value, key], out)


def attention_over_two_axes(library):
    layers = library.layers
    inputs = layers.Input((3, 4, 8))
    one = layers.MultiHeadAttention(2, 5, attention_axes=(1, 2), name="one")(inputs, inputs)
    return library.Model(inputs, layers.MultiHeadAttention(2, 5, attention_axes=(2,), name="two")(one, one))


def masked_attention(library):
    layers = library.layers
    inputs, mask = layers.Input((5, 8)), layers.Input((5, 5), dtype="bool")
    return library.Model([inputs, mask], layers.MultiHeadAttention(2, 3)(inputs, inputs, attention_mask=mask))


def recurrent(library):
    layers = library.layers
    inputs = layers.Input((5, 4))
    x = layers.Bidirectional(layers.LSTM(6, return_sequences=True))(inputs)
    x = layers.GRU(5, return_sequences=True)(layers.SimpleRNN(7, return_sequences=True)(x))
    return library.Model(inputs, layers.RNN([layers.LSTMCell(4), layers.GRUCell(5)])(x))


def each_step(library):
    layers = library.layers
    inputs = layers.Input((5, 6, 6, 2))
    x = layers.TimeDistributed(layers.Conv2D(3, 3))(inputs)
    x = layers.ConvLSTM2D(4, 2, padding="same", return_sequences=True)(x)
    return library.Model(inputs, layers.TimeDistributed(layers.Dense(2))(layers.TimeDistributed(layers.Flatten())(x)))


def lookup(library):
    layers = library.layers
    inputs = layers.Input((5,), dtype="int32")
    x = layers.EinsumDense("abc,cd->abd", (5, 7))(layers.Embedding(9, 6)(inputs))
    return library.Model(inputs, layers.Attention()([x, x]))


@pytest.mark.parametrize(
    "model",
    [attention, attention_by_name, attention_over_two_axes, masked_attention, recurrent, each_step, lookup],
)
def test_multiply_adds_are_those_of_tf_keras(model):
    found, expected = (tfprune.summary(model(library)) for library in (keras3(), tf_keras))
    assert [(row.macs, row.kernel_weights, row.note) for row in found.layers if row.macs] == [
        (row.macs, row.kernel_weights, row.note) for row in expected.layers if row.macs
    ]
    assert sum(row.macs or 0 for row in found.layers) > 0


def test_heads_that_share_keys_multiply_less():
    keras = keras3()
    query, value = keras.layers.Input((5, 8)), keras.layers.Input((7, 8))
    layer = keras.layers.GroupQueryAttention(head_dim=3, num_query_heads=4, num_key_value_heads=2, name="g")
    counted, missing = macs_of_layers(keras.Model([query, value], layer(query, value)))[id(layer)]
    assert missing is None
    assert counted == {
        **{"query/kernel": 5 * 8 * 4 * 3, "key/kernel": 7 * 8 * 2 * 3, "value/kernel": 7 * 8 * 2 * 3},
        **{"attention_output/kernel": 5 * 4 * 3 * 8, "scores": 4 * 5 * 7 * 3, "mixture": 4 * 5 * 7 * 3},
    }


def test_a_layer_of_a_persons_own_is_marked_as_incomplete():
    keras = keras3()

    class Own(keras.layers.Layer):
        def build(self, shape):
            self.matrix = self.add_weight(name="matrix", shape=(shape[-1], 3))

        def call(self, inputs):
            return keras.ops.matmul(inputs, self.matrix)

    inputs = keras.layers.Input((8,))
    model = keras.Model(inputs, keras.layers.Dense(2)(Own(name="own")(inputs)))
    rows = {row.name: row for row in tfprune.summary(model).layers}
    assert "Own" in rows["own"].note and not rows["own"].counted
