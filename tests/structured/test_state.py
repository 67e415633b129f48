"""What a model knows beside its kernels stays, whatever takes channels out of it."""

import numpy as np
import pytest

from tfprune import shrink
from tfprune.adapters.backend import keras, tf
from tfprune.structured.channels import channels
from tfprune.structured.compaction import compact
from tfprune.structured.shrinking import CRITERIA, least_important
from tfprune.structured.surgery import remove_groups, zero_groups
from tfprune.structured.widths import width

L = keras.layers
VECTORS = np.random.default_rng(1).normal(size=(8, 12)).astype(np.float32)
IMAGES = np.random.default_rng(2).normal(size=(8, 6, 6, 3)).astype(np.float32)
STEPS = np.random.default_rng(3).normal(size=(8, 5, 4)).astype(np.float32)
NUMBERS = np.arange(40).reshape(8, 5) % 7
WORDS = tf.constant([["a b"], ["b c"], ["c d d"], ["a"], ["e"], ["b"], ["d"], ["?"]])
RAMP = np.linspace(0.5, 2.0, 8).astype(np.float32)


class Scaled:
    """A callable that is no function."""

    def __call__(self, x):
        return x * 0.3


@keras.utils.register_keras_serializable("tests")
def bent(x):
    return tf.where(x > 0, x, 0.1 * x * x)


@keras.utils.register_keras_serializable("tests")
class Bending(L.Layer):
    """Has a function under another name than that of its setting."""

    def __init__(self, activation, **kwargs):
        super().__init__(**kwargs)
        self.function = keras.activations.get(activation)

    def call(self, x):
        return self.function(x)

    def get_config(self):
        return super().get_config() | {"activation": keras.activations.serialize(self.function)}


def with_losses():
    model, x = chain(VECTORS)
    model.add_loss(tf.reduce_mean(model.outputs[0] ** 2))
    model.add_metric(tf.reduce_mean(model.outputs[0]), name="mean")
    return model, x


def chain(x, *between, head=None, first=None):
    """A layer, what is tried, and two more layers."""
    inputs = L.Input(x.shape[1:], dtype=x.dtype)
    y = first(inputs) if first else (L.Dense(8, name="a") if x.ndim == 2 else L.Conv2D(8, 3, name="a"))(inputs)
    for layer in between:
        y = layer(y)
    y = L.Dense(6, "relu", name="b")(y)
    y = y if len(y.shape) == 2 else L.GlobalAveragePooling2D()(y) if len(y.shape) == 4 else L.Flatten()(y)
    return keras.Model(inputs, (head or L.Dense(3, name="logits"))(y)), x


def adapted(layer, data):
    layer.adapt(data)
    return layer


def behind(layer, x, *more):
    """What is tried stands before all channels."""
    return chain(x, *more, first=lambda inputs: L.Dense(8, name="a")(tf.cast(layer(inputs), tf.float32)))


def shared_model():
    inputs, other = L.Input((12,)), L.Input((12,))
    body = keras.Sequential(
        [L.Input((12,)), L.Dense(8, tf.nn.relu6, name="a"), L.BatchNormalization(name="n")], name="body"
    )
    twice = L.Dense(8, "tanh", name="twice")
    x = L.Concatenate()([twice(body(inputs)), twice(body(other))])
    return keras.Model(
        {"x": inputs, "y": other}, {"logits": L.Dense(3, name="logits")(x), "same": L.Dense(2, name="b")(x)}
    ), {
        "x": VECTORS,
        "y": VECTORS[::-1].copy(),
    }


def shared_across_models():
    """One layer in two models that are nested in a third."""
    layer, inputs = L.Dense(8, "relu", name="both"), L.Input((12,))
    one = keras.Sequential([L.Input((12,)), layer], name="one")
    two = keras.Sequential([L.Input((12,)), layer, L.Dense(8, name="more")], name="two")
    return keras.Model(inputs, L.Dense(3, name="logits")(L.Add()([one(inputs), two(inputs)]))), VECTORS


def words_twice():
    lookup = L.StringLookup(vocabulary=["a", "b", "c"], output_mode="multi_hot")
    return behind(lookup, WORDS)


def sequential(*layers):
    return keras.Sequential(
        [L.Dense(8, input_shape=(12,), name="a"), *layers, L.Dense(6, name="b"), L.Dense(3)]
    ), VECTORS


def with_array_initializer():
    first = L.Dense(8, name="a", bias_initializer=keras.initializers.Constant(RAMP))
    return chain(VECTORS, L.PReLU(alpha_initializer=keras.initializers.Constant(RAMP)), first=first)


