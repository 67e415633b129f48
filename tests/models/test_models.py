"""Image models: their size and form, and that each prunes, trains and exports."""

import numpy as np
import pytest

from tfprune.adapters.backend import keras, tf
from tfprune.adapters.tf_keras.mask_values import get_masks, kernels, set_masks
from tfprune.adapters.tf_keras.wrapping import strip, wrap
from tfprune.data._base import Data, Split
from tfprune.data._pipeline import training_batches
from tfprune.data._tfds import image_inputs
from tfprune.exporting.savedmodel import export
from tfprune.models import MODELS
from tfprune.models.mobilenets import weights_file
from tfprune.utils.errors import ConfigError, ModelError

IMAGE_MODELS = [name for name in MODELS if name not in ("mlp", "text_pool", "unet")]
SMALL = {  # settings that keep the tests quick
    "lenet": {"filters": (8, 8), "hidden": (16,)},
    "conv2": {"filters": (8,), "hidden": (16,)},
    "conv4": {"filters": (8, 8), "hidden": (16,)},
    "conv6": {"filters": (8, 8, 8), "hidden": (16,)},
    "resnet8": {"width": 8},
    "resnet20": {"width": 8},
    "flowers_resnet": {"widths": (8, 8, 16)},
    "mobilenetv2": {"alpha": 0.35},
}
TRAINED = [name for name in IMAGE_MODELS if name != "resnet56"]  # 20 s to build; its parts are resnet20's


def parameters(model):
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


@pytest.fixture
def data():
    random = np.random.default_rng(0)

    def split(count):
        return Split(random.integers(0, 256, (count, 32, 32, 3), np.uint8), random.integers(0, 4, count))

    return Data(
        train=split(24),
        validation=split(4),
        test=split(8),
        labels=tuple("abcd"),
        target="letter",
        inputs=image_inputs(32, 3),
    )


@pytest.mark.parametrize(
    ("name", "shape", "expected"),
    [
        # Frankle & Carbin 2019, figure 2: 4.3 M, 2.4 M and 1.7 M (their Conv-6 pools to 4 x 4: 2.3 M with biases).
        ("conv2", (32, 32, 3), 4_301_642),
        ("conv4", (32, 32, 3), 2_425_930),
        ("conv6", (32, 32, 3), 2_262_602),
        # He et al. 2016, table 6: 0.27 M and 0.85 M, with two 1 x 1 shortcuts more.
        ("resnet8", (32, 32, 3), 78_042),
        ("resnet20", (32, 32, 3), 272_474),
        ("resnet56", (32, 32, 3), 855_770),
    ],
)
def test_has_the_parameters_of_the_paper(name, shape, expected):
    assert parameters(MODELS[name](shape, 10)) == expected


@pytest.mark.parametrize("name", IMAGE_MODELS)
def test_takes_uint8_gives_float32_logits_and_names_every_layer_alike_each_time(name):
    one, two = (MODELS[name]((32, 32, 3), 7, **SMALL.get(name, {})) for _ in range(2))
    assert one.input.dtype == tf.uint8
    assert (one.output.dtype, one.output.shape[1:]) == (tf.float32, (7,))
    assert one.layers[-1].name == "logits"
    assert one.layers[-1].activation is keras.activations.linear
    assert [layer.name for layer in one.layers] == [layer.name for layer in two.layers]
    assert one.name == name


@pytest.mark.some(every=3)
@pytest.mark.parametrize("name", TRAINED)
def test_prunes_trains_strips_and_exports(name, data, tmp_path):
    model = wrap(MODELS[name](data.input_shape, 4, **SMALL[name]))
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    random = np.random.default_rng(0)
    masks = {name: (random.random(mask.shape) < 0.5).astype(np.uint8) for name, mask in get_masks(model).items()}
    before = kernels(model)
    set_masks(model, masks)
    model.fit(training_batches(data.train, 8, shuffle=True, seed=0), steps_per_epoch=2, verbose=0)
    for kernel, values in kernels(model).items():
        assert not values[masks[kernel] == 0].any()
        assert (values != before[kernel])[masks[kernel] == 1].any(), f"{kernel} does not learn"
    stripped = strip(model)
    export(stripped, data, masks, tmp_path / "model")

    loaded = tf.saved_model.load(str(tmp_path / "model")).signatures
    expected = tf.nn.softmax(stripped(data.test.x[:3], training=False)).numpy()
    files = tf.stack([tf.io.encode_png(image) for image in data.test.x[:3]])
    for answer in (
        loaded["serving_default"](images=tf.constant(data.test.x[:3])),
        loaded["image_bytes"](image_bytes=files),
    ):
        np.testing.assert_allclose(answer["probabilities"], expected, atol=1e-6)
    large = random.integers(0, 256, (2, 75, 40, 3), np.uint8)
    assert loaded["serving_default"](images=tf.constant(large))["probabilities"].shape == (2, 4)


