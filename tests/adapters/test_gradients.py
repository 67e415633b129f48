import functools

import numpy as np
import pytest

from tfprune.adapters.backend import keras, tf
from tfprune.adapters.batches import balanced_indices
from tfprune.adapters.derivatives import PASSES
from tfprune.adapters.tf_keras.gradients import GradientProvider, draw_batch
from tfprune.adapters.tf_keras.mask_values import get_masks, get_weights, kernels, set_masks, set_weights
from tfprune.adapters.tf_keras.wrapping import mask_in_place, wrap
from tfprune.data._base import Split
from tfprune.pruning.events import Criterion, PruningEvent, geometric
from tfprune.pruning.masks import ones_like
from tfprune.pruning.scores import ScoringContext, grasp, snip, synflow, taylor
from tfprune.pruning.update import update_masks
from tfprune.training.stacking import stack, stack_weights
from tfprune.utils.errors import ModelError

CRITERION = Criterion(per_class=10)


def slopes_of(model, split):
    return GradientProvider(model, lambda per_class: draw_batch(split, per_class, [np.random.default_rng(0)]))


def evidence(model, split, criterion=CRITERION):
    gradients = functools.partial(slopes_of(model, split), criterion=criterion)
    return ScoringContext(kernels(model), get_masks(model), np.random.default_rng(0), gradients)


@pytest.fixture
def features():
    random = np.random.default_rng(0)
    return Split(random.normal(size=(30, 4)), np.arange(30) % 3)


def mlp(*widths, activation="tanh"):
    layers = [
        keras.layers.Dense(width, activation, name=f"dense_{n}", bias_initializer="random_normal")
        for n, width in enumerate(widths)
    ]
    return keras.Sequential([keras.layers.Input((4,)), *layers])


def numeric(function, w, step):
    """Central differences."""
    gradients = np.empty_like(w)
    for index in np.ndindex(w.shape):
        moved = [w.copy() for _ in range(2)]
        moved[0][index] += step
        moved[1][index] -= step
        gradients[index] = (function(moved[0]) - function(moved[1])) / (2 * step)
    return gradients


def cross_entropy(weights, split, temperature=1.0):
    """The mean over examples, in NumPy alone, of a network of two dense layers with tanh."""
    kernel, bias, last, offset = weights
    logits = np.tanh(np.tanh(split.x @ kernel + bias) @ last + offset) / temperature
    return np.mean(np.log(np.exp(logits).sum(-1)) - logits[np.arange(len(split)), split.y])


def test_snip_agrees_with_numeric_derivatives(features):
    model = wrap(mlp(5, 3))
    weights = [weight.astype(float) for weight in get_weights(model)]
    scores = snip(evidence(model, features))
    for place, name in ((0, "dense_0/kernel"), (2, "dense_1/kernel")):
        loss = lambda w, place=place: cross_entropy([*weights[:place], w, *weights[place + 1 :]], features)  # noqa: E731
        expected = np.abs(weights[place] * numeric(loss, weights[place], 1e-5))
        np.testing.assert_allclose(scores[name], expected, rtol=1e-5, atol=1e-9)


