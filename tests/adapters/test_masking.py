"""Zeros that hold: weights and what optimizers remember of them, after every batch, under all that Keras has."""

import itertools

import numpy as np
import pytest
from twins import make_slots

from tfprune.adapters.backend import keras, tf
from tfprune.adapters.tf_keras.mask_values import get_masks, kernel_variables, kernels, set_masks
from tfprune.adapters.tf_keras.optimizers import initial_slots, slots
from tfprune.adapters.tf_keras.wrapping import hold_masks, in_place_masks, mask_in_place
from tfprune.pruning.masks import ones_like

L = keras.layers
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
NEW = {
    "adadelta": lambda **k: keras.optimizers.Adadelta(1.0, **k),
    "adafactor": lambda **k: keras.optimizers.Adafactor(0.01, **k),
    "adagrad": lambda **k: keras.optimizers.Adagrad(0.1, **k),
    "adam": lambda **k: keras.optimizers.Adam(0.01, amsgrad=True, **k),
    "adamax": lambda **k: keras.optimizers.Adamax(0.01, **k),
    "adamw": lambda **k: keras.optimizers.AdamW(0.01, **{"weight_decay": 0.1} | k),
    "ftrl": lambda **k: keras.optimizers.Ftrl(0.1, l1_regularization_strength=1e-3, **k),
    "lion": lambda **k: keras.optimizers.Lion(0.01, **k),
    "nadam": lambda **k: keras.optimizers.Nadam(0.01, **k),
    "rmsprop": lambda **k: keras.optimizers.RMSprop(0.01, momentum=0.9, centered=True, **k),
    "sgd": lambda **k: keras.optimizers.SGD(0.1, **k),
    "momentum": lambda **k: keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True, **k),
}
LEGACY = {
    "legacy adadelta": lambda **k: keras.optimizers.legacy.Adadelta(1.0, **k),
    "legacy adagrad": lambda **k: keras.optimizers.legacy.Adagrad(0.1, **k),
    "legacy adam": lambda **k: keras.optimizers.legacy.Adam(0.01, **k),
    "legacy adamax": lambda **k: keras.optimizers.legacy.Adamax(0.01, **k),
    "legacy ftrl": lambda **k: keras.optimizers.legacy.Ftrl(0.1, **k),
    "legacy nadam": lambda **k: keras.optimizers.legacy.Nadam(0.01, **k),
    "legacy rmsprop": lambda **k: keras.optimizers.legacy.RMSprop(0.01, momentum=0.9, centered=True, **k),
    "legacy sgd": lambda **k: keras.optimizers.legacy.SGD(0.1, momentum=0.9, **k),
}
OPTIMIZERS = NEW | LEGACY
SETTINGS = {  # of the optimizer, of `compile`
    "plain": ({}, {}),
    "clipnorm": ({"clipnorm": 0.1}, {}),
    "global clipnorm": ({"global_clipnorm": 0.1}, {}),
    "weight decay": ({"weight_decay": 0.1}, {}),
    "average": ({"use_ema": True, "ema_momentum": 0.5}, {}),
    "average written over": ({"use_ema": True, "ema_momentum": 0.5, "ema_overwrite_frequency": 2}, {}),
    "mixed_float16": ({}, {}),
    "jit_compile": ({}, {"jit_compile": True}),
    "run_eagerly": ({}, {"run_eagerly": True}),
    "steps_per_execution": ({}, {"steps_per_execution": 2}),
}
NEW_ALONE = ("weight decay", "average", "average written over")
GRID = [
    (optimizer, settings)
    for optimizer, settings in itertools.product(OPTIMIZERS, SETTINGS)
    if not (optimizer in LEGACY and settings in NEW_ALONE)
]
# Always: each optimizer once as it comes and once with another setting, and these with all. The rest: -m slow.
WHOLE = ("adam", "legacy adam")
OTHERS = itertools.cycle(name for name in SETTINGS if name not in ("plain", *NEW_ALONE))
ALWAYS = {(name, own) for name in OPTIMIZERS for own in ("plain", next(OTHERS))}
CASES = [
    pytest.param(*case, marks=() if case in ALWAYS or case[0] in WHOLE else pytest.mark.slow, id=" ".join(case))
    for case in GRID
]


