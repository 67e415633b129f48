import json
from pathlib import Path

import numpy as np
import pytest
import residual
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from removing import run, trainer_of
from test_surgery import OPTIMIZERS, compiled, exact, shaken  # noqa: F401 - exact is a fixture

import tfprune
from tfprune.adapters.backend import keras
from tfprune.adapters.tf_keras.mask_values import get_weights, kernels
from tfprune.adapters.tf_keras.optimizers import slots
from tfprune.experiments.building import build, load_data, restore
from tfprune.experiments.experiment import train
from tfprune.exporting.conversion import convert
from tfprune.exporting.formats import FORMATS
from tfprune.models import MODELS
from tfprune.structured.branches import BRANCHES, CRITERIA, branches
from tfprune.structured.surgery import remove_groups, zero_groups
from tfprune.training.channel_trainer import ChannelTrainer
from tfprune.training.config import Config
from tfprune.utils.errors import ConfigError, ModelError, SparsityError

L = keras.layers


@pytest.fixture
def tower():
    return shaken(residual.tower((6,), 3))


def ended_by(*ends, shape=(4,), inner=None):
    """A model of two sums, to the first of which a branch adds what these layers give."""
    inputs = L.Input(shape)
    x = L.Dense(4, name="stem")(inputs)
    y = inner(x) if inner else L.Dense(4, name="inner")(x)
    for layer in ends:
        y = layer(y)
    x = L.Add(name="sum")([x, y])
    return keras.Model(inputs, L.Dense(2, name="logits")(L.Add()([x, L.Dense(4, name="other")(x)])))


def test_branches_are_what_a_sum_adds_to_what_they_are_computed_from(tower):
    found = branches(tower)
    assert found.names == ("one", "two", "three", "four") and found.groups[0].name == BRANCHES
    assert found.ends == {f"{name}_add": (-1, place) for place, name in enumerate(found.names)}
    assert {name for name, label in found.inside.items() if label == 1} == {"two", "two_out", "two_dropout", "two_bn"}
    assert [layer.name for layer in found.last.values()] == [f"{name}_bn" for name in found.names]
    assert found.spared({"three_out", "stem"}) == [2]


@pytest.mark.parametrize(
    ("name", "count", "first"),
    [("resnet20", 7, "stage_1_block_1_conv_1"), ("resnet56", 25, "stage_1_block_1_conv_1"),
     ("mobilenetv2", 10, "block_2_expand"), ("resnet8", 1, "stage_1_block_1_conv_1"), ("lenet", 0, None)],
)  # fmt: skip
def test_branches_of_the_models_that_come_with_it(name, count, first):
    found = branches(MODELS[name]((32, 32, 3), 10))
    assert len(found.names) == count and next(iter(found.names), None) == first
    assert bool(found.free) is bool(count)


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (lambda: ended_by(), ("inner", "other")),
        (lambda: ended_by(L.Activation("relu"), L.Dropout(0.1)), ("inner", "other")),
        (lambda: ended_by(L.LayerNormalization()), ("inner", "other")),
        (
            lambda: ended_by(inner=keras.Sequential([L.Dense(3), L.Dense(4)], name="nest")),
            ("other",),
        ),  # its end is in it
        (lambda: ended_by(L.Dense(4, "sigmoid")), ("other",)),  # which is a half of zeros
        (lambda: ended_by(L.Activation("softmax")), ("other",)),
        (lambda: ended_by(L.Activation(lambda x: x + 1)), ("other",)),
        (lambda: ended_by(L.Lambda(lambda x: x + 1)), ("other",)),
        (lambda: ended_by(L.BatchNormalization(scale=False)), ("other",)),
        (lambda: ended_by(L.ReLU(negative_slope=0.1, threshold=1.0)), ("other",)),
        (lambda: ended_by(inner=L.ReLU()), ("other",)),  # without a weight
    ],
)
def test_an_end_that_is_not_known_to_add_zero_makes_no_branch(model, expected):
    assert branches(model()).names == expected


