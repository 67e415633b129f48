import numpy as np
import pytest
from brought import compiled, data, own

import tfprune
from tfprune.adapters.backend import keras, tf
from tfprune.adapters.tf_keras.mask_values import get_masks, kernels
from tfprune.training.in_memory_pruning import InMemoryPruning
from tfprune.utils.errors import ConfigError, ModelError

L = keras.layers


@pytest.mark.parametrize("make", [compiled, own])
def test_callbacks_prune_in_a_persons_own_fit(make):
    model = make()
    model.fit(*data(), epochs=1, verbose=0)  # what was traced before knows of no masks
    pruning = tfprune.callbacks(model, method="dynamic", sparsity=0.5, epochs=6)
    history = model.fit(*data(), epochs=6, callbacks=pruning, verbose=0)
    masks = get_masks(model)
    for name, kernel in kernels(model).items():
        assert masks[name].sum() == round(0.5 * masks[name].size)
        np.testing.assert_array_equal(kernel == 0, masks[name] == 0)
    assert history.history["sparsity"][0] == 0.0 and history.history["sparsity"][-1] == 0.5


@pytest.mark.parametrize(("method", "first", "last"), [("pruned", 0.0, 0.5), ("magnitude_at_init", 0.5, 0.5)])
def test_callbacks_prune_before_and_after_a_fit(method, first, last):
    model = compiled()
    pruning = tfprune.callbacks(model, method=method, sparsity=0.5, epochs=2, scope="layer")
    history = model.fit(*data(), epochs=2, callbacks=pruning, verbose=0)
    assert history.history["sparsity"][0] == pytest.approx(first, abs=0.01)
    assert tfprune.summary(model).sparsity == pytest.approx(last, abs=0.01)


def test_callbacks_say_what_does_not_fit():
    model = compiled()
    with pytest.raises(ConfigError, match="method lottery does more than one `fit` can; use tfprune.train"):
        tfprune.callbacks(model, method="lottery", epochs=3)
    with pytest.raises(ConfigError, match="epochs must be what tfprune.callbacks was told, 3, got 4"):
        model.fit(*data(), epochs=4, callbacks=tfprune.callbacks(model, epochs=3), verbose=0)
    with pytest.raises(ModelError, match="were made for another model"):
        compiled().fit(*data(), epochs=3, callbacks=tfprune.callbacks(model, epochs=3), verbose=0)


def test_callbacks_prune_a_model_of_keras_3_whose_step_has_optimizers_of_its_own():
    from tfprune.adapters.backend import keras3

    k = keras3()

    class Apart(k.Model):
        def compile(self, optimizer):
            super().compile(optimizer=None, run_eagerly=True)
            self.own = optimizer

        def train_step(self, given):
            x, y = given
            with tf.GradientTape() as tape:
                loss = k.ops.mean(k.losses.sparse_categorical_crossentropy(y, self(x), from_logits=True))
            self.own.apply(tape.gradient(loss, self.trainable_weights), self.trainable_weights)
            return {"loss": loss}

    inputs = k.layers.Input((8,))
    model = Apart(inputs, k.layers.Dense(3)(k.layers.Dense(16)(inputs)))
    model.compile(k.optimizers.Adam())
    given = {"epochs": 3, "sparsity": 0.5}
    with pytest.raises(ConfigError, match="rate_factor needs an optimizer .*, or there is none"):
        refused = tfprune.callbacks(model, **given, settings={"rate_factor": 0.5})
        model.fit(*data(), epochs=3, callbacks=refused, verbose=0)
    model.fit(*data(), epochs=3, callbacks=tfprune.callbacks(model, **given), verbose=0)
    assert tfprune.summary(model).sparsity == 0.5
    with pytest.raises(
        ModelError, match="is compiled with no optimizer, .* prune it in your own fit, with tfprune.call"
    ):
        tfprune.train(model, data(), **given, in_place=True)


@pytest.mark.parametrize(("restore", "words"), [(False, []), (True, ["weights of before the pruning"])])
def test_weights_that_come_back_after_a_fit_of_ones_own_are_masked(restore, words, caplog):
    model = compiled()
    stopping = keras.callbacks.EarlyStopping("loss", patience=9, min_delta=99.0, restore_best_weights=restore)
    pruning = tfprune.callbacks(model, sparsity=0.5, epochs=4)
    model.fit(*data(), epochs=4, callbacks=[*pruning, stopping], verbose=0)
    assert all(np.mean(kernel == 0) == 0.5 for kernel in kernels(model).values())
    assert [word in caplog.text for word in words] == [True] * len(words)


def test_a_fit_of_ones_own_that_stops_early_says_what_did_not_happen(caplog):
    model = compiled()
    stopping = keras.callbacks.EarlyStopping("loss", patience=0, min_delta=99.0)
    pruning = tfprune.callbacks(model, sparsity=0.5, epochs=9)
    model.fit(*data(), epochs=9, callbacks=[*pruning, stopping], verbose=0)
    assert (
        "stopped after epoch 2 of 9: the pruning at the end of epoch 3, the pruning at the end of epoch 6"
        in caplog.text
    )
    model.fit(*data(), epochs=9, initial_epoch=2, callbacks=pruning, verbose=0)  # and goes on where it was
    assert tfprune.summary(model).sparsity == 0.5


