"""What Keras 3 offers around a training, on pruned models: `KERAS_BACKEND=jax python .../keras3/ecosystem.py`.

All checks, or those that are named, one after the other; a line for each that fails, and exit code 1.
"""

import contextlib
import functools
import importlib.util
import io
import subprocess
import sys
import warnings

import numpy as np
from architectures import Own, stepping
from checking import BACKEND, Watch, X, Y, keras, layers, loss, main, net, said, zeros

import tfprune
from tfprune.adapters import adapter_of
from tfprune.utils.errors import TfpruneError, TrainingError

ELSEWHERE = """
import sys, numpy as np, keras
x, y = np.ones((16, 8), "float32"), np.arange(16) % 3
for path in sys.argv[2:]:
    if path.endswith(".weights.h5"):
        model = keras.models.load_model(sys.argv[1], compile=False)
        model.load_weights(path)
    else:
        model = keras.models.load_model(path, compile=path.endswith(".keras"))  # Keras itself cannot train an .h5 on
    kernels = [own for own in model.get_weights() if own.ndim > 1]
    if model.compiled:
        print(int(model.optimizer.iterations), end=" ")
        model.fit(x, y, verbose=0)
    print(sum(int((own == 0).sum()) for own in kernels), "tfprune" in sys.modules)
"""


# -- files ------------------------------------------------------------------------------------------------------------