def compiled(optimizer, settings):
    of_optimizer, of_compile = SETTINGS[settings]
    keras.utils.set_random_seed(0)
    policy = "mixed_float16" if settings == "mixed_float16" else "float32"
    model = keras.Sequential(
        [
            L.Input((6,)),
            L.Dense(5, "tanh", dtype=policy),
            L.BatchNormalization(dtype=policy),
            L.Dense(3, kernel_constraint="max_norm", dtype=policy),
        ]
    )
    made = OPTIMIZERS[optimizer](**of_optimizer)
    if settings == "mixed_float16":
        made = keras.mixed_precision.LossScaleOptimizer(made)
    model.compile(made, LOSS, **of_compile)
    if settings != "plain":  # there the first step makes what optimizers remember
        make_slots(model)
    return model


def examples():
    random = np.random.default_rng(0)
    y = random.integers(0, 3, 32)
    return random.normal(y[:, None], 1, (32, 6)).astype(np.float32), y


def random_masks(model, share, seed):
    random = np.random.default_rng(seed)
    return {name: (random.random(mask.shape) < share).astype(np.uint8) for name, mask in get_masks(model).items()}


class ChangeAndLook(keras.callbacks.Callback):
    """Changes the masks three times inside of a `fit`; looks at all pruned weights at the end of each batch."""

    def __init__(self, starts):
        super().__init__()
        self.starts, self.looks, self.alive = starts, 0, 0

    def on_train_batch_end(self, batch, logs=None):
        self.look()
        if batch in (1, 3, 5):
            set_masks(self.model, random_masks(self.model, 0.6, batch))
            self.look()

    def look(self):
        self.looks += 1
        masks = get_masks(self.model)
        for name, kernel in kernel_variables(self.model).items():
            dead = masks[name] == 0
            assert not np.any(getattr(kernel, "_variable", kernel).numpy()[dead]), name
            remembered = slots(self.model.optimizer, kernel)
            for slot, start in zip(remembered, self.starts[len(kernel.shape)], strict=True):
                assert np.all(slot.numpy()[dead] == np.float32(start)), slot.name
                self.alive += int(np.sum(slot.numpy()[~dead] != start))


def fit(model, *callbacks):
    model.fit(*examples(), batch_size=4, shuffle=False, verbose=0, callbacks=list(callbacks))


@pytest.mark.some(every=5)
@pytest.mark.parametrize(("optimizer", "settings"), CASES)
def test_pruning_to_nothing_is_plain_training_to_the_bit_and_then_what_is_pruned_stays_where_it_starts(
    optimizer, settings
):
    plain, masked = compiled(optimizer, settings), mask_in_place(compiled(optimizer, settings))
    hold_masks(masked)
    fit(plain)
    ones = ones_like(get_masks(masked))
    fit(masked, keras.callbacks.LambdaCallback(on_train_batch_end=lambda *_: set_masks(masked, ones)))
    off = 1e-7 if settings == "jit_compile" else 0.0  # what XLA makes of a longer program may round otherwise
    for one, other in zip(variables(plain), variables(masked), strict=True):
        np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=0, atol=off, err_msg=one.name)

    # The same model goes on: it is compiled, and tracing takes longer than all else here.
    look = ChangeAndLook(initial_slots(masked.optimizer, [2]))
    fit(masked, look)
    assert look.looks == (7 if settings == "steps_per_execution" else 11)
    first = next(iter(kernel_variables(masked).values()))
    assert (look.alive > 0) == bool(slots(masked.optimizer, first))  # what lives is remembered
    look.look()  # after the end of `fit`, when averages are written over the weights
    assert all(np.all(np.isfinite(kernel)) for kernel in kernels(masked).values())


def variables(model):
    return [*model.weights, *model.optimizer.variables()]


