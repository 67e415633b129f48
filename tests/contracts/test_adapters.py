"""What the engine relies on of a framework: each adapter is held to the same promises, on a model of its own.

Keras 3 works on one backend a process: `KERAS_BACKEND=jax pytest tests/contracts/test_adapters.py` is held to the same.
"""

import dataclasses
import gc
import importlib.util
import os
import subprocess
import sys
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tfprune.adapters import ADAPTERS, adapter_of
from tfprune.adapters.backend import keras, keras3
from tfprune.adapters.batches import Batch, joined
from tfprune.adapters.graphs import Penalty
from tfprune.pruning.events import Criterion, PruningEvent
from tfprune.training.examples import first_examples
from tfprune.training.pruner import Pruner
from tfprune.utils.errors import ModelError

X = np.random.default_rng(0).normal(size=(24, 8)).astype(np.float32)
Y = np.arange(24) % 3


@dataclasses.dataclass(frozen=True)
class Framework:
    """How a test makes and trains models; all else goes through the adapter.

    Args:
        library: the framework's module, for what it alone can make.
        model: returns a small model of two kernels, `a/kernel` (8, 16) and `b/kernel` (16, 3), always of one start.
        compiled: compiles it with an optimizer by name.
        fit: trains it, calling a function at the end of each batch.
        variable: returns the variable of a kernel.
        outputs: of a model for X.
    """

    library: Any
    model: Callable[[], Any]
    compiled: Callable[[Any, str], None]
    fit: Callable[[Any, int, Callable[[], None]], None]
    variable: Callable[[Any, str], Any]
    outputs: Callable[[Any], np.ndarray]


def of_keras(library):
    layers = library.layers

    class EachBatch(library.callbacks.Callback):
        def __init__(self, batch_end):
            super().__init__()
            self.batch_end = batch_end

        def on_train_batch_end(self, batch, logs=None):
            assert self.model is not None  # asked for, so that Keras on JAX puts the weights of now into it
            self.batch_end()

    def model():
        library.utils.set_random_seed(0)
        return library.Sequential([layers.Input((8,)), layers.Dense(16, "relu", name="a"), layers.Dense(3, name="b")])

    def fit(model, epochs, batch_end):
        model.fit(X, Y, 8, epochs, shuffle=False, verbose=0, callbacks=[EachBatch(batch_end)])

    return Framework(
        library=library,
        model=model,
        compiled=lambda model, name: model.compile(
            getattr(library.optimizers, name)(0.05, **OPTIMIZERS[name]),
            library.losses.SparseCategoricalCrossentropy(from_logits=True),
        ),
        fit=fit,
        variable=lambda model, name: model.get_layer(name.split("/")[0]).kernel,
        outputs=lambda model: model.predict(X, verbose=0),
    )


FRAMEWORKS = {"tf_keras": lambda: of_keras(keras), "keras": lambda: of_keras(keras3())}
OPTIMIZERS = {"SGD": {"momentum": 0.9}, "Adam": {}, "AdamW": {}, "RMSprop": {}}


@pytest.fixture(params=list(ADAPTERS))
def framework(request):
    return FRAMEWORKS[request.param]()


def half(masks):
    """Returns masks with every other weight of each kernel off."""
    return {name: (np.arange(mask.size) % 2).reshape(mask.shape).astype(np.uint8) for name, mask in masks.items()}


def half_pruned(framework):
    """Returns a model under Adam that is held to its masks of a half, its adapter and its masks."""
    model = framework.model()
    adapter = adapter_of(model)
    masked = adapter.attach(model)
    framework.compiled(model, "Adam")
    adapter.hold(model)
    masked.set_masks(half(masked.masks()))
    return model, adapter, masked


def test_each_adapter_is_found_by_its_models_and_none_by_others(framework):
    model = framework.model()
    assert adapter_of(model).name in ADAPTERS
    with pytest.raises(ModelError, match="a model of tf_keras.* is needed, got builtins.object"):
        adapter_of(object())
    with pytest.raises(ModelError, match="got builtins.str; load the file first"):
        adapter_of("model.keras")