def check_files_are_sparse_elsewhere(folder):
    saving = keras.callbacks.ModelCheckpoint
    for kinds in (["keras", "weights.h5"], ["h5"]):  # Keras forgets the optimizer's name as it writes an .h5
        model = net()
        pruning = tfprune.callbacks(model, sparsity=0.5, epochs=3)
        own = [saving(f"{folder}/in.{kind}", save_weights_only="weights" in kind) for kind in kinds]
        model.fit(X, Y, epochs=3, verbose=0, callbacks=[*pruning, *own])
        for kind in kinds:
            (model.save_weights if "weights" in kind else model.save)(folder / f"after.{kind}")
        for name in ("in.keras", "after.keras") if "keras" in kinds else ():
            loaded = keras.models.load_model(folder / name)
            one, other = ([own.value for own in m.optimizer.variables] for m in (loaded, model))
            assert len(one) == 10 and len(other) == (12 if BACKEND == "jax" else 10)  # on JAX masks are among them
            for a, b in zip(one, other, strict=False):
                np.testing.assert_array_equal(*map(keras.ops.convert_to_numpy, (a, b)), err_msg=name)
    names = [f"{when}.{kind}" for when in ("in", "after") for kind in ("keras", "h5", "weights.h5")]
    import h5py

    for name in ("in.h5", "after.h5"):
        with h5py.File(folder / name) as file:
            assert len(file["optimizer_weights"].attrs["weight_names"]) == 10
    command = [sys.executable, "-W", "ignore", "-c", ELSEWHERE, folder / "in.keras", *(folder / name for name in names)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    found = [line.split() for line in done.stdout.splitlines()]
    steps = {"keras": ["6"]}
    assert found == [[*steps.get(name.partition(".")[2], []), "88", "False"] for name in names], done.stdout


def check_a_loaded_model_is_pruned_on(folder):
    model = tfprune.prune(net(), 0.5)
    model.save(folder / "m.keras")
    loaded = keras.models.load_model(folder / "m.keras")
    trained = tfprune.train(loaded, (X, Y), sparsity=0.75, epochs=3, verbose=0)
    assert zeros(trained.model) == 132


def check_weights_that_are_loaded_into_a_masked_model_keep_to_the_masks(folder):
    dense = net()
    dense.fit(X, Y, verbose=0)
    dense.save_weights(folder / "dense.weights.h5")
    model = net()
    pruning = tfprune.callbacks(model, method="magnitude_at_init", sparsity=0.5, epochs=2)
    watch = Watch()
    model.fit(X, Y, 16, epochs=2, verbose=0, callbacks=pruning)
    _, text = said(functools.partial(model.load_weights, folder / "dense.weights.h5"))
    assert zeros(model) == 88 and "88 of them are pruned and were set to zero again" in text, (zeros(model), text)
    model.fit(X, Y, 16, epochs=1, verbose=0, callbacks=[watch])
    assert watch.seen == [88] * 3, watch.seen
    _, text = said(functools.partial(model.set_weights, dense.get_weights()))
    assert zeros(model) == 88 and "88 of them" in text, (zeros(model), text)
    _, text = said(functools.partial(model.set_weights, model.get_weights()))
    assert text == "", text
    with contextlib.suppress(ValueError):
        model.set_weights([*dense.get_weights()[:-1], np.ones(1)])  # some are put back, then it fails
        raise AssertionError("a wrong shape was taken")
    assert zeros(model) == 88, zeros(model)


def check_state_trees_go_into_a_plain_model(folder):
    model = net()
    model.fit(X, Y, epochs=3, verbose=0, callbacks=tfprune.callbacks(model, sparsity=0.5, epochs=3))
    other = net()
    other.fit(X, Y, epochs=1, verbose=0)
    tree = model.get_state_tree(value_format="numpy_array")
    assert not [name for name in tree["optimizer_variables"] if "mask" in name]
    [own] = tree["trainable_variables"].values()
    tree["trainable_variables"] = {other.name: own}  # names of models are counted up
    other.set_state_tree(tree)
    assert zeros(other) == 88
    model.set_state_tree(model.get_state_tree())
    model.fit(X, Y, epochs=1, verbose=0)
    assert zeros(model) == 88


def check_what_a_dense_training_remembers_is_forgotten_where_it_is_read_into_a_masked_one(folder):
    def slots_of_what_is_pruned(model):
        adapter = adapter_of(model)
        kernels, masks = vars(model)["_tfprune_masks"].kernels(), vars(model)["_tfprune_masks"].values()
        return [slot[masks[key] == 0] for key, own in kernels.items() for slot in adapter.slots(model.optimizer, own)]

    dense = net()
    dense.fit(X, Y, epochs=2, verbose=0)
    dense.save_weights(folder / "dense.weights.h5")
    for way in ("tree", "file"):
        model = net()
        model.fit(X, Y, epochs=3, verbose=0, callbacks=tfprune.callbacks(model, sparsity=0.5, epochs=3))
        if way == "tree":
            tree = dense.get_state_tree(value_format="numpy_array")
            for kind in ("trainable_variables", "non_trainable_variables"):
                tree[kind] = dict(
                    zip([model.name], tree[kind].values(), strict=False)
                )  # names of models are counted up
            model.set_state_tree(tree)
        else:
            model.load_weights(folder / "dense.weights.h5")
        model.fit(X, Y, epochs=1, verbose=0)
        found = slots_of_what_is_pruned(model)
        assert len(found) == 4 and zeros(model) == 88 and not any(own.any() for own in found), way


def check_files_of_pytorch_have_no_masks(folder):
    if BACKEND != "torch":
        return
    import torch

    model, other = net(), net()
    names = list(model.state_dict())
    model.fit(X, Y, epochs=3, verbose=0, callbacks=tfprune.callbacks(model, sparsity=0.5, epochs=3))
    assert list(model.state_dict()) == names
    torch.save(model.state_dict(), folder / "m.pt")
    found = torch.load(folder / "m.pt", weights_only=True)  # names of models, which begin these, are counted up
    other.load_state_dict(dict(zip(other.state_dict(), found.values(), strict=True)))
    assert zeros(other) == 88


# -- callbacks --------------------------------------------------------------------------------------------------------


OWN_CHECKS = {"EarlyStopping", "BackupAndRestore", "SwapEMAWeights"}  # which have one below
NONE = {"Callback", "CallbackList", "RemoteMonitor"}  # not to be given to a training; needs a server
CALLBACKS = {
    "ReduceLROnPlateau": lambda d: keras.callbacks.ReduceLROnPlateau("loss", 0.5, patience=1, min_delta=9.0),
    "CSVLogger": lambda d: keras.callbacks.CSVLogger(f"{d}/log.csv"),
    "TerminateOnNaN": lambda d: keras.callbacks.TerminateOnNaN(),
    "LambdaCallback": lambda d: keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: None),
    "History": lambda d: keras.callbacks.History(),
    "ProgbarLogger": lambda d: keras.callbacks.ProgbarLogger(),
    "ModelCheckpoint": lambda d: keras.callbacks.ModelCheckpoint(f"{d}/c.keras"),
    "TensorBoard": lambda d: keras.callbacks.TensorBoard(f"{d}/board", histogram_freq=1),
    "OrbaxCheckpoint": lambda d: keras.callbacks.OrbaxCheckpoint(f"{d}/orbax", save_freq="epoch"),
    "LearningRateScheduler": lambda d: keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2),
}
NEEDED = {"TensorBoard": "tensorboard", "OrbaxCheckpoint": "orbax"}