def test_what_is_read_elsewhere_or_used_twice_is_no_branch():
    inputs = L.Input((4,))
    twice, seen, wide = L.Dense(4, name="twice"), L.Dense(4, name="seen"), L.Dense(1, name="wide")
    x = L.Dense(4, name="stem")(inputs)
    y = seen(x)
    x = L.Add()([x, twice(twice(x)), y])
    x = L.Add()([x, L.Dense(4, name="outer")(L.Add()([y, L.Dense(4, name="inner")(y)]))])  # `y` is read here
    x = L.Add()([L.Dense(1)(x), wide(x)])  # neither is computed from the other
    x = L.Add()([L.Dense(4, name="wider")(x), x])  # one is stretched over the other
    model = keras.Model(inputs, [x, y])
    assert branches(model).names == ("inner",)
    with pytest.raises(ModelError, match="must be functional or sequential, and built, to find its branches"):
        branches(keras.Sequential([L.Dense(2)]))


def check_surgery(model, gone, inputs):
    smaller = remove_groups(model, {BRANCHES: gone})
    before = branches(model)
    zero_groups(model, {BRANCHES: gone})
    expected, got = np.asarray(model(inputs)), np.asarray(smaller(inputs))
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-6 * np.abs(expected).max())
    assert set(branches(smaller).names) == set(before.names) - set(gone)
    labels = before.labels(gone)
    assert {layer.name for layer in smaller.layers} == {
        layer.name for layer in model.layers if before.inside.get(layer.name, -1) not in labels
    }
    return smaller


@pytest.mark.parametrize(
    "name", [name for name in MODELS if name not in ("lenet", "mlp", "conv2", "conv4", "conv6", "unet", "text_pool")]
)
def test_a_registered_model_without_branches_is_the_one_in_which_they_are_zero(name, exact):  # noqa: F811
    model = shaken(MODELS[name]((32, 32, 3), 10))
    count = len(branches(model).names)
    if count < 2:
        with pytest.raises(ModelError, match="all 1 of residual branches would go"):
            remove_groups(model, {BRANCHES: branches(model).names})
        return
    inputs = np.random.default_rng(1).integers(0, 256, (3, 32, 32, 3)).astype(model.input.dtype.as_numpy_dtype)
    smaller = check_surgery(model, branches(model).names[::2], inputs)
    check_surgery(smaller, branches(smaller).names[:1], inputs)  # and once more


@st.composite
def residual_networks(draw):
    """Sums of two or three, with branches of some layers, in one stream or around each other."""
    x = inputs = L.Input((6, 6, 2))
    x = L.Conv2D(3, 1, name="stem")(x)
    for step in range(draw(st.integers(2, 5))):
        ends = [x]
        for path in range(draw(st.integers(1, 2))):
            y = x
            for depth in range(draw(st.integers(1, 3))):
                y = L.Conv2D(3, 3, padding="same", activation="relu", name=f"conv_{step}_{path}_{depth}")(y)
                if draw(st.booleans()):
                    y = L.Add(name=f"sum_{step}_{path}_{depth}")([L.BatchNormalization()(L.Conv2D(3, 1)(y)), y])
                    y = L.Conv2D(3, 1)(y)
            ends.insert(draw(st.integers(0, 1)), y)
        x = L.Add(name=f"add_{step}")(ends)
    return keras.Model(inputs, L.Dense(2, name="logits")(L.GlobalAveragePooling2D()(x)))


@settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(residual_networks(), st.integers(0, 9))
def test_any_network_without_branches_is_the_one_in_which_they_are_zero(exact, model, seed):  # noqa: F811
    random = np.random.default_rng(seed)
    names = branches(model).names
    if len(names) > 1:
        gone = random.permutation(names)[: random.integers(1, len(names))].tolist()
        check_surgery(shaken(model, seed), gone, random.normal(size=(2, 6, 6, 2)))
    keras.backend.clear_session()


