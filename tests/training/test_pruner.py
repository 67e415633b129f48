"""Runs and a person's own training prune alike: the same masks from the same weights, data and seed."""

import inspect

import numpy as np
import pytest
from alone import trained

import tfprune
from tfprune.adapters.backend import keras, tf
from tfprune.adapters.tf_keras.mask_values import get_masks, get_weights, kernel_variables, kernels, set_weights
from tfprune.adapters.tf_keras.optimizers import slots
from tfprune.experiments.building import build, initial_weights, load_data, plain_model
from tfprune.methods import METHODS
from tfprune.methods._at_init import AtInit
from tfprune.pruning.criteria import CRITERIA, DATA_CRITERIA
from tfprune.pruning.events import Criterion, PruningEvent
from tfprune.pruning.pattern_masks import check_pattern
from tfprune.pruning.patterns import pattern_of
from tfprune.pruning.scores import ScoringContext
from tfprune.training.examples import first_examples
from tfprune.training.in_memory_pruning import InMemoryPruning
from tfprune.training.resolving import ResolvedMethod, resolve_method
from tfprune.training.trainer import Trainer
from tfprune.utils.errors import ModelError, TrainingError

L = keras.layers
CE = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
AT_INIT = [name for name in METHODS if issubclass(METHODS[name], AtInit)]


def examples(count=60):
    random = np.random.default_rng(0)
    y = np.arange(count) % 3
    return random.normal(y[:, None], 1, (count, 8)).astype(np.float32), y


def compiled(*layers, optimizer="adam", loss=CE):
    model = keras.Sequential([L.Input((8,)), *(layers or (L.Dense(16, "relu", name="a"), L.Dense(3, name="b")))])
    model.compile(optimizer, loss)
    return model


def of_run(config):
    """Returns the data of a run, and its model with its initial weights as a person would have it."""
    data = load_data(config)
    model = plain_model(config, data, config.model_settings)
    set_weights(model, initial_weights(config, data))
    model.compile(keras.optimizers.SGD(0.1), CE)
    return data, model


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("method", AT_INIT)
def test_methods_at_initialisation_come_to_the_masks_of_a_run(method, shuffle, tiny):
    config = tiny(method, settings={"sparsity": 0.6, "shuffle": shuffle}, seed=3)
    run = trained(config)
    data, model = of_run(config)
    result = tfprune.train(
        model, (data.train.x, data.train.y), method=method, settings=config.settings, epochs=1, seed=3, verbose=0
    )
    for name, mask in get_masks(run.model).items():
        np.testing.assert_array_equal(result.masks[name], mask)


