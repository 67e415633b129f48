from tfprune.adapters.backend import keras
from tfprune.adapters.tf_keras.multiply_adds import macs_per_kernel
from tfprune.adapters.tf_keras.wrapping import wrap


def test_multiplications_are_counted_by_hand(conv_net):
    """Weights of a kernel times the pixels of its output: 8 x 8 with padding, 6 x 6 without."""
    expected = {
        "conv/kernel": 3 * 3 * 3 * 8 * 64,
        "depthwise/depthwise_kernel": 3 * 3 * 8 * 64,
        "separable/depthwise_kernel": 3 * 3 * 8 * 36,
        "separable/pointwise_kernel": 8 * 6 * 36,
        "logits/kernel": 6 * 3,
    }
    for model in (conv_net, wrap(conv_net), wrap(conv_net, exclude=["first"])):
        assert {name: count for name, (count, _) in macs_per_kernel(model).items()} == expected
    assert [mask is None for _, mask in macs_per_kernel(model).values()] == [True, False, False, False, False]


def test_multiplications_of_other_layers():
    layers = keras.layers
    inputs = layers.Input((10,))
    x = layers.Embedding(50, 4, name="lookup")(inputs)
    x = layers.Dense(3, name="each_place")(x)
    x = layers.Reshape((5, 2, 3))(x)
    x = layers.Conv2DTranspose(7, 2, strides=2, name="wider")(x)
    counts = {name: count for name, (count, _) in macs_per_kernel(keras.Model(inputs, x)).items()}
    assert counts == {"each_place/kernel": 10 * 4 * 3, "wider/kernel": 2 * 2 * 3 * 7 * 10}