@pytest.mark.some(every=3)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_training_goes_on_as_that_of_the_masked_model_would(optimizer):
    """The masked model's zeros are put back after each step: the smaller one has to end at the same weights."""
    model = residual.tower((6,), 3)
    for name in residual.BRANCHES:
        model.get_layer(f"{name}_dropout").rate = 0.0
    random, removed = np.random.default_rng(0), {BRANCHES: ["one", "three"]}
    x, y = random.normal(size=(96, 6)), random.integers(0, 3, 96)
    compiled(model, optimizer).fit(x, y, epochs=1, verbose=0, shuffle=False)
    smaller = remove_groups(model, removed)
    assert int(smaller.optimizer.iterations) == int(model.optimizer.iterations) == 3
    zero_groups(model, removed)
    for start in (0, 32, 64):
        for own in (model, smaller):
            own.train_on_batch(x[start : start + 32], y[start : start + 32])
        zero_groups(model, removed)
    for layer in smaller.layers:
        for old, new in zip(model.get_layer(layer.name).weights, layer.weights, strict=True):
            np.testing.assert_allclose(new.numpy(), old.numpy(), rtol=1e-4, atol=1e-4, err_msg=old.name)
            for remembered, carried in zip(slots(model.optimizer, old), slots(smaller.optimizer, new), strict=True):
                np.testing.assert_allclose(carried.numpy(), remembered.numpy(), rtol=1e-3, atol=1e-4)


def test_criterion_taylor_is_what_the_loss_changes_by_to_first_order(tower):
    random = np.random.default_rng(0)
    x, y = random.normal(size=(32, 6)).astype("float32"), random.integers(0, 3, 32)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    scores, step = CRITERIA["taylor"](tower, branches(tower), 0, (x, y)), 1e-3
    for name, score in zip(residual.BRANCHES, scores, strict=True):
        norm = tower.get_layer(f"{name}_bn")
        before = norm.get_weights()
        changed = []
        for factor in (1 + step, 1 - step):
            norm.set_weights([before[0] * factor, before[1] * factor, *before[2:]])
            changed.append(float(loss(y, tower(x, training=False))))
        norm.set_weights(before)
        assert score == pytest.approx(((changed[0] - changed[1]) / (2 * step)) ** 2, rel=0.02)
    tower.get_layer("two_bn").trainable = False  # which does not make it worthless
    np.testing.assert_allclose(CRITERIA["taylor"](tower, branches(tower), 0, (x, y)), scores, rtol=1e-5)
    with pytest.raises(ConfigError, match="taylor needs examples"):
        CRITERIA["taylor"](tower, branches(tower), 0, None)


def test_the_other_criteria_are_means_so_that_wide_branches_are_worth_no_more(tower):
    found = branches(tower)
    own = [
        np.concatenate([tower.get_layer(n).kernel.numpy().ravel() for n in (name, f"{name}_out")])
        for name in found.names
    ]
    np.testing.assert_allclose(CRITERIA["l1"](tower, found, 0, None), [np.mean(np.abs(w)) for w in own], rtol=1e-6)
    np.testing.assert_allclose(CRITERIA["l2"](tower, found, 0, None), [np.mean(w**2) ** 0.5 for w in own], rtol=1e-6)
    gammas = [np.mean(np.abs(tower.get_layer(f"{name}_bn").gamma.numpy())) for name in found.names]
    np.testing.assert_allclose(CRITERIA["bn"](tower, found, 0, None), gammas, rtol=1e-6)
    assert len(set(CRITERIA["random"](tower, found, 3, None))) == 4
    bare = residual.tower((6,), 3, norm=False)
    with pytest.raises(
        ModelError, match="needs branches that end in a scale of BatchNorm, unlike one, two, three, four"
    ):
        CRITERIA["bn"](bare, branches(bare), 0, None)


def test_a_model_of_your_own_is_shrunk_by_branches(tower):
    for name, gamma in zip(residual.BRANCHES, (0.4, 0.1, 0.3, 0.2), strict=True):
        tower.get_layer(f"{name}_bn").gamma.assign(np.full(8, gamma, np.float32))
    smaller = tfprune.shrink(tower, 0.5, granularity="branch", criterion="bn")
    assert branches(smaller).names == ("one", "three")
    bare = keras.Sequential([L.Dense(2, input_shape=(3,))], name="bare")
    with pytest.raises(ModelError, match="model bare has 0 residual branches, of which one stays"):
        tfprune.shrink(bare, granularity="branch")
    with pytest.raises(ConfigError, match="unknown granularity 'weight': "):
        tfprune.shrink(bare, granularity="weight")