MODELS = {
    "normalization": lambda: chain(
        VECTORS, first=lambda i: L.Dense(8, name="a")(adapted(L.Normalization(), 5 + 3 * VECTORS)(i))
    ),
    "normalization within": lambda: chain(VECTORS, adapted(L.Normalization(), np.outer(np.arange(9), RAMP))),
    "normalization of one number": lambda: chain(VECTORS, L.Normalization(axis=None, mean=1.0, variance=4.0)),
    "normalization of constants": lambda: chain(
        VECTORS, L.Normalization(mean=RAMP.tolist(), variance=(2 * RAMP).tolist())
    ),
    "words": words_twice,
    "adapted words": lambda: behind(adapted(L.StringLookup(output_mode="count"), WORDS), WORDS),
    "text": lambda: behind(adapted(L.TextVectorization(output_mode="multi_hot"), WORDS), WORDS),
    "tf-idf": lambda: behind(adapted(L.TextVectorization(output_mode="tf_idf"), WORDS), WORDS),
    "numbers": lambda: behind(adapted(L.IntegerLookup(output_mode="multi_hot"), NUMBERS), NUMBERS),
    "bins": lambda: behind(adapted(L.Discretization(num_bins=4, epsilon=0.1), VECTORS), VECTORS),
    "bins by hand": lambda: behind(L.Discretization(bin_boundaries=[-1.0, 0.0, 0.5]), VECTORS),
    "rescaling": lambda: chain(VECTORS, L.Rescaling(RAMP.tolist(), offset=RAMP.tolist())),
    "rescaling of the input": lambda: chain(
        IMAGES, first=lambda i: L.Conv2D(8, 3, name="a")(L.Rescaling([1.0, 2.0, 3.0])(i))
    ),
    "noise shape": lambda: chain(IMAGES, L.Dropout(0.5, noise_shape=(None, 1, 1, 8)), L.SpatialDropout2D(0.2)),
    "prelu": lambda: chain(IMAGES, L.PReLU(name="p", alpha_initializer="ones"), L.PReLU(shared_axes=[1, 2])),
    "prelu of vectors": lambda: chain(VECTORS, L.PReLU(alpha_initializer="ones"), L.PReLU(shared_axes=[1])),
    "operators": lambda: chain(VECTORS, lambda x: x * 2 + 3, lambda x: 1 - x, lambda x: -x / 2.0),
    "constants": lambda: chain(
        VECTORS, lambda x: x * RAMP, lambda x: tf.add(x, tf.constant(RAMP)), lambda x: tf.maximum(RAMP - 1, x)
    ),
    "lists of constants": lambda: chain(VECTORS, lambda x: tf.multiply(x, RAMP.tolist())),
    "constant image": lambda: chain(
        IMAGES, lambda x: x * np.ones((1, 4, 4, 1), np.float32), lambda x: x + RAMP.reshape(1, 1, 1, 8)
    ),
    "lambda": lambda: chain(
        VECTORS, L.Lambda(lambda v: v / 2), head=keras.Sequential([L.Dense(3), L.Lambda(lambda v: v * 3)])
    ),
    "lambda with arguments": lambda: chain(VECTORS, L.Lambda(lambda v, by: v / by, arguments={"by": 3.0})),
    "lambda of a whole": lambda: chain(
        VECTORS, L.Dense(8, name="c"), L.Lambda(lambda v: v - tf.reduce_mean(v, -1, keepdims=True))
    ),
    "own activation": lambda: chain(VECTORS, L.Dense(8, bent, name="c"), L.Activation(bent)),
    "lambda activation": lambda: chain(VECTORS, L.Dense(8, lambda x: x * tf.sigmoid(1.7 * x), name="c")),
    "callable activation": lambda: chain(VECTORS, L.Dense(8, Scaled(), name="c")),
    "relu6": lambda: chain(IMAGES, L.Conv2D(8, 1, activation=tf.nn.relu6, name="c"), L.Activation(tf.nn.silu)),
    "layer as activation": lambda: chain(VECTORS, L.Dense(8, activation=L.LeakyReLU(0.3), name="c")),
    "layer with weights as activation": lambda: chain(
        VECTORS, L.Dense(8, activation=L.PReLU(alpha_initializer="ones"), name="c")
    ),
    "shared": shared_model,
    "shared across models": shared_across_models,
    "array initializers": with_array_initializer,
    "sequential": lambda: sequential(L.Rescaling(RAMP.tolist()), L.Activation(lambda x: x**2)),
    "embedding": lambda: chain(NUMBERS, first=L.Embedding(7, 8, name="a")),
    "embedding of constants": lambda: chain(
        NUMBERS,
        first=L.Embedding(
            7, 8, name="a", embeddings_initializer=keras.initializers.Constant(np.outer(np.arange(7), RAMP))
        ),
    ),
    "masked": lambda: chain(NUMBERS, L.LSTM(5, name="lstm"), first=L.Embedding(7, 8, mask_zero=True, name="a")),
    "constant bidirectional": lambda: chain(STEPS, L.Bidirectional(L.GRU(4), name="gru"), first=L.Dense(8, name="a")),
    "slices": lambda: chain(VECTORS, L.Dense(8, name="c"), lambda x: x[:, :4] * x[:, 4:]),
    "recurrent with own functions": lambda: chain(
        STEPS, L.LSTM(4, bent, name="lstm"), L.RepeatVector(2), L.RNN(L.GRUCell(4, bent)), first=L.Dense(8, name="a")
    ),
    "own layers with functions": lambda: chain(VECTORS, Bending(bent), L.Dense(8, "relu", name="c")),
    "losses of tensors": with_losses,
    "softmax inside": lambda: chain(VECTORS, L.Dense(8, "softmax", name="c"), L.Dense(8, "relu", name="d")),
}