@pytest.mark.parametrize("optimizer", ["adam", "legacy adam", "legacy sgd", "adagrad"])
def test_lookups_whose_gradients_are_of_some_rows(optimizer):
    """Old optimizers refuse a constraint there; rows that are not looked up move too, under momentum."""

    def lookup():
        keras.utils.set_random_seed(0)
        model = keras.Sequential([L.Embedding(20, 4, input_length=3), L.Flatten(), L.Dense(3)])
        model.compile(OPTIMIZERS[optimizer](), LOSS)
        return model

    x, y = np.random.default_rng(0).integers(0, 9, (32, 3)), examples()[1]
    plain, full, masked = lookup(), mask_in_place(lookup()), mask_in_place(lookup())
    look = ChangeAndLook(initial_slots(masked.optimizer, [2]))
    for model in (full, masked):
        hold_masks(model)
    for model, callbacks in ((plain, []), (full, []), (masked, [look])):
        model.fit(x, y, batch_size=4, shuffle=False, verbose=0, callbacks=callbacks)
    assert look.looks == 11 and look.alive
    for one, other in zip(variables(plain), variables(full), strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy(), err_msg=one.name)


def test_pruned_weights_count_in_no_norm_that_gradients_are_clipped_by():
    """The steps of a pruned network are those of the smaller one that is left of it."""
    wide, narrow = (keras.Sequential([L.Input((size,)), L.Dense(3)]) for size in (6, 4))
    narrow.set_weights([wide.get_weights()[0][:4], wide.get_weights()[1]])
    x, y = examples()
    for model, size in ((wide, 6), (narrow, 4)):
        model.compile(keras.optimizers.SGD(0.1, global_clipnorm=0.05), LOSS)
        if size == 6:
            mask = np.ones((6, 3), np.uint8)
            mask[4:] = 0
            mask_in_place(model)
            hold_masks(model)
            set_masks(model, dict.fromkeys(get_masks(model), mask))
        model.fit(x[:, :size], y, batch_size=4, shuffle=False, verbose=0)
    np.testing.assert_allclose(wide.get_weights()[0][:4], narrow.get_weights()[0], rtol=1e-5, atol=1e-6)


def test_weights_that_are_no_numbers_are_zero_where_they_are_pruned():
    model = mask_in_place(compiled("adam", "plain"))
    for kernel in kernel_variables(model).values():
        kernel.assign(np.full(kernel.shape, np.nan))
    masks = random_masks(model, 0.5, 0)
    set_masks(model, masks)
    for name, kernel in kernels(model).items():
        assert np.all(kernel[masks[name] == 0] == 0)


class Silent(keras.optimizers.Optimizer):
    """An optimizer of somebody's own that cannot be made again from its configuration."""

    def __init__(self, rate):
        super().__init__("silent")
        self.rate = rate
        self._learning_rate = self._build_learning_rate(rate)

    def build(self, var_list):
        super().build(var_list)
        if getattr(self, "_built", False):
            return
        self._built = True
        self.seen = [self.add_variable_from_reference(variable, "seen") for variable in var_list]

    def update_step(self, gradient, variable):
        seen = self.seen[self._index_dict[self._var_key(variable)]]
        seen.assign_add(tf.abs(gradient) + 1.0)
        variable.assign_sub(self.rate * gradient / seen + 1e-3)


def test_an_optimizer_of_somebodys_own_is_held_as_well():
    model = mask_in_place(compiled("adam", "plain"))
    model.compile(Silent(0.1), LOSS)
    hold_masks(model)
    look = ChangeAndLook({2: [0.0]})
    fit(model, look)
    assert look.looks == 11 and look.alive


def test_masks_that_are_put_on_anew_take_the_place_of_the_old_ones():
    model = mask_in_place(compiled("adam", "plain"))
    hold_masks(model)
    set_masks(model, random_masks(model, 0.9, 0))
    assert any(np.any(kernel == 0) for kernel in kernels(model).values())
    mask_in_place(model)
    hold_masks(model)
    model.make_train_function(force=True)
    fit(model)
    assert all(np.all(kernel != 0) for kernel in kernels(model).values())
    in_place_masks(model).release()
    own = [kernel.constraint for kernel in kernel_variables(model).values()]
    assert own == [None, model.layers[-1].kernel_constraint]