@pytest.fixture
def small(tiny):
    """Makes the config of a run on penguins that removes branches."""

    def make(method="dynamic", channels=None, **changes):
        given = {"model": "residual:tower", "granularity": "branch", "epochs": 4, "limit": 60}
        return tiny(method, **given | {"channel_settings": channels or {}} | changes)

    return make


def test_branches_go_at_events_and_the_training_carries_on(small, monkeypatch):
    pairs, original = [], ChannelTrainer._take_out

    def watched(self):
        inputs = self.data.validation.x
        before = np.asarray(self.model(inputs, training=False))
        original(self)
        pairs.append((before, np.asarray(self.model(inputs, training=False))))

    monkeypatch.setattr(ChannelTrainer, "_take_out", watched)
    trainer = run(small(settings={"events": (0.25, 0.5), "final_sparsity": 0.75}))
    assert [row["sparsity"] for row in trainer.history] == [0.5, 0.75, 0.75, 0.75]
    assert int(trainer.model.optimizer.iterations) == trainer.history[-1]["step"]
    assert len(branches(trainer.model).names) == 1 and trainer.channel_tracker.widths == {BRANCHES: 1}
    for before, after in pairs:
        np.testing.assert_allclose(after, before, rtol=0, atol=1e-5)


@pytest.mark.some(every=2)
@pytest.mark.parametrize(
    "method",
    ["pruned", "lottery", "dynamic", "gradual", "early_bird", "reinitialised", "random", "snip", "random_at_init",
     "magnitude_at_init", "fine_tuned", "rate_rewinding"],
)  # fmt: skip
def test_every_method_that_removes_filters_removes_branches(small, method, request):
    if method not in ("dynamic", "lottery"):  # in a training and between two; the others need not be compiled
        request.getfixturevalue("eagerly")
    name = "final_sparsity" if method in ("dynamic", "random") else "sparsity"
    trainer = run(small(method, epochs=6, settings={name: 0.5}))
    trainer.check(kernels(trainer.model), "the model")
    assert trainer.channel_tracker.widths == {BRANCHES: 2} and len(branches(trainer.model).names) == 2
    gone = [label for name in trainer.channel_tracker.removed[BRANCHES] for label in (name, f"{name}_out")]
    for name, mask in trainer.masks().items():
        assert np.all(mask == (name.partition("/")[0] not in gone))


def test_a_ticket_starts_from_what_is_left_of_the_remembered_weights(small):
    starts = []

    class Watched(ChannelTrainer):
        def _fit_stretch(self, start, end, logged, callbacks):
            watch = keras.callbacks.LambdaCallback(on_train_begin=lambda logs: starts.append(get_weights(self.model)))
            super()._fit_stretch(start, end, logged, [*callbacks, watch])

    trainer = run(small("lottery", settings={"sparsity": 0.75, "rounds": 2}), Watched)
    for weight, expected in zip(
        starts[-1], trainer.channel_tracker.prune_weights(starts[0], trainer.model), strict=True
    ):
        np.testing.assert_array_equal(weight, expected)


@pytest.mark.usefixtures("eagerly")
def test_the_order_and_what_is_spared_decide_first(small):
    events = {"events": (0.5,), "final_sparsity": 0.5}
    channel_tracker = run(small(channels={"order": "four,two"}, settings=events)).channel_tracker
    assert channel_tracker.removed == {BRANCHES: ["two", "four"]}
    channel_tracker = run(
        small(channels={"order": "four"}, exclude=("two_out", "three"), settings=events)
    ).channel_tracker
    assert channel_tracker.removed == {BRANCHES: ["one", "four"]}
    spared = run(small(channels={"order": "four,two"}, exclude=("two_out",), settings=events)).channel_tracker
    assert "four" in spared.removed[BRANCHES] and "two" not in spared.removed[BRANCHES]  # whatever the order says
    assert channel_tracker.skipped == {"two": "a layer of it is excluded", "three": "a layer of it is excluded"}