def check_callbacks_of_keras(folder):
    known = {name for name in dir(keras.callbacks) if name[0].isupper()}
    assert not known - set(CALLBACKS) - OWN_CHECKS - NONE, "callbacks that are not tried"
    chosen = [name for name in CALLBACKS if name in known]
    if missing := [name for name in chosen if name in NEEDED and importlib.util.find_spec(NEEDED[name]) is None]:
        print("not tried, for what they need is not installed:", *missing)
    if BACKEND == "jax":
        missing.append("TensorBoard")  # Keras' own needs TensorFlow
    for host in ("train", "callbacks"):
        own = folder / host
        own.mkdir()
        made = {name: CALLBACKS[name](own) for name in chosen if name not in missing}
        model, watch = net(keras.optimizers.Adam(0.05)), Watch()
        given = {"epochs": 4, "batch_size": 16, "validation_data": (X, Y), "verbose": 0}
        with contextlib.redirect_stdout(io.StringIO()):
            if host == "train":
                asked = {"sparsity": 0.5, "callbacks": [*made.values(), watch]}
                model = tfprune.train(model, (X, Y), **asked, **given).model
            else:
                pruning = tfprune.callbacks(model, sparsity=0.5, epochs=4)
                model.fit(X, Y, callbacks=[*pruning, *made.values(), watch], **given)
        assert zeros(model) == 88 and watch.seen[-1] == 88, host
        assert len((own / "log.csv").read_text().splitlines()) == 5
        assert float(keras.ops.convert_to_numpy(model.optimizer.learning_rate)) < 0.05
        assert zeros(keras.models.load_model(own / "c.keras")) == 88
        history = made["History"].history if host == "train" else model.history.history
        assert len(history["loss"]) == 4, history
        assert host == "train" or history["sparsity"][-1] == 0.5, history


def check_early_stopping_brings_back_weights(folder):
    for method, expected in (("magnitude_at_init", ""), ("dynamic", "were put back")):
        early = keras.callbacks.EarlyStopping("loss", min_delta=99.0, patience=3, restore_best_weights=True)
        model = net()
        given = {"method": method, "epochs": 4, "callbacks": [early]}
        trained, text = said(functools.partial(tfprune.train, model, (X, Y), sparsity=0.5, verbose=0, **given))
        assert zeros(trained.model) == 88, (method, zeros(trained.model))
        assert expected in text, (method, text)