def test_grasp_agrees_with_numeric_derivatives_of_the_gradients_norm(features):
    """w Hg is w times the slope of half the squared norm of the gradient of all kernels."""
    model, temperature = wrap(mlp(3, 3)), 2.0
    weights = [weight.astype(float) for weight in get_weights(model)]

    def half_norm(kernel, last):
        losses = (
            lambda w: cross_entropy([w, weights[1], last, weights[3]], features, temperature),
            lambda w: cross_entropy([kernel, weights[1], w, weights[3]], features, temperature),
        )
        gradients = [numeric(loss, w, 1e-4) for loss, w in zip(losses, (kernel, last), strict=True)]
        return sum(np.sum(gradient**2) for gradient in gradients) / 2

    scores = grasp(evidence(model, features, Criterion(temperature=temperature)))
    first = weights[0] * numeric(lambda w: half_norm(w, weights[2]), weights[0], 1e-4)
    second = weights[2] * numeric(lambda w: half_norm(weights[0], w), weights[2], 1e-4)
    np.testing.assert_allclose(scores["dense_0/kernel"], first, rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(scores["dense_1/kernel"], second, rtol=1e-3, atol=1e-6)


def test_taylor_is_the_mean_over_batches_of_one_example_a_class(features):
    model = wrap(mlp(5, 3))
    scores = taylor(evidence(model, features, Criterion(per_class=2)))
    drawn = draw_batch(features, 2, [np.random.default_rng(0)])
    squares = []
    for part in (slice(0, 3), slice(3, 6)):
        assert sorted(drawn.y[part]) == [0, 1, 2]
        with tf.GradientTape() as tape:
            logits = model(drawn.x[part].astype(np.float32))
            loss = tf.reduce_mean(keras.losses.sparse_categorical_crossentropy(drawn.y[part], logits, from_logits=True))
        kernel = model.layers[0].layer.kernel
        squares.append(np.square(tape.gradient(loss, kernel) * kernel))
    np.testing.assert_allclose(scores["dense_0/kernel"], np.mean(squares, axis=0), rtol=1e-3, atol=1e-9)


def conv_net(dropout=0.5, dtype="float32"):
    """A network whose every part is smooth: BatchNorm, a residual add, a depthwise kernel."""
    layers, made = keras.layers, {"dtype": dtype}
    inputs = layers.Input((4, 4, 2), dtype=dtype)
    x = shortcut = layers.Conv2D(3, 3, padding="same", activation="tanh", name="conv", **made)(inputs)
    x = layers.DepthwiseConv2D(3, padding="same", name="depthwise", **made)(x)
    x = layers.BatchNormalization(name="norm", **made)(x)
    x = layers.GlobalAveragePooling2D(name="pool", **made)(layers.Add(name="add", **made)([x, shortcut]) ** 2)
    return keras.Model(inputs, layers.Dense(3, name="logits", **made)(layers.Dropout(dropout, **made)(x)))


@pytest.fixture
def images():
    random = np.random.default_rng(0)
    return Split(random.normal(size=(30, 4, 4, 2)), np.arange(30) % 3)


def test_derivatives_through_batch_norm_are_of_the_whole_batch_without_dropout(images):
    model, plain = wrap(conv_net()), conv_net(dropout=0.0, dtype="float64")
    plain.set_weights(get_weights(model))
    slopes = slopes_of(model, images)
    gradients, products = slopes("gradients", CRITERION), slopes("hessian_gradients", CRITERION)
    variables = {f"{v.name.partition(':')[0]}": v for v in plain.trainable_variables if v.name.endswith("kernel:0")}
    assert list(variables) == list(gradients)

    def gradient():
        with tf.GradientTape() as tape:
            logits = plain(images.x, training=True)
            loss = tf.reduce_mean(keras.losses.sparse_categorical_crossentropy(images.y, logits, from_logits=True))
        return tape.gradient(loss, list(variables.values()))

    for own, expected in zip(gradients.values(), gradient(), strict=True):
        np.testing.assert_allclose(own, expected, rtol=1e-9, atol=1e-12)
    ends = []
    for side in (1e-4, -1e-4):
        for variable, own in zip(variables.values(), gradients.values(), strict=True):
            variable.assign_add(side * own)
        ends.append(gradient())
        for variable, own in zip(variables.values(), gradients.values(), strict=True):
            variable.assign_add(-side * own)
    for own, high, low in zip(products.values(), *ends, strict=True):
        np.testing.assert_allclose(own, (high - low) / 2e-4, rtol=1e-4, atol=1e-7)


def test_the_model_stays_as_it_is_and_pruned_weights_have_slopes_too(images):
    model = wrap(conv_net())
    masks = {name: np.arange(mask.size).reshape(mask.shape) % 2 for name, mask in get_masks(model).items()}
    set_masks(model, masks)
    before = get_weights(model)
    gradients = slopes_of(model, images)
    for kind in PASSES:
        assert all(np.all(slope != 0) for slope in gradients(kind, CRITERION).values()), kind
    for own, old in zip(get_weights(model), before, strict=True):
        np.testing.assert_array_equal(own, old)


def test_derivatives_are_computed_once_until_they_are_renewed(features):
    model = wrap(mlp(5, 3))
    gradients = slopes_of(model, features)
    first = gradients("gradients", CRITERION)
    assert gradients("gradients", CRITERION) is first and gradients.passes == 3 * 30
    set_weights(model, [weight + 0.1 for weight in get_weights(model)])
    gradients.renew()
    assert np.any(gradients("gradients", CRITERION)["dense_0/kernel"] != first["dense_0/kernel"])
    assert gradients.passes == 6 * 30


@pytest.mark.parametrize("kind", PASSES)
def test_networks_side_by_side_have_the_slopes_of_each_alone(features, kind):
    networks, others = [mlp(5, 3) for _ in range(2)], Split(features.x[::-1] + 0.5, features.y[::-1])
    together = stack(networks[0], 2)
    together.set_weights(stack_weights([network.get_weights() for network in networks]))
    splits = (features, others)
    both = Split(*(np.stack([getattr(split, part) for split in splits], -1) for part in ("x", "y")))
    randoms = [np.random.default_rng(seed) for seed in range(2)]
    gradients = GradientProvider(wrap(together), lambda n: draw_batch(both, n, randoms))(kind, CRITERION)
    for number, (network, split) in enumerate(zip(networks, splits, strict=True)):
        alone = GradientProvider(wrap(network), lambda n: draw_batch(split, n, [np.random.default_rng(number)]))  # noqa: B023
        for name, own in alone(kind, CRITERION).items():
            np.testing.assert_allclose(gradients[name][..., number], own, rtol=1e-10, atol=1e-15)


def test_a_sample_has_as_many_of_each_class_by_turns_and_repeats_where_there_are_too_few():
    classes = np.array([2, 0, 0, 0, 2, 5, 2, 0])
    rows = balanced_indices(classes, 3, np.random.default_rng(0))
    assert classes[rows].tolist() == [0, 2, 5] * 3
    assert len(set(rows[::3])) == 3 and set(rows[2::3]) == {5}
    lacking = Split(np.arange(16.0).reshape(8, 1, 2), np.stack([classes, np.zeros(8, int)], -1))
    drawn = draw_batch(lacking, 3, [np.random.default_rng(0)] * 2)
    assert drawn.x.shape == (9, 1, 2) and (drawn.y[:, 1] == 0).all()


def vgg(widths=(16, 32, 64, 128, 128)):
    """Convolutions with BatchNorm, ReLU and pools, as VGG has them."""
    layers = keras.layers
    inputs = x = layers.Input((32, 32, 3), dtype="uint8")
    x = layers.Rescaling(1 / 127.5, offset=-1.0)(x)
    for n, width in enumerate(widths):
        x = layers.Conv2D(width, 3, padding="same", name=f"conv_{n}", bias_initializer="random_normal")(x)
        x = layers.MaxPooling2D()(layers.ReLU()(layers.BatchNormalization()(x)))
    return wrap(keras.Model(inputs, layers.Dense(10, "tanh", name="logits")(layers.Flatten()(x))))


def flow(model):
    return {name: score.sum() for name, score in synflow(evidence(model, None)).items()}


def test_synaptic_flow_is_the_same_through_every_layer():
    """Theorem 1 of Tanaka et al. 2020; the number is that of the product of the absolute kernels, on ones."""
    sums = flow(vgg())
    np.testing.assert_allclose(list(sums.values()), sums["logits/kernel"], rtol=1e-9)
    plain = wrap(mlp(5, 3))
    first, second = (np.abs(kernel.astype(float)) for kernel in kernels(plain).values())
    assert flow(plain)["dense_0/kernel"] == pytest.approx((np.ones(4) @ first @ second).sum(), rel=1e-12)


@pytest.mark.parametrize(
    ("name", "rounds", "connected"),
    [
        pytest.param("synflow", 100, True, marks=pytest.mark.slow),
        *(("magnitude", 1, False), ("random", 1, False)),
    ],
)
def test_at_one_weight_in_a_thousand_only_synflow_leaves_a_way_through(name, rounds, connected):
    model = vgg()
    gradients = slopes_of(model, None)
    masks = ones_like(kernels(model))
    for event in geometric(0.999, rounds, Criterion(name)):
        gradients.renew()
        masks = update_masks(
            event, ScoringContext(kernels(model), masks, np.random.default_rng(0), gradients), "global"
        )
        set_masks(model, masks)
    size = sum(mask.size for mask in masks.values())
    assert sum(int(mask.sum()) for mask in masks.values()) == PruningEvent(sparsity=0.999).keep(size, size)
    assert bool(flow(model)["logits/kernel"] > 0) is connected
    if connected:
        assert min(int(mask.sum()) for mask in masks.values()) > 1


class Own(keras.Model):
    """A subclassed model with all that a training would leave traces of."""

    def __init__(self):
        super().__init__(name="own")
        self.hidden, self.norm = keras.layers.Dense(5, "tanh", name="hidden"), keras.layers.BatchNormalization()
        self.drop, self.logits = keras.layers.Dropout(0.9), keras.layers.Dense(3, name="logits")

    def call(self, inputs, training=None):
        x = self.norm(self.hidden(inputs), training=training)
        return self.logits(self.drop(x, training=training))


@pytest.mark.parametrize("kind", ["gradients", "hessian_gradients", "squared_gradients"])
def test_a_subclassed_model_is_looked_at_as_it_is_and_stays_so(features, kind):
    own = Own()
    own(features.x)
    inputs = keras.layers.Input((4,))
    functional = keras.Model(inputs, own.logits(own.drop(own.norm(own.hidden(inputs)))))
    before = own.get_weights()
    gradients = slopes_of(mask_in_place(own), features)(kind, CRITERION)
    for weight, then in zip(own.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, then)
    assert own.drop.rate == 0.9
    for name, slope in slopes_of(functional, features)(kind, CRITERION).items():
        np.testing.assert_allclose(gradients[name], slope, rtol=2e-3, atol=1e-5)


def test_a_subclassed_model_has_no_flow(features):
    own = Own()
    own(features.x)
    with pytest.raises(ModelError, match="model own cannot be rebuilt without its nonlinearities"):
        slopes_of(own, features)("flow_gradients", CRITERION)


def test_frozen_layers_have_slopes_too(features):
    model = mlp(5, 3)
    expected = slopes_of(model, features)("gradients", CRITERION)
    model.layers[0].trainable = False
    for name, slope in slopes_of(model, features)("gradients", CRITERION).items():
        np.testing.assert_array_equal(slope, expected[name])
