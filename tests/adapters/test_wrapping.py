import numpy as np
import pytest

from tfprune.adapters.backend import keras, tf, tfmot, tfmot_wrapper
from tfprune.adapters.tf_keras.layers import leaf_layers
from tfprune.adapters.tf_keras.mask_values import get_masks, kernel_variables, kernels, set_masks
from tfprune.adapters.tf_keras.optimizers import slots
from tfprune.adapters.tf_keras.wrappers import Masked
from tfprune.adapters.tf_keras.wrapping import hold_masks, mask_in_place, masked_layers, strip, wrap
from tfprune.pruning.events import PruningEvent
from tfprune.pruning.masks import prune_masks
from tfprune.utils.errors import ModelError

KERNELS = ["conv/kernel", "depthwise/depthwise_kernel", "separable/depthwise_kernel", "separable/pointwise_kernel"]
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
OPTIMIZERS = {
    "sgd": lambda: keras.optimizers.SGD(0.1),
    "momentum": lambda: keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True),
    "adam": lambda: keras.optimizers.Adam(0.01),
    "adamw": lambda: keras.optimizers.AdamW(0.01, weight_decay=0.1),
    "rmsprop": lambda: keras.optimizers.RMSprop(0.01, momentum=0.9, centered=True),
    "adagrad": lambda: keras.optimizers.Adagrad(0.1),
    "global_clipnorm": lambda: keras.optimizers.Adam(0.01, global_clipnorm=0.1),
}


def random_masks(model, sparsity=0.5):
    random = np.random.default_rng(1)
    scores = {name: random.random(kernel.shape) for name, kernel in kernels(model).items()}
    return prune_masks(scores, get_masks(model), PruningEvent(sparsity=sparsity), "layer")


def test_every_kernel_is_wrapped_depthwise_ones_too_and_nothing_else(conv_net):
    model = wrap(conv_net)
    assert list(kernel_variables(model)) == [*KERNELS, "logits/kernel"]
    assert [layer.name for layer in model.layers if isinstance(layer, tfmot_wrapper.PruneLowMagnitude)] == [
        "masked_conv", "masked_depthwise", "masked_separable", "masked_logits",
    ]  # fmt: skip
    assert all(mask.all() for mask in get_masks(model).values())


def test_wrapping_and_stripping_leave_the_answers_alone(conv_net, examples):
    x, _ = examples
    expected = conv_net.predict(x, verbose=0)
    model = wrap(conv_net)
    np.testing.assert_array_equal(model.predict(x, verbose=0), expected)
    stripped = strip(model)
    assert not masked_layers(stripped)
    assert [layer.name for layer in stripped.layers] == [layer.name for layer in conv_net.layers]
    np.testing.assert_array_equal(stripped.predict(x, verbose=0), expected)


def test_spared_layers_stay_unwrapped(conv_net):
    model = wrap(conv_net, exclude=("conv", "logits"))
    assert list(kernel_variables(model)) == KERNELS[1:]


def test_the_first_convolution_and_the_classifier_can_be_spared_by_place(conv_net):
    assert list(kernel_variables(wrap(conv_net, exclude=("first", "last")))) == KERNELS[1:]


def test_sparing_an_unknown_layer_or_all_layers_is_an_error(conv_net):
    with pytest.raises(ModelError, match="did you mean conv"):
        wrap(conv_net, exclude=("conf",))
    with pytest.raises(ModelError, match="no layer left"):
        wrap(conv_net, exclude=("conv", "depthwise", "separable", "logits"))


def test_layers_of_nested_models_are_wrapped(conv_net, examples):
    x, _ = examples
    inputs = keras.layers.Input((8, 8, 3))
    outer = keras.Model(inputs, keras.layers.Dense(2, name="head")(conv_net(inputs)))
    expected = outer.predict(x, verbose=0)
    model = wrap(outer)
    assert list(kernel_variables(model)) == [*KERNELS, "logits/kernel", "head/kernel"]
    np.testing.assert_array_equal(model.predict(x, verbose=0), expected)


class Watch(keras.callbacks.Callback):
    """Looks at every pruned weight and its optimizer slots at the end of every batch."""

    def __init__(self, masks):
        super().__init__()
        self.masks, self.batches = masks, 0

    def on_train_batch_end(self, batch, logs=None):
        self.batches += 1
        for name, kernel in kernel_variables(self.model).items():
            dead = self.masks[name] == 0
            for variable in (kernel, *slots(self.model.optimizer, kernel)):
                assert not np.any(variable.numpy()[dead]), (name, variable.name, batch)


@pytest.mark.some(every=3)
@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_no_pruned_weight_or_slot_leaves_zero_at_the_end_of_any_batch(conv_net, examples, optimizer, policy):
    if policy != "float32":
        keras.mixed_precision.set_global_policy(policy)
        try:
            conv_net = keras.models.clone_model(conv_net, clone_function=_with_policy(policy))
        finally:
            keras.mixed_precision.set_global_policy("float32")
    model = wrap(conv_net)
    model.compile(OPTIMIZERS[optimizer](), LOSS)
    model.fit(*examples, batch_size=32, verbose=0)  # slots are full when the masks come
    masks = random_masks(model)
    set_masks(model, masks)
    before = kernels(model)
    watch = Watch(masks)
    model.fit(*examples, batch_size=32, epochs=2, verbose=0, callbacks=[watch])
    assert watch.batches == 6
    for name, kernel in kernels(model).items():
        assert np.count_nonzero(kernel) == masks[name].sum()
        assert np.any(kernel != before[name])  # what lives has moved