@pytest.mark.parametrize("name", ["lenet", "resnet8", "mobilenetv2"])
def test_keeps_float32_logits_under_mixed_precision(name):
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        model = wrap(MODELS[name]((32, 32, 3), 4, **SMALL[name]))
        logits = model(np.zeros((2, 32, 32, 3), np.uint8))
        assert logits.dtype == tf.float32
        assert model.layers[2].compute_dtype == "bfloat16"
    finally:
        keras.mixed_precision.set_global_policy("float32")


def test_pixels_become_numbers_from_minus_1_to_1():
    model = MODELS["resnet8"]((8, 8, 3), 4)
    rescale = model.get_layer("rescale")
    values = rescale(np.array([[[[0, 127, 255]]]], np.uint8)).numpy().ravel()
    np.testing.assert_allclose(values, [-1.0, -1 / 255, 1.0], atol=1e-6)


def test_weight_decay_penalises_squared_kernels_and_counts_once_under_wrappers():
    model = MODELS["resnet8"]((8, 8, 3), 4)
    expected = 2.5e-4 * sum(float((kernel**2).sum()) for kernel in kernels(model).values())
    assert float(tf.add_n(model.losses)) == pytest.approx(expected, rel=1e-5)
    assert float(tf.add_n(wrap(model).losses)) == pytest.approx(expected, rel=1e-5)
    assert MODELS["resnet8"]((8, 8, 3), 4, l2=0.0).losses == []


def test_shortcuts_are_convolutions_where_a_stage_widens_and_nowhere_else():
    names = [layer.name for layer in MODELS["resnet20"]((32, 32, 3), 10).layers]
    shortcuts = [name for name in names if name.endswith("_shortcut")]
    assert shortcuts == ["stage_2_block_1_shortcut", "stage_3_block_1_shortcut"]


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("lenet", {"dropout": 1.5}, r"model.dropout must be a fraction in \[0, 1\), got 1.5"),
        ("lenet", {"filters": (0,)}, "model.filters must be a whole number of at least 1, got 0"),
        ("lenet", {"batch_norm": "maybe"}, "model.batch_norm must be true or false, got maybe"),
        ("conv4", {"filters": (64,)}, "model.filters must have 2 for conv4, one a pair of convolutions, got 1"),
        ("resnet8", {"width": 0}, "model.width must be a whole number of at least 1, got 0"),
        ("resnet8", {"l2": -1}, "model.l2 must be a finite number of at least 0, got -1"),
        ("flowers_resnet", {"widths": "a"}, "model.widths must be a number, got 'a'"),
        ("mobilenetv2", {"alpha": 0.4, "pretrained": True}, "model.alpha must be one of 0.35, .*, got 0.4"),
    ],
)
def test_a_bad_setting_is_named_with_its_range(name, settings, message):
    with pytest.raises(ConfigError, match=message):
        MODELS[name]((32, 32, 3), 10, **settings)


@pytest.mark.parametrize("name", IMAGE_MODELS)
@pytest.mark.parametrize("shape", [(12,), (1, 1, 3)])
def test_what_is_no_image_or_too_small_is_refused(name, shape):
    with pytest.raises(ModelError, match=f"model {name} needs images of at least"):
        MODELS[name](shape, 3)


def test_pretrained_weights_that_cannot_be_had_are_named_with_their_folder(monkeypatch):
    def no_network(*_, **__):
        raise Exception("URL fetch failure on https://example.org: None -- Name or service not known")

    monkeypatch.setattr(keras.applications, "MobileNetV2", no_network)
    path = weights_file((96, 96, 3), 0.35)
    assert path.name == "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_0.35_96_no_top.h5"
    with pytest.raises(ModelError, match=f"{path.name} are not in .*models and cannot be downloaded") as caught:
        MODELS["mobilenetv2"]((96, 96, 3), 5, alpha=0.35, pretrained=True)
    assert "\n" not in str(caught.value)
