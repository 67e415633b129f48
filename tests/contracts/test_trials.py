"""Every data set under every method, and every model: trained on slices, pruned, exported, answering.

Image data come from prepared copies (TFDS_DATA_DIR or ../shared/tensorflow_datasets beside the checkout); a trial
whose data are not there says so and is skipped.
"""

import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tfprune.backend import keras, tf
from tfprune.config import Config
from tfprune.cuts import keep_after
from tfprune.data import DATASETS
from tfprune.experiment import train
from tfprune.methods import METHODS
from tfprune.models import MODELS
from tfprune.pruning import prune
from tfprune.wrapping import get_masks, kernels, strip, wrap

PREPARED = Path(os.environ.get("TFDS_DATA_DIR") or Path(__file__).parents[2] / "../shared/tensorflow_datasets")
TFDS_NAMES = {"flowers": "tf_flowers"}
CHEAP_MODEL = {"cifar10": "resnet8"}  # where the default one is slow to build
IMAGE_MODELS = [name for name in MODELS if name != "mlp"]


def needs(dataset):
    if dataset == "penguins":
        return None
    if not (PREPARED / TFDS_NAMES.get(dataset, dataset)).is_dir():
        pytest.skip(f"no prepared copy of {dataset}; set TFDS_DATA_DIR")
    return str(PREPARED)


@pytest.mark.parametrize("method", list(METHODS))
@pytest.mark.parametrize("dataset", list(DATASETS))
def test_every_method_prunes_every_data_set(dataset, method, tmp_path):
    config = Config(
        dataset=dataset, method=method, model=CHEAP_MODEL.get(dataset), data_dir=needs(dataset), out=tmp_path,
        epochs=3, limit=24, batch_size=12, warmup_epochs=0.0,
    )  # fmt: skip
    result = train(config)
    for name, count in result.metrics["sparsity"]["layers"].items():
        assert count["zeros"] == count["size"] - keep_after(config.pruning.cuts, count["size"]), name
    assert np.isfinite(result.metrics["test"]["loss"])
    assert result.metrics["epochs"] == (6 if method == "lottery" else 3)
    if dataset != "penguins":
        check_image_signatures(result)


def check_image_signatures(result):
    """A person's images, of any size and as files, get the same answers as pixels."""
    loaded = tf.saved_model.load(str(result.model))
    specs = loaded.signatures["serving_default"].structured_input_signature[1]["images"]
    channels = specs.shape[-1]
    pixels = np.random.default_rng(0).integers(0, 256, (2, 40, 57, channels), np.uint8)
    answers = loaded.signatures["serving_default"](images=tf.constant(pixels))
    files = []
    for image in pixels:
        content = io.BytesIO()
        Image.fromarray(image.squeeze()).save(content, "PNG")
        files.append(content.getvalue())
    from_files = loaded.signatures["image_bytes"](image_bytes=tf.constant(files))
    np.testing.assert_allclose(from_files["probabilities"], answers["probabilities"], atol=1e-6)
    assert answers["label"].numpy()[0].decode() in result.config.to_dict() or len(loaded.labels.numpy()) >= 5


@pytest.mark.parametrize("name", IMAGE_MODELS)
def test_every_image_model_wraps_trains_keeps_its_zeros_and_strips(name):
    side = 96 if name in ("flowers_resnet", "mobilenetv2") else 32
    random = np.random.default_rng(0)
    x, y = random.integers(0, 256, (8, side, side, 3), np.uint8), random.integers(0, 4, 8)
    plain = MODELS[name]((side, side, 3), 4)
    assert plain.output.dtype == tf.float32 and plain.output.shape == (None, 4)
    expected = plain.predict(x, verbose=0)
    np.testing.assert_allclose(strip(wrap(plain)).predict(x, verbose=0), expected, atol=1e-5)

    model = wrap(prune(plain, 0.5))
    dead = {key: kernel == 0 for key, kernel in kernels(model).items()}
    from tfprune.wrapping import set_masks

    set_masks(model, {key: 1 - zero.astype(np.uint8) for key, zero in dead.items()})
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(x, y, batch_size=4, verbose=0)
    for key, kernel in kernels(model).items():
        assert not kernel[dead[key]].any() and get_masks(model)[key].sum() == (~dead[key]).sum()


@pytest.mark.parametrize("name", list(MODELS))
def test_every_layer_of_a_model_has_a_name_of_its_own(name):
    """TensorBoard's tags and masks go by layer names, which must not drift from run to run."""
    side = 96 if name in ("flowers_resnet", "mobilenetv2") else 32
    first, second = ([layer.name for layer in MODELS[name]((side, side, 3), 4).layers] for _ in range(2))
    assert first == second and len(set(first)) == len(first)