def test_masks_start_whole_and_kernels_keep_their_names(framework):
    model = framework.model()
    before = framework.outputs(model)
    masked = adapter_of(model).attach(model)
    assert {name: mask.shape for name, mask in masked.masks().items()} == {"a/kernel": (8, 16), "b/kernel": (16, 3)}
    assert all(mask.dtype == np.uint8 and mask.all() for mask in masked.masks().values())
    for name, kernel in masked.kernels().items():
        np.testing.assert_array_equal(kernel, np.asarray(framework.variable(model, name)))
    np.testing.assert_array_equal(framework.outputs(model), before)
    excluding = adapter_of(model).attach(framework.model(), exclude=["first"])
    assert list(excluding.masks()) == ["b/kernel"]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_what_is_pruned_is_zero_and_forgotten_after_every_batch(framework, optimizer):
    model = framework.model()
    adapter = adapter_of(model)
    masked = adapter.attach(model)
    framework.compiled(model, optimizer)
    adapter.hold(model)
    batches = []

    def batch_end():
        batches.append(len(batches))
        for name, mask in masked.masks().items():
            gone = mask == 0
            assert not np.asarray(framework.variable(model, name))[gone].any()
            for slot in adapter.slots(model.optimizer, framework.variable(model, name)):
                assert not slot[gone].any()
        if len(batches) == 3:
            masked.set_masks(half(masked.masks()))
        elif len(batches) == 6:
            masked.set_masks({name: 1 - mask for name, mask in half(masked.masks()).items()})

    framework.fit(model, 4, batch_end)
    assert len(batches) == 12 and all(2 * mask.sum() == mask.size for mask in masked.masks().values())
    assert any(slot.any() for slot in adapter.slots(model.optimizer, framework.variable(model, "a/kernel")))


def test_gradients_that_are_no_number_leave_what_is_pruned_at_zero(framework):
    model, _, masked = half_pruned(framework)
    model.fit(np.full_like(X, np.nan), Y, verbose=0)
    kernels, masks = masked.kernels(), masked.masks()
    assert any(np.isnan(kernel[masks[name] == 1]).all() for name, kernel in kernels.items())
    for name, kernel in kernels.items():
        gone = kernel[masks[name] == 0]
        assert not gone.any() and not np.signbit(gone).any()


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_pruning_to_nothing_is_the_framework_itself(framework, optimizer):
    plain, model = framework.model(), framework.model()
    adapter = adapter_of(model)
    adapter.attach(model)
    for own in (plain, model):
        framework.compiled(own, optimizer)
    adapter.hold(model)
    for own in (plain, model):
        framework.fit(own, 2, lambda: None)
    if os.environ.get("KERAS_BACKEND") == "jax":  # compiles all by XLA, which rounds a longer program differently
        np.testing.assert_allclose(framework.outputs(plain), framework.outputs(model), rtol=1e-3, atol=1e-5)
    else:
        np.testing.assert_array_equal(framework.outputs(plain), framework.outputs(model))


def test_a_copy_answers_alike_and_leaves_the_original_alone(framework):
    model = framework.model()
    adapter = adapter_of(model)
    adapter.check(model, copied=True)
    before = framework.outputs(model)
    copy = adapter.copy(model)
    np.testing.assert_array_equal(framework.outputs(copy), before)
    masked = adapter.attach(copy)
    masked.set_masks(half(masked.masks()))
    np.testing.assert_array_equal(framework.outputs(model), before)
    assert type(copy) is type(model)


def test_a_copy_of_an_own_class_holds_the_layers_of_its_own(framework):
    class Held(framework.library.Model):
        pass

    plain = framework.model()
    model = Held(plain.inputs, plain.outputs)
    model.first = model.get_layer("a")
    copy = adapter_of(model).copy(model)
    assert copy.first is copy.get_layer("a") and copy.first is not model.first


def test_weights_go_back_and_what_is_pruned_stays_zero(framework):
    model = framework.model()
    masked = adapter_of(model).attach(model)
    before = masked.weights()
    masked.set_masks(half(masked.masks()))
    masked.set_weights(before)
    for name, kernel in masked.kernels().items():
        np.testing.assert_array_equal(kernel == 0, masked.masks()[name] == 0)


def test_without_masks_weights_leave_zero(framework):
    model = framework.model()
    adapter = adapter_of(model)
    masked = adapter.attach(model)
    masked.set_masks(half(masked.masks()))
    adapter.detach(model)
    framework.compiled(model, "SGD")
    framework.fit(model, 1, lambda: None)
    assert np.count_nonzero(np.asarray(framework.variable(model, "b/kernel"))) > 24