@pytest.mark.parametrize(("first", "epoch"), [(False, 7), (True, 7), (True, 6), (True, 3)])
def test_masks_come_back_with_the_weights_of_a_backup(first, epoch, tmp_path):
    """Killed after an epoch of 9, built and fit again; a backup that comes first is written before the cut."""
    rates = {"rate": 0.5, "events": (0.34, 0.67), "rate_factor": 0.5}

    def fit(*callbacks):
        keras.utils.set_random_seed(0)
        model = compiled("adam")
        pruning = tfprune.callbacks(model, epochs=9, settings=rates)
        own = [*callbacks, *pruning] if first else [*pruning, *callbacks]
        model.fit(*data(), epochs=9, callbacks=own, verbose=0, shuffle=False)
        return model

    def backup():
        return keras.callbacks.BackupAndRestore(str(tmp_path / "backup"))

    killed = keras.callbacks.LambdaCallback(on_epoch_begin=lambda at, logs: at == epoch and 1 / 0)
    with pytest.raises(ZeroDivisionError):
        fit(backup(), killed)
    again, whole = fit(backup()), fit()
    for one, other in zip(again.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert tfprune.summary(again).sparsity == pytest.approx(0.75, abs=0.01)


@pytest.mark.parametrize("method", ["rigl", "set"])
@pytest.mark.parametrize("first", [False, True])
def test_weights_that_have_come_back_move_on_after_a_backup(method, first, tmp_path, monkeypatch):
    """They are zero at first, as what is pruned."""
    updates = []
    cut = InMemoryPruning.apply_event
    monkeypatch.setattr(InMemoryPruning, "apply_event", lambda *given: (updates.append(given), cut(*given)))

    def fit(*callbacks):
        keras.utils.set_random_seed(0)
        model = compiled("adam")
        pruning = tfprune.callbacks(model, method=method, sparsity=0.5, epochs=6, data=data())
        backup = keras.callbacks.BackupAndRestore(str(tmp_path / "backup"))
        own = [backup, *pruning] if first else [*pruning, backup]
        model.fit(*data(), epochs=6, callbacks=[*own, *callbacks], verbose=0)
        return model

    with pytest.raises(ZeroDivisionError):
        fit(keras.callbacks.LambdaCallback(on_epoch_begin=lambda at, logs: at == 2 and 1 / 0))
    assert len(updates) == 2
    masks = get_masks(fit())
    assert len(updates) == 5  # at the ends of the epochs 2 to 4
    assert sum(int(mask.sum()) for mask in masks.values()) == sum(mask.size for mask in masks.values()) // 2


def test_callbacks_do_not_prune_twice_where_a_fit_is_repeated():
    model = compiled()
    pruning = tfprune.callbacks(model, epochs=3, settings={"rate": 0.5, "events": (0.4,)})
    for _ in range(2):
        model.fit(*data(), epochs=3, callbacks=pruning, verbose=0)
    assert tfprune.summary(model).sparsity == 0.5


@pytest.mark.parametrize("method", ["dynamic", "pruned", "magnitude_at_init"])
def test_callbacks_are_refused_where_another_fold_begins_with_other_weights(method):
    model = compiled()
    initial = model.get_weights()
    pruning = tfprune.callbacks(model, method=method, sparsity=0.5, epochs=3)
    model.fit(*data(), epochs=3, callbacks=pruning, verbose=0)
    model.set_weights(initial)
    with pytest.raises(ConfigError, match="pruned the weights of another fit up to epoch 3, .* new callbacks"):
        model.fit(*data(), epochs=3, callbacks=pruning, verbose=0)
    pruning = tfprune.callbacks(model, method="dynamic", sparsity=0.5, epochs=3)
    model.set_weights(initial)
    logs = model.fit(*data(), epochs=3, callbacks=pruning, verbose=0).history
    assert logs["sparsity"][0] < 0.5 and logs["sparsity"][-1] == 0.5


@pytest.mark.parametrize("fit_before", [False, True])
def test_callbacks_prune_in_a_loop_of_ones_own_that_has_no_history(fit_before):
    model = compiled("sgd")
    if fit_before:
        model.fit(*data(), verbose=0)  # leaves an old History
    pruning = tfprune.callbacks(model, method="pruned", sparsity=0.5, epochs=2)
    loop = keras.callbacks.CallbackList(pruning, model=model, epochs=2)
    loop.on_train_begin()
    for epoch in range(2):
        loop.on_epoch_begin(epoch)
        model.train_on_batch(*data())
        loop.on_epoch_end(epoch)
    assert tfprune.summary(model).sparsity < 0.5
    loop.on_train_end()
    assert tfprune.summary(model).sparsity == 0.5