@pytest.mark.usefixtures("eagerly")
def test_a_small_network_from_scratch_has_the_very_layers(small):
    gone = run(small(settings={"events": (0.5,), "final_sparsity": 0.5}))
    config = small(
        "small_dense", channels={"order": gone.channel_tracker.removed[BRANCHES]}, settings={"sparsity": 0.5}
    )
    model = build(config, load_data(config))
    assert [layer.name for layer in model.layers[1:]] == [layer.name for layer in gone.model.layers[1:]]
    config = small("small_dense", settings={"sparsity": 0.5})
    assert branches(build(config, load_data(config))).names == ("one", "two")  # the last ones go


def test_a_run_says_what_went_and_is_restored_and_exported(small, tmp_path):
    config = small(channels={"order": "one,three"}, settings={"events": (0.5,), "final_sparsity": 0.5})
    result = train(config)
    metrics = json.loads(result.folder.metrics.read_text())
    assert metrics["channels"]["groups"] == {
        BRANCHES: {"layers": list(residual.BRANCHES), "before": 4, "after": 2, "gone": ["one", "three"]}
    }
    assert metrics["sparsity"]["requested"] == metrics["sparsity"]["achieved"] == 0.5
    assert metrics["sparsity"]["layers"]["three/kernel"] == {"zeros": 96, "size": 96}
    assert metrics["channels"]["parameters"]["after"] == metrics["parameters"]
    assert metrics["channels"]["macs"]["after"] * 2 == metrics["cost"]["forward_flops"]
    data = load_data(config)
    model = restore(result, data)
    assert branches(model).names == ("two", "four")
    for name in ("tflite", "onnx", "h5", "keras"):
        done = convert(model, data, tmp_path / f"model{FORMATS[name].suffix}", name)
        assert done.before == done.after == pytest.approx(metrics["validation"]["accuracy"])


def test_what_is_still_there_is_an_error(small):
    trainer = trainer_of(small("pruned", channels={"order": "one,two"}, settings={"sparsity": 0.5}))
    before = kernels(trainer.model)
    trainer.prune(trainer.config.pruning.pruning_events[0])
    with pytest.raises(
        SparsityError, match="the model: one/kernel, one_out/kernel, two/kernel, two_out/kernel is still"
    ):
        trainer.check(before, "the model")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"channels": {"order": "fours"}}, "there is no residual branch 'fours': did you mean four"),
        (
            {"exclude": ("one", "two", "three"), "settings": {"final_sparsity": 0.5}},
            "2 of 4 .* would go, and 3 are excluded",
        ),
        ({"model": "mlp"}, "model mlp has no residual branches that can go .residual branches: no sum adds one"),
        (
            {"dataset": "fashion_mnist", "model": "resnet8"},
            "has one residual branch, and one stays: take gran.* filter",
        ),
        (
            {"channels": {"criterion": "bn"}, "model_settings": {"norm": False}},
            "criterion bn needs branches that end in",
        ),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_written(small, copies, changes, message):
    config = small(**{"data_dir": copies, "epochs": 4} | changes)
    with pytest.raises(ModelError, match=message):
        train(config)
    assert not Path(config.out, config.run_id).exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"channel_settings": {"multiple": 8}}, "unknown setting 'channels.multiple': "),
        ({"channel_settings": {"order": 3}}, "channels.order must be a list of names, got 3"),
        ({"settings": {"criterion": "synflow"}}, "granularity branch ranks residual branches by channels.criterion"),
        ({"loop": "fused"}, "granularity branch changes the model in training, which loop=fused cannot"),
    ],
)
def test_settings_that_it_does_not_have(changes, message):
    with pytest.raises(ConfigError, match=message):
        Config(dataset="penguins", granularity="branch", **changes)
