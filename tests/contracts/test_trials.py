"""All trials: every data set under every method, trained on a slice, pruned, exported, answering.

Images are those of small copies that the tests write; of slow tests slices of the real ones, where there is a copy of
those, as `tests/data/test_data_tfds.py` reads always.
"""

import io

import numpy as np
import pytest
from PIL import Image
from prepared import COPIES, STORED

from tfprune.adapters.backend import tf
from tfprune.data import DATASETS
from tfprune.experiments.experiment import train
from tfprune.methods import METHODS, TRIALS
from tfprune.methods._dynamic_sparse import DynamicSparseTraining
from tfprune.pruning.events import keep_after
from tfprune.training.config import Config

SMALL = {  # each data set's kind of model, small
    "penguins": {},
    "fashion_mnist": {"model_settings": {"filters": (8, 8), "hidden": (16,)}},
    "flowers": {"model_settings": {"widths": (8, 8, 16)}},
    "cifar10": {"model": "resnet8", "model_settings": {"width": 8}},
}


def data_folder(dataset, copies, real):
    if dataset not in STORED:
        return None
    return COPIES if real and (COPIES / STORED[dataset][0]).is_dir() else copies


def trials():
    """Every pair of a data set and a method; of the trials each method on penguins, and dynamic on each data set.

    Those of a data set follow each other: then it is read once. All others are left to the slow tests: a method knows
    no data, and those that are no trials get real images.
    """
    for dataset in DATASETS:
        for method in METHODS:
            usual = method in TRIALS and (dataset not in STORED or method == "dynamic")
            marks = () if usual else pytest.mark.slow
            yield pytest.param(dataset, method, method not in TRIALS, marks=marks, id=f"{dataset}-{method}")


@pytest.mark.parametrize(("dataset", "method", "real"), list(trials()))
def test_every_method_prunes_every_data_set(dataset, method, real, copies, tmp_path):
    many = METHODS[method].defaults().get("rounds", 1) > 1
    config = Config(
        settings={"rounds": 2} if many else {},
        dataset=dataset, method=method, data_dir=data_folder(dataset, copies, real), out=tmp_path,
        epochs=3, limit=24, batch_size=12, warmup_epochs=0.0, scope="layer", **SMALL.get(dataset, {}),
    )  # fmt: skip
    result = train(config)
    for name, count in result.metrics["sparsity"]["layers"].items():
        kept = keep_after(config.pruning.pruning_events, count["size"])
        assert result.masks()[name].sum() == kept, name
        assert count["zeros"] == count["size"] - kept or isinstance(config.pruning, DynamicSparseTraining), name
    assert np.isfinite(result.metrics["test"]["loss"])
    assert result.metrics["epochs"] == config.pruning.total_epochs(3)
    if dataset in STORED:
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
    labels = loaded.labels.numpy()
    np.testing.assert_array_equal(answers["label"].numpy(), labels[answers["class"].numpy()])
