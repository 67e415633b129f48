import numpy as np
import pytest

from tfprune import prune, shrink
from tfprune.adapters.backend import keras, tf
from tfprune.structured.channels import channels
from tfprune.structured.shrinking import CRITERIA, least_important
from tfprune.training.learning_rates import build_learning_rate
from tfprune.utils.errors import ConfigError, ModelError

layers = keras.layers


def scores(model, criterion, examples=None):
    return CRITERIA[criterion](model, channels(model), 0, examples)


def test_norms_are_those_of_the_kernels_that_make_a_channel(conv_net):
    kernel = conv_net.get_layer("conv").kernel.numpy()
    np.testing.assert_allclose(scores(conv_net, "l1")["conv"], np.abs(kernel).sum(axis=(0, 1, 2)), rtol=1e-6)
    np.testing.assert_allclose(scores(conv_net, "l2")["conv"], np.sqrt((kernel**2).sum(axis=(0, 1, 2))), rtol=1e-6)


def test_producers_of_a_group_are_added_up():
    inputs = layers.Input((3,))
    total = layers.Add()([layers.Dense(4, name="a")(inputs), layers.Dense(4, name="b")(inputs)])
    model = keras.Model(inputs, layers.Dense(2, name="logits")(total))
    kernels = [np.abs(model.get_layer(name).kernel.numpy()) for name in "ab"]
    np.testing.assert_allclose(scores(model, "l1")["a"], sum(kernels).sum(axis=0), rtol=1e-6)


def test_batch_norms_factor_is_the_score(conv_net):
    gamma = np.arange(8) - 4.0
    conv_net.get_layer("norm").gamma.assign(gamma)
    with pytest.raises(ModelError, match="criterion bn needs BatchNorm with a scale after separable; take l1 or l2"):
        scores(conv_net, "bn")
    model = keras.Sequential(
        [layers.Input((3,)), layers.Dense(8, name="a"), layers.BatchNormalization(), layers.Dense(2)]
    )
    model.layers[1].gamma.assign(gamma)
    np.testing.assert_array_equal(scores(model, "bn")["a"], np.abs(gamma))


def test_taylors_score_is_the_squared_change_of_the_loss(examples):
    x, y = examples
    model = keras.Sequential([layers.Input((8, 8, 3)), layers.Flatten(), layers.Dense(4, name="a"), layers.Dense(3)])

    def loss():
        return float(tf.reduce_mean(keras.losses.sparse_categorical_crossentropy(y, model(x), from_logits=True)))

    found = scores(model, "taylor", examples)["a"]
    kernel, step = model.get_layer("a").kernel, 1e-3
    value = kernel.numpy()
    for channel in range(4):  # d loss / d log of the channel's scale, by differences
        ends = []
        for factor in (1 + step, 1 - step):
            changed = value.copy()
            changed[:, channel] *= factor
            kernel.assign(changed)
            ends.append(loss())
        kernel.assign(value)
        assert found[channel] == pytest.approx(((ends[0] - ends[1]) / (2 * step)) ** 2, rel=0.05, abs=1e-6)
    with pytest.raises(ConfigError, match=r"criterion taylor needs examples=\(inputs, class numbers\)"):
        scores(model, "taylor")


def test_the_lowest_scores_go_and_of_equals_the_later_ones():
    scores = {"conv": np.array([3, 1, 2, 1, 9, 1, 1, 5.0]), "separable": np.ones(6)}
    gone = least_important(scores, {"conv": 4, "separable": 3})
    assert gone["conv"].tolist() == [1, 3, 5, 6]
    assert gone["separable"].tolist() == [3, 4, 5]