def test_the_pruner_cuts_the_exact_number_of_any_framework(framework):
    model = framework.model()
    pruner = Pruner(adapter_of(model).attach(model), "layer", seeds=[0])
    for sparsity, zeros in ((0.3, {"a/kernel": 38, "b/kernel": 14}), (0.75, {"a/kernel": 96, "b/kernel": 36})):
        pruner.prune(PruningEvent(sparsity=sparsity, criterion=Criterion("magnitude")))
        found = {name: int(np.sum(np.asarray(framework.variable(model, name)) == 0)) for name in zeros}
        assert found == zeros == {name: int(np.sum(mask == 0)) for name, mask in pruner.masks().items()}


def test_an_optimizer_that_is_compiled_later_is_held_to_the_masks(framework):
    """One whose averages are those of steps before it was: they would bring back what is pruned."""
    model = framework.model()
    masked = adapter_of(model).attach(model)
    masked.set_masks(half(masked.masks()))
    loss = framework.library.losses.SparseCategoricalCrossentropy(from_logits=True)
    for _ in range(2):  # the second one after a step was made
        model.compile(framework.library.optimizers.Adam(0.05, use_ema=True, ema_momentum=0.5), loss)
        framework.fit(model, 2, lambda: None)
        for name, mask in masked.masks().items():
            assert not np.asarray(framework.variable(model, name))[mask == 0].any()


def test_a_copy_is_compiled_alike_whatever_that_is_and_counts_for_itself(framework):
    """Losses and metrics in memory need no configuration."""
    model, losses = framework.model(), framework.library.losses

    class Steps(framework.library.metrics.Metric):
        def __init__(self, name="steps"):
            super().__init__(name=name)
            self.count = self.add_weight(name="count", shape=(), initializer="zeros")

        def get_config(self):
            return {"name": self.name}

        def update_state(self, y, outputs, sample_weight=None):
            self.count.assign_add(1.0)

        def result(self):
            return self.count * 1.0

        def reset_state(self):
            pass

    counting = Steps()
    cross_entropy = losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", lambda y, outputs: 3 * cross_entropy(y, outputs), metrics=[counting])
    adapter = adapter_of(model)
    copy = adapter.copy(model)
    adapter.compile(copy, adapter.compiled(model))
    framework.fit(copy, 1, lambda: None)
    assert float(np.asarray(counting.result())) == 0.0
    framework.fit(model, 1, lambda: None)
    assert float(np.asarray(counting.result())) == 3.0
    np.testing.assert_allclose(framework.outputs(copy), framework.outputs(model), rtol=1e-6)


def test_examples_may_be_tensors_that_another_model_has_computed(framework):
    """On PyTorch those require gradients; Keras trains on them."""
    data = framework.model()(X), Y
    batch = first_examples(data, 2, np.random.default_rng(0))
    assert type(batch.x) is np.ndarray and batch.x.shape == (6, 3)
    batch = joined([Batch(data[0][start : start + 4], Y[start : start + 4]) for start in (0, 4)])
    assert type(batch.x) is np.ndarray and batch.x.shape == (8, 3)


def test_models_of_models_that_are_never_called_have_weights_and_no_derivatives(framework):
    library, layers = framework.library, framework.library.layers

    class Pair(library.Model):
        def __init__(self):
            super().__init__()
            self.generator = library.Sequential([layers.Input((4,)), layers.Dense(8)])
            self.critic = library.Sequential([layers.Input((8,)), layers.Dense(1)])

    pair = Pair()
    adapter = adapter_of(pair)
    adapter.check(pair, copied=False)
    with pytest.raises(ModelError, match="is subclassed and cannot be copied"):
        adapter.check(pair, copied=True)
    masked = adapter.attach(pair, gradients=adapter.gradients(pair, lambda per_class: None))
    masked.set_masks(half(masked.masks()))
    assert [int(np.sum(kernel == 0)) for kernel in masked.kernels().values()] == [16, 4]
    with pytest.raises(ModelError, match="has no call, so there are no outputs to take a loss of"):
        masked.gradients("gradients", Criterion("snip"))