def check_backups_go_on(folder):
    def fit(backup, *others):
        keras.utils.set_random_seed(0)
        model = net()
        pruning = tfprune.callbacks(model, sparsity=0.8, epochs=6)
        watch = Watch()
        saving = [keras.callbacks.BackupAndRestore(folder / "backup")] if backup else []
        model.fit(X, Y, 16, 6, callbacks=[*pruning, *saving, *others, watch], verbose=0, shuffle=False)
        return model, watch.seen

    killed = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: epoch == 4 and 1 / 0)
    with contextlib.suppress(ZeroDivisionError):
        fit(True, killed)
    (again, seen), (whole, expected) = fit(True), fit(False)
    assert seen == expected[-len(seen) :] and len(seen) == 6, (seen, expected)
    for one, other in zip(again.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def check_optimizers_that_divide_by_nothing(folder):
    model = net(keras.optimizers.Adam(0.01, epsilon=0.0))
    trained = tfprune.train(model, (X, Y), sparsity=0.5, epochs=3, verbose=0)
    assert zeros(trained.model) == 88 and all(np.isfinite(own).all() for own in trained.model.get_weights())


def check_averages_are_swapped(folder):
    model = net(keras.optimizers.Adam(0.05, use_ema=True))
    swap = keras.callbacks.SwapEMAWeights(swap_on_epoch=True)
    pruning = tfprune.callbacks(model, sparsity=0.5, epochs=3)
    model.fit(X, Y, 16, 3, verbose=0, callbacks=[*pruning, swap], validation_data=(X, Y))
    assert zeros(model) == 88, zeros(model)


# -- data -------------------------------------------------------------------------------------------------------------


class Batches(keras.utils.PyDataset):
    def __len__(self):
        return 3

    def __getitem__(self, index):
        return X[16 * index :][:16], Y[16 * index :][:16]


def generated():
    while True:
        for index in range(3):
            yield Batches()[index]


def sources():
    yield "arrays", (X, Y), {}
    yield "weighted", (X, Y, np.linspace(0.5, 1.5, 48)), {}
    yield "sample_weight", (X, Y), {"sample_weight": np.linspace(0.5, 1.5, 48)}
    yield "class_weight", (X, Y), {"class_weight": {0: 1.0, 1: 2.0, 2: 0.5}}
    yield "split", (X, Y), {"validation_split": 0.25}
    yield "PyDataset", Batches(), {"validation_data": Batches()}
    yield "generator", generated(), {"steps_per_epoch": 3}
    tensors = keras.ops.convert_to_tensor(X), keras.ops.convert_to_tensor(Y)
    yield "tensors", tensors, {}
    if importlib.util.find_spec("tensorflow"):
        import tensorflow as tf

        yield "tf.data", tf.data.Dataset.from_tensor_slices((X, Y)).batch(16), {}
        yield "tf.data repeated", tf.data.Dataset.from_tensor_slices((X, Y)).batch(16).repeat(), {"steps_per_epoch": 3}
    if importlib.util.find_spec("torch"):
        import torch

        data = torch.utils.data.TensorDataset(torch.from_numpy(X), torch.from_numpy(Y))
        yield "DataLoader", torch.utils.data.DataLoader(data, 16), {}
    else:
        print("DataLoader: torch is not installed")
    if importlib.util.find_spec("pandas"):
        import pandas

        yield "frames", (pandas.DataFrame(X), pandas.Series(Y)), {}


def check_data_of_all_forms(folder):
    for name, data, given in sources():
        watch = Watch()
        try:
            trained = tfprune.train(net(), data, sparsity=0.5, epochs=3, verbose=0, callbacks=[watch], **given)
        except Exception as error:
            raise AssertionError(f"{name}: {type(error).__name__}: {error}") from error
        assert zeros(trained.model) == 88 and watch.seen[-1] == 88, name


def check_gradients_of_data_of_all_forms(folder):
    for name, data, given in sources():
        if name == "generator":
            with contextlib.suppress(TfpruneError):
                tfprune.train(net(), data, method="snip", sparsity=0.5, epochs=3, verbose=0, **given)
                raise AssertionError(name)
            continue
        try:
            trained = tfprune.train(net(), data, method="snip", sparsity=0.5, epochs=2, verbose=0, **given)
            model = net()
            tfprune.callbacks(model, data=data, method="snip", sparsity=0.5, epochs=2)
        except Exception as error:
            raise AssertionError(f"{name}: {type(error).__name__}: {error}") from error
        assert zeros(trained.model) == 88, name


def check_inputs_and_outputs_in_structures(folder):
    def made(kind):
        keras.utils.set_random_seed(0)
        one, two = layers.Input((8,), name="one"), layers.Input((4,), name="two")
        tower = layers.Dense(8, "relu", name="tower")
        shared = layers.Add()([tower(one), layers.Dense(8, name="other")(two)])
        outs = [layers.Dense(3, name="cls")(shared), layers.Dense(1, name="size")(shared)]
        if kind == "dict":
            return keras.Model({"one": one, "two": two}, {"cls": outs[0], "size": outs[1]})
        return keras.Model([one, two], outs)

    forms = {
        "dict": ({"one": X, "two": X[:, :4]}, {"cls": Y, "size": X[:, :1]}, {"cls": loss(), "size": "mse"}),
        "list": ([X, X[:, :4]], [Y, X[:, :1]], [loss(), "mse"]),
    }
    for kind, (x, y, losses) in forms.items():
        for method in ("dynamic", "snip", "grasp", "synflow"):
            model = made(kind)
            model.compile("adam", losses)
            trained = tfprune.train(model, (x, y), method=method, sparsity=0.5, epochs=3, verbose=0)
            assert zeros(trained.model) == 64, (kind, method, zeros(trained.model))
            assert type(trained.model.output) is type(model.output)


# -- models -----------------------------------------------------------------------------------------------------------


def check_subclassed_models(folder):
    for method in ("dynamic", "snip"):
        keras.utils.set_random_seed(0)
        model = Own()
        model.build((None, 8))
        model.compile("adam", loss())
        result = tfprune.train(model, (X, Y), method=method, sparsity=0.5, epochs=3, verbose=0, in_place=True)
        assert result.model is model and zeros(model) == (8 * 16 + 16 * 16 + 16 * 3) // 2, zeros(model)
    model.save(folder / "own.keras")
    assert zeros(keras.models.load_model(folder / "own.keras")) == zeros(model)
    try:
        tfprune.train(model, (X, Y), sparsity=0.5, epochs=3, verbose=0)
    except TfpruneError as error:
        assert "in_place=True" in str(error)
    else:
        raise AssertionError("a subclassed model was copied")


def check_a_step_of_its_own(folder):
    kind = stepping()
    inputs = layers.Input((8,))
    model = kind(inputs, layers.Dense(3)(layers.Dense(16, "relu")(inputs)))
    model.compile("adam", loss())
    watch = Watch()
    pruning = tfprune.callbacks(model, sparsity=0.5, epochs=3)
    model.fit(X, Y, 16, 3, verbose=0, callbacks=[*pruning, watch])
    assert zeros(model) == 88 and watch.seen[-1] == 88, watch.seen
    trained = tfprune.train(model, (X, Y), sparsity=0.75, epochs=3, verbose=0)
    assert type(trained.model) is kind and zeros(trained.model) == 132


def check_shared_layers_and_nested_models_of_equal_names(folder):
    def body(name, units):
        return keras.Sequential(
            [layers.Input((8,)), layers.Dense(units, "relu", name="d1"), layers.Dense(8, name="d2")], name=name
        )

    inputs = layers.Input((8,))
    one, two = body("one", 16), body("two", 12)
    model = keras.Model(inputs, layers.Dense(3, name="head")(layers.Add()([one(one(inputs)), two(inputs)])))
    model.compile("adam", loss())
    trained = tfprune.train(model, (X, Y), sparsity=0.5, epochs=3, verbose=0)
    assert list(trained.masks) == ["one/d1/kernel", "one/d2/kernel", "two/d1/kernel", "two/d2/kernel", "head/kernel"]
    assert zeros(trained.model) == (8 * 16 * 2 + 8 * 12 * 2 + 24) // 2
    trained.model.save(folder / "n.keras")
    assert zeros(keras.models.load_model(folder / "n.keras")) == zeros(trained.model)
    excluded = tfprune.train(model, (X, Y), sparsity=0.5, epochs=3, verbose=0, exclude=["two"])
    assert [name for name in excluded.masks if name.startswith("two")] == []


def check_precision_and_compilation(folder):
    for policy in ("mixed_float16", "mixed_bfloat16"):
        for jit in (False,) if BACKEND == "torch" else (False, True):
            before = keras.config.dtype_policy()
            keras.config.set_dtype_policy(policy)
            try:
                model = net(jit_compile=jit)
            finally:
                keras.config.set_dtype_policy(before)
            watch = Watch()
            trained = tfprune.train(model, (X, Y), sparsity=0.5, epochs=3, verbose=0, callbacks=[watch])
            assert zeros(trained.model) == 88 and watch.seen[-1] == 88, (policy, jit)
            assert trained.model.dtype_policy.name == model.dtype_policy.name
            trained.model.save(folder / "p.keras")
            assert zeros(keras.models.load_model(folder / "p.keras")) == 88
            snip = tfprune.train(model, (X, Y), method="snip", sparsity=0.5, epochs=2, verbose=0)
            assert zeros(snip.model) == 88, (policy, jit)


def check_a_loss_that_is_no_number_stops_the_training(folder):
    inputs = layers.Input((8,))
    model = keras.Model(inputs, layers.Dense(3, name="b")(layers.Dense(16, "tanh", name="a")(inputs)))
    model.compile(keras.optimizers.SGD(0.1), loss())
    bad = X.copy()
    bad[20] = np.nan
    try:
        tfprune.train(model, (bad, Y), sparsity=0.5, epochs=3, verbose=0, batch_size=16, shuffle=False)
    except TrainingError as error:
        assert "batch 2 of the epoch; the first layer whose weights are no finite numbers is a" in str(error), error
    else:
        raise AssertionError("nothing was said")


CHECKS = {name.removeprefix("check_"): own for name, own in list(globals().items()) if name.startswith("check_")}


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    sys.exit(bool(main(CHECKS, sys.argv[1:])))