@pytest.mark.parametrize("criterion", ["l1", "l2", "taylor", "random"])
def test_a_shrunk_model_keeps_the_important_channels_and_trains_on(conv_net, examples, criterion):
    conv_net.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    conv_net.fit(*examples, epochs=2, verbose=0)
    smaller = shrink(conv_net, 0.5, criterion=criterion, multiple=2, examples=examples)
    assert smaller.get_layer("conv").filters == 4 and smaller.get_layer("separable").filters == 4  # 3 to the nearest 2
    own = scores(conv_net, criterion, examples)["conv"]
    kept = np.sort(np.argsort(-own, kind="stable")[:4])
    np.testing.assert_array_equal(
        smaller.get_layer("conv").kernel.numpy(), conv_net.get_layer("conv").kernel.numpy()[..., kept]
    )
    smaller.fit(*examples, epochs=1, verbose=0)
    assert int(smaller.optimizer.iterations) == 9


@pytest.mark.parametrize("scaled", [False, True])
def test_a_model_with_a_schedule_and_a_loss_of_its_own_is_compiled_again(conv_net, examples, scaled):
    """Neither of them is registered with Keras, so that a stored configuration could not bring them back."""

    def loss(labels, logits):
        return keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True)

    optimizer = keras.optimizers.SGD(build_learning_rate("cosine", 0.1, warmup_steps=0, total_steps=12), momentum=0.9)
    optimizer = keras.mixed_precision.LossScaleOptimizer(optimizer) if scaled else optimizer
    conv_net.compile(optimizer, loss, metrics=["accuracy"])
    conv_net.fit(*examples, epochs=2, verbose=0)
    smaller = shrink(conv_net, 0.5, multiple=2)
    for model in (smaller, prune(conv_net, 0.5)):
        model.fit(*examples, epochs=1, verbose=0)
        own = getattr(model.optimizer, "inner_optimizer", model.optimizer)
        assert own.momentum == 0.9 and model.optimizer is not conv_net.optimizer
    assert int(smaller.optimizer.iterations) == 9 and int(conv_net.optimizer.iterations) == 6
    assert float(smaller.optimizer.learning_rate) == pytest.approx(0.025)  # of the ninth step of twelve


def test_bad_settings_are_one_line(conv_net):
    for given, error, message in (
        ({"keep": 0.0}, ConfigError, r"keep must be in \(0, 1\], got 0"),
        ({"criterion": "l3"}, ConfigError, "criterion"),
        ({"multiple": 0}, ConfigError, "multiple must be a whole number of at least 1"),
    ):
        with pytest.raises(error, match=message):
            shrink(conv_net, **given)
    inputs = layers.Input((4,))
    model = keras.Model(inputs, layers.Lambda(lambda x: x[..., ::-1], name="n")(layers.Dense(3, name="a")(inputs)))
    with pytest.raises(ModelError, match="has no channels that can go .a: n .Lambda. is not known"):
        shrink(model)


def test_examples_that_do_not_fit_and_settings_of_another_kind_are_one_line(conv_net):
    x, y = np.ones((8, *conv_net.input_shape[1:]), np.float32), np.zeros(8, int)
    for given, message in (
        ({"criterion": "taylor", "data": (x, y[:3])}, "data has 3 and 8 examples: x and y must be of the same"),
        ({"criterion": "taylor", "data": (x[:, 1:], y)}, "data has examples of shape .*, and the model takes"),
        ({"criterion": "random", "seed": -1}, "seed must be a whole number of at least 0, got -1"),
        ({"multiple": "a"}, "multiple must be a number, got 'a'"),
        ({"keep": True}, "keep must be a number, got True"),
    ):
        with pytest.raises(ConfigError, match=message):
            shrink(conv_net, **given)
    few = keras.Sequential([layers.Input((4,), batch_size=2), layers.Dense(16), layers.Dense(3)])
    with pytest.raises(ConfigError, match="data has 8 examples, and the model takes 2 at a time"):
        shrink(few, criterion="activation", data=(np.ones((8, 4), np.float32), y))
    same = [shrink(conv_net, **given).count_params() for given in ({"multiple": 4}, {"multiple": "4"})]
    assert same[0] == same[1]
    one, other = (shrink(conv_net, keep, multiple=1).count_params() for keep in (np.float32(0.5), 0.5))
    assert one == other