UNSAVED = (  # what Keras cannot store and load, whatever its widths
    "callable activation",
    "lambda activation",
    "sequential",
    "shared across models",
    "bins",
)
pytestmark = [
    pytest.mark.filterwarnings("ignore:The object being serialized includes a `lambda`"),
    pytest.mark.filterwarnings("ignore:__array__ implementation"),  # of tf_keras under NumPy 2
]


def trembling(model):
    """Gives all weights that are trained and all statistics values of their own."""
    random = np.random.default_rng(0)
    for weight in (*model.trainable_weights, *(w for w in model.non_trainable_weights if hasattr(w, "numpy"))):
        if weight.trainable or "moving" in weight.name:
            weight.assign(
                random.uniform(0.2, 0.8, weight.shape) * random.choice([-1, 1], weight.shape) ** (weight.shape.rank > 1)
            )
    return model


def outputs(model, x):
    return [np.asarray(own) for own in tf.nest.flatten(model(x, training=False))]


def masked(model, keep):
    """The model with the channels zeroed that `shrink` takes out, and what they are."""
    found = channels(model)
    widths = {name: width(len(group), keep, 1) for name, group in found.free.items()}
    removed = least_important(CRITERIA["l1"](model, found, 0, None), widths)
    whole = remove_groups(model, {})
    zero_groups(whole, removed)
    return whole


def check_equal(got, expected):
    for one, other in zip(got, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-5 * max(1.0, np.abs(other).max()))


@pytest.mark.some(every=3)
@pytest.mark.parametrize("name", MODELS)
def test_a_model_of_which_nothing_goes_is_the_same_model(name):
    model, x = MODELS[name]()
    trembling(model)
    same = shrink(model, 1.0)
    assert [layer.name for layer in same.layers] == [layer.name for layer in model.layers]
    assert same.output_names == model.output_names and same.input_names == model.input_names
    if name != "callable activation":
        assert str(same.get_config()) == str(model.get_config())
    for got, expected in zip(outputs(same, x), outputs(model, x), strict=True):
        np.testing.assert_array_equal(got, expected)
    assert not {id(weight) for weight in same.weights} & {id(weight) for weight in model.weights}


@pytest.mark.some(every=3)
@pytest.mark.parametrize("name", MODELS)
def test_half_a_model_is_the_one_in_which_the_other_half_is_zero(name, tmp_path):
    model, x = MODELS[name]()
    trembling(model)
    model.compile("adam", "mse")
    before = outputs(model, x)
    smaller = shrink(model, 0.5, multiple=1)
    assert smaller.count_params() < model.count_params()
    found = outputs(smaller, x)
    check_equal(found, outputs(masked(model, 0.5), x))
    check_equal(outputs(compact(model).model, x), before)
    if name not in UNSAVED:
        smaller.save(tmp_path / "model.keras")
        check_equal(outputs(keras.models.load_model(tmp_path / "model.keras", safe_mode=False), x), found)
    targets = tf.nest.map_structure(np.zeros_like, smaller(x, training=False))
    history = smaller.fit(tf.data.Dataset.from_tensors((x, tf.nest.map_structure(tf.constant, targets))), verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    check_equal(outputs(model, x), before)