@pytest.mark.parametrize("criterion", CRITERIA)
@pytest.mark.parametrize(("granularity", "pattern"), [("weight", None), ("block", "2x2"), ("n:m", "2:4")])
def test_every_criterion_leads_to_the_masks_of_a_run(criterion, granularity, pattern, tiny):
    """Two cuts between trainings, one of which moves weights: in wrappers and in place."""
    config = tiny("pruned", granularity=granularity, pattern=pattern, settings={"sparsity": 0.5})
    data, model = of_run(config)
    run = Trainer(build(config, data), data, config)
    given = (data.train.x, data.train.y)
    asked = ResolvedMethod("pruned", METHODS["pruned"](sparsity=0.5), 1, config.scope, config.units)
    mine = InMemoryPruning(model, asked, seed=config.seed, data=given)
    events = [PruningEvent(sparsity=0.5, criterion=Criterion(criterion))]
    if pattern is None:
        events.append(
            PruningEvent(rate=0.0, criterion=Criterion(criterion), regrow_fraction=0.3, growth=Criterion("gradient"))
        )
    for event in events:
        run._prune(event)
        mine.prune(event)
        for name, mask in get_masks(run.model).items():
            np.testing.assert_array_equal(get_masks(mine.model)[name], mask)
        for one, other in zip(get_weights(run.model), get_weights(model), strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("criterion", CRITERIA)
def test_criteria_that_look_at_examples_are_known_as_such(criterion):
    asked = []

    def gradients(kind, criterion=None):
        asked.append(kind)
        return {"a": np.ones((2, 2))}

    ones = {"a": np.ones((2, 2))}
    scores = CRITERIA[criterion](ScoringContext(ones, ones, np.random.default_rng(0), gradients))
    assert all(np.shape(score) == (2, 2) for score in scores.values())
    assert bool(set(asked) - {"flow_gradients"}) is (criterion in DATA_CRITERIA)


def several():
    one, two = L.Input((8,), name="one"), L.Input((8,), name="two")
    x = L.Concatenate()([L.Dense(8, "relu", name="a")(one), L.Dense(4, name="b")(two)])
    model = keras.Model(
        {"one": one, "two": two}, {"cls": L.Dense(3, name="cls")(x), "size": L.Dense(1, name="size")(x)}
    )
    model.compile("adam", {"cls": CE, "size": "mse"}, loss_weights={"cls": 1.0, "size": 0.5})
    x, y = examples()
    return model, ({"one": x, "two": -x}, {"cls": y, "size": x[:, :1]})


def recurrent():
    model = keras.Sequential([L.Embedding(9, 4, mask_zero=True), L.LSTM(5), L.Dense(3, "softmax")])
    model.build((None, 6))
    model.compile("adam", "sparse_categorical_crossentropy")
    return model, (np.random.default_rng(0).integers(0, 9, (60, 6)), np.arange(60) % 3)


class Own(keras.Model):
    def __init__(self):
        super().__init__(name="own")
        self.inner, self.norm, self.out = L.Dense(16, "relu"), L.BatchNormalization(), L.Dense(3)

    def call(self, inputs, training=None):
        return self.out(self.norm(self.inner(inputs), training=training))


def subclassed():
    model = Own()
    model.build((None, 8))
    model.compile("adam", CE)
    return model, examples()


class Batches(keras.utils.Sequence):
    def __len__(self):
        return 6

    def __getitem__(self, number):
        return tuple(own[10 * number : 10 * number + 10] for own in (*examples(), np.ones(60)))


def sequence():
    return compiled(), Batches()


def dataset():
    return compiled(loss="mse"), tf.data.Dataset.from_tensor_slices((examples()[0], examples()[0][:, :3])).batch(7)


@pytest.mark.some(every=2)
@pytest.mark.parametrize("make", [several, recurrent, subclassed, sequence, dataset])
@pytest.mark.parametrize("method", ["snip", "grasp", "rigl", "gradual"])
def test_gradients_of_a_persons_loss_for_a_persons_data(make, method, request):
    if make is recurrent and method != "grasp":  # which has the hardest graph
        request.getfixturevalue("eagerly")
    model, data = make()
    settings = {"criterion": "taylor"} if method == "gradual" else {}
    result = tfprune.train(
        model, data, method=method, sparsity=0.5, epochs=3, settings=settings, verbose=0, in_place=make is subclassed
    )
    size = sum(mask.size for mask in result.masks.values())
    assert sum(int(mask.sum()) for mask in result.masks.values()) == pytest.approx(size / 2, abs=len(result.masks))
    for name, kernel in kernels(result.model).items():
        assert np.all(kernel[result.masks[name] == 0] == 0)
    assert len(result.history) == 3


@pytest.mark.parametrize("method", ["snip", "rigl", "set", "synflow", "gradual", "early_bird", "random_at_init"])
def test_callbacks_prune_by_gradients_too(method):
    model = compiled()
    pruning = tfprune.callbacks(model, method=method, sparsity=0.5, epochs=6, data=examples())
    logs = model.fit(*examples(), epochs=6, callbacks=pruning, verbose=0).history
    assert logs["sparsity"][-1] == pytest.approx(0.5, abs=0.01)
    plain = compiled()
    plain.fit(*examples(), epochs=1, verbose=0)
    assert set(logs) == {*plain.history.history, "sparsity"}
    for name, kernel in kernels(model).items():
        dead = get_masks(model)[name] == 0
        for variable in (kernel, *(slot.numpy() for slot in slots(model.optimizer, kernel_variables(model)[name]))):
            assert not np.any(variable[dead])


def test_callbacks_do_all_that_one_fit_can():
    model = compiled(optimizer=keras.optimizers.SGD(0.1))
    before = get_weights(model)
    pruning = tfprune.callbacks(
        model, method="snip", sparsity=0.5, epochs=1, data=examples(), settings={"shuffle": True, "reinitialise": True}
    )
    model.fit(*examples(), epochs=1, callbacks=pruning, verbose=0)
    assert np.mean(np.abs(get_weights(model)[0] - before[0]) > 0.05) > 0.4
    faster = tfprune.callbacks(model, epochs=3, settings={"rate_factor": 0.5})
    model.fit(*examples(), epochs=3, callbacks=faster, verbose=0)
    assert float(model.optimizer.learning_rate) == pytest.approx(0.025)


def test_looking_at_gradients_leaves_a_training_as_it_was():
    """An event that prunes nothing: the same bits as without it, dropout, statistics and logs included."""

    def fit(*callbacks):
        keras.utils.set_random_seed(0)
        model = compiled(L.Dense(8, "relu"), L.BatchNormalization(), L.Dropout(0.5), L.Dense(3))
        logs = model.fit(*examples(), epochs=3, shuffle=False, verbose=0, callbacks=callbacks).history
        return model.get_weights(), logs

    class Look(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            asked = resolve_method("pruned", None, None, 1, "layer", "weight", None, None)
            task = InMemoryPruning(self.model, asked, data=examples())
            task.pruner.model.gradients("gradients", Criterion())

    (one, logs), (other, watched) = fit(), fit(Look())
    assert logs == watched
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(("granularity", "pattern"), [("block", None), ("block", "2x4"), ("n:m", None), ("n:m", "1:4")])
def test_patterns_in_python_are_those_of_runs(granularity, pattern):
    given = {"granularity": granularity, "pattern": pattern}
    sparsity = {} if granularity == "n:m" else {"sparsity": 0.5}
    model = compiled()
    copy = tfprune.prune(model, **sparsity, **given)
    result = tfprune.train(model, examples(), method="pruned", epochs=1, verbose=0, **sparsity, **given)
    pruning = tfprune.callbacks(model, epochs=3, **sparsity, **given)
    model.fit(*examples(), epochs=3, callbacks=pruning, verbose=0)
    events = [PruningEvent(sparsity=sparsity.get("sparsity", 0.75 if pattern == "1:4" else 0.5))]
    for made in (copy, result.model, model):
        weights = kernels(made)
        zeros = {name: (kernel != 0).astype(np.uint8) for name, kernel in weights.items()}
        check_pattern(weights, zeros, events, "layer", pattern_of(granularity, pattern, None), "the model")


def test_examples_are_of_each_class_or_the_first():
    random = np.random.default_rng(0)
    x, y = examples()
    batch = first_examples((x, y), 4, random)
    assert np.bincount(batch.y).tolist() == [4, 4, 4]
    first = first_examples((x, x[:, 0], np.arange(60)), 2, random)
    np.testing.assert_array_equal(first.weights, np.arange(20))
    batches = tf.data.Dataset.from_tensor_slices((x, y)).batch(7).repeat()
    np.testing.assert_array_equal(first_examples(batches, 3, random).x, x[:30])
    assert len(first_examples(Batches(), 10, random)) == 60


def test_what_has_no_loss_or_has_diverged_is_said():
    model = compiled(loss=None)
    with pytest.raises(
        ModelError, match="is compiled without a loss, .* compile it with one, or rank weights by magnitude"
    ):
        tfprune.train(model, examples(), method="snip", epochs=1, verbose=0)
    lost = compiled()
    lost.set_weights([np.full_like(weight, np.nan) for weight in lost.get_weights()])
    with pytest.raises(TrainingError, match="a/kernel is no longer finite where it is to be pruned"):
        tfprune.train(lost, examples(), method="magnitude_at_init", epochs=1, verbose=0)


def test_early_stopping_brings_back_weights_that_are_masked():
    class Back(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            self.weights = self.model.get_weights()

        def on_epoch_end(self, epoch, logs=None):
            if epoch == 2:
                self.model.set_weights(self.weights)

    result = tfprune.train(compiled(), examples(), sparsity=0.5, epochs=3, callbacks=[Back()], verbose=0)
    assert all(np.mean(kernel == 0) == 0.5 for kernel in kernels(result.model).values())
    model = compiled()
    model.fit(*examples(), epochs=3, callbacks=[*tfprune.callbacks(model, sparsity=0.5, epochs=3), Back()], verbose=0)
    assert all(np.mean(kernel == 0) == 0.5 for kernel in kernels(model).values())


def test_help_shows_every_argument():
    parameters = inspect.signature(tfprune.train).parameters
    assert not [own for own in parameters.values() if own.kind is own.VAR_KEYWORD]
    shared = {"method", "sparsity", "scope", "granularity", "pattern", "pooling", "settings", "seed"}
    shared |= {"exclude", "spare"}
    for function in (tfprune.train, tfprune.callbacks):
        assert shared <= set(inspect.signature(function).parameters)
        assert all(name in function.__doc__ for name in shared)