def _with_policy(policy):
    def clone(layer):
        return type(layer).from_config(layer.get_config() | {"dtype": policy})

    return clone


def test_pruned_weights_have_no_gradient(conv_net, examples):
    x, y = examples
    model = wrap(conv_net)
    masks = random_masks(model)
    set_masks(model, masks)
    with tf.GradientTape() as tape:
        loss = LOSS(y, model(x, training=True))
    variables = kernel_variables(model)
    for name, gradient in zip(variables, tape.gradient(loss, list(variables.values())), strict=True):
        assert not np.any(gradient.numpy()[masks[name] == 0])
        assert np.any(gradient.numpy()[masks[name] == 1])


def test_a_layers_own_constraint_still_holds(examples):
    inputs = keras.layers.Input((8, 8, 3))
    dense = keras.layers.Dense(3, kernel_constraint="non_neg", name="dense")(keras.layers.Flatten()(inputs))
    model = wrap(keras.Model(inputs, dense))
    model.compile("sgd", LOSS)
    set_masks(model, random_masks(model))
    model.fit(*examples, verbose=0)
    kernel = kernels(model)["dense/kernel"]
    assert kernel.min() == 0 and kernel.max() > 0


def test_slots_are_found_for_every_optimizer_that_has_them(conv_net):
    model = wrap(conv_net)
    expected = {"sgd": 1, "momentum": 1, "adam": 2, "adamw": 2, "rmsprop": 3, "adagrad": 1, "global_clipnorm": 2}
    for name, make in OPTIMIZERS.items():
        optimizer = make()
        optimizer.build(model.trainable_variables)
        kernel = kernel_variables(model)["conv/kernel"]
        assert len(slots(optimizer, kernel)) == expected[name], name
    assert slots(None, kernel) == []
    assert len(slots(keras.mixed_precision.LossScaleOptimizer(optimizer), kernel)) == 2


def test_a_checkpoint_in_mid_epoch_is_sparse(conv_net, examples, tmp_path):
    model = wrap(conv_net)
    model.compile(keras.optimizers.Adam(0.01), LOSS)
    masks = random_masks(model)
    set_masks(model, masks)
    saver = keras.callbacks.ModelCheckpoint(str(tmp_path / "{batch}.h5"), save_freq=2, save_weights_only=True)
    model.fit(*examples, batch_size=16, verbose=0, callbacks=[saver])
    fresh = wrap(keras.models.clone_model(conv_net))
    fresh.load_weights(str(tmp_path / "2.h5"))
    for name, kernel in kernels(fresh).items():
        assert np.count_nonzero(kernel) == masks[name].sum()


def test_a_wrapped_model_saves_and_loads_with_its_masks_and_schedule(conv_net, examples, tmp_path):
    x, _ = examples
    model = wrap(conv_net)
    set_masks(model, random_masks(model))
    model.save(tmp_path / "wrapped.h5")
    with tfmot.sparsity.keras.prune_scope():
        loaded = keras.models.load_model(tmp_path / "wrapped.h5")
    for name, mask in get_masks(model).items():
        np.testing.assert_array_equal(get_masks(loaded)[name], mask)
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))


def test_shared_layers_count_once():
    inputs = keras.layers.Input((4,))
    shared = keras.layers.Dense(4, name="shared")
    model = wrap(keras.Model(inputs, shared(shared(inputs))))
    assert list(kernel_variables(model)) == ["shared/kernel"]
    assert sum(isinstance(layer, Masked) for layer in leaf_layers(model)) == 1


@pytest.mark.slow
def test_kernels_inside_of_other_layers_are_masked_in_place():
    """Cells, attention, wrappers of layers: what no `Masked` can reach stays zero, and so does what is remembered."""
    layers = keras.layers
    inputs = layers.Input((5, 8))
    x = layers.Add()([inputs, layers.MultiHeadAttention(2, 4, name="attention")(inputs, inputs)])
    x = layers.Bidirectional(layers.LSTM(4, return_sequences=True, name="lstm"), name="both")(x)
    x = layers.TimeDistributed(layers.Dense(6, name="inner"), name="each")(x)
    model = mask_in_place(keras.Model(inputs, layers.Dense(2, name="logits")(layers.GRU(3, name="gru")(x))))
    names = set(get_masks(model))
    assert names == {
        *(f"attention/{part}/kernel" for part in ("query", "key", "value", "attention_output")),
        *(f"both/{way}_lstm/cell/{which}kernel" for way in ("forward", "backward") for which in ("", "recurrent_")),
        *("each/inner/kernel", "gru/cell/kernel", "gru/cell/recurrent_kernel", "logits/kernel"),
    }
    random = np.random.default_rng(0)
    masks = {name: (random.random(mask.shape) < 0.5).astype(np.uint8) for name, mask in get_masks(model).items()}
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    hold_masks(model)
    set_masks(model, masks)
    before = kernels(model)
    watch = Watch(masks)
    x, y = random.normal(size=(8, 5, 8)).astype(np.float32), np.arange(8) % 2
    model.fit(x, y, epochs=2, verbose=0, callbacks=[watch])
    assert watch.batches == 2
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(x, y, verbose=0)  # an optimizer that knows of no masks moves no pruned weight either
    for name, kernel in kernels(model).items():
        np.testing.assert_array_equal(kernel == 0, masks[name] == 0)
        assert np.any(kernel != before[name]), name