# Runs pytest where TensorFlow cannot be imported: Keras would, to seed and to save.
WITHOUT_TENSORFLOW = "import sys; sys.modules['tensorflow'] = None; import pytest; sys.exit(pytest.main(sys.argv[1:]))"


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_each_backend_of_keras_3_keeps_these_promises_without_tensorflow(backend):
    if os.environ.get("KERAS_BACKEND") in ("jax", "torch"):
        pytest.skip("this is such a process")
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed; for torch see scripts/test")
    options = ["-q", "-n", "0", "-p", "no:cacheprovider", "-o", "addopts=", "-k", "keras and not tf_keras"]
    command = [sys.executable, "-c", WITHOUT_TENSORFLOW, *options, __file__]
    done = subprocess.run(command, env=os.environ | {"KERAS_BACKEND": backend}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-4000:]


def test_a_fresh_optimizer_has_the_settings_and_no_steps(framework):
    model = framework.model()
    adapter = adapter_of(model)
    framework.compiled(model, "Adam")
    framework.fit(model, 1, lambda: None)
    fresh = adapter.fresh_optimizer(model.optimizer)
    assert int(fresh.iterations) == 0 and int(model.optimizer.iterations) == 3
    assert fresh.get_config() == model.optimizer.get_config()


def test_a_callback_that_is_gone_keeps_neither_listener_nor_model(framework):
    class Listener:
        model = None

        def on_epoch_end(self, epoch, logs=None):
            pass

    listener, model = Listener(), framework.model()
    callback = adapter_of(model).callback(listener)
    callback.set_model(model)
    assert listener.model is model
    gone = weakref.ref(listener)
    del listener, callback
    gc.collect()
    assert gone() is None


def with_plain_steps(framework):
    model = framework.model()
    loss = framework.library.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(framework.library.optimizers.SGD(0.05), loss)
    return model


def stepped(framework, strengths, absolute):
    """Returns a kernel before and after a step under a penalty, the penalty and the model."""
    model = with_plain_steps(framework)
    kernel = framework.variable(model, "a/kernel")
    graphs = adapter_of(model).graphs
    penalties = graphs.penalize(model, [Penalty(kernel, (1, 16), absolute)])
    penalties.set([strengths])
    before = graphs.numbers(kernel)
    model.train_on_batch(X, Y)
    return before, graphs.numbers(kernel), penalties, model


@pytest.mark.parametrize("absolute", [False, True])
def test_penalties_add_their_gradient_to_that_of_the_loss(framework, absolute):
    strengths = np.linspace(0, 1, 16, dtype=np.float32)[None]
    before, plain, _, _ = stepped(framework, 0 * strengths, absolute)
    _, penalised, penalties, model = stepped(framework, strengths, absolute)
    rate = adapter_of(model).learning_rate(model)
    expected = plain - rate * strengths * (np.sign(before) if absolute else before)
    np.testing.assert_allclose(penalised, expected, rtol=0, atol=1e-6)
    penalties.set([0 * strengths])  # in what was compiled already
    graphs, kernel = adapter_of(model).graphs, framework.variable(model, "a/kernel")
    again = with_plain_steps(framework)
    for own, value in zip(again.weights, model.get_weights(), strict=True):
        graphs.assign(own, value)
    for step in range(2):
        if step:
            penalties.release()
        model.train_on_batch(X, Y)
        again.train_on_batch(X, Y)
        theirs = graphs.numbers(framework.variable(again, "a/kernel"))
        np.testing.assert_allclose(graphs.numbers(kernel), theirs, rtol=0, atol=1e-6)


def test_penalties_leave_what_is_pruned_at_zero_and_are_in_no_file(framework, tmp_path):
    model, adapter, masked = half_pruned(framework)
    kernel = framework.variable(model, "a/kernel")
    penalties = adapter.graphs.penalize(model, [Penalty(kernel, (8, 16))])
    penalties.set([np.full((8, 16), 0.5, np.float32)])
    framework.fit(model, 2, lambda: None)
    dead = masked.masks()["a/kernel"] == 0
    assert not adapter.graphs.numbers(kernel)[dead].any()
    assert all(not np.asarray(slot)[dead].any() for slot in adapter.slots(model.optimizer, kernel))
    model.save(tmp_path / "model.keras")
    loaded = framework.library.models.load_model(tmp_path / "model.keras")
    plain = framework.model()
    framework.compiled(plain, "Adam")
    plain.optimizer.build(plain.trainable_variables)
    assert len(loaded.optimizer.variables) == len(plain.optimizer.variables)
    penalties.release()
    framework.fit(model, 1, lambda: None)
