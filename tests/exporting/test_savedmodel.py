import json
import subprocess
import sys

import numpy as np
import pytest

from tfprune.adapters.backend import tf
from tfprune.adapters.tf_keras.mask_values import get_masks, get_weights, set_weights
from tfprune.adapters.tf_keras.wrapping import strip, wrap
from tfprune.data.penguins import load
from tfprune.experiments.building import build, load_data
from tfprune.experiments.experiment import train
from tfprune.exporting.savedmodel import Classifier, export, load_weights
from tfprune.training.precision import in_float32
from tfprune.utils.errors import ModelError, SparsityError

PLAIN = """
import json, sys
import tensorflow as tf
model = tf.saved_model.load(sys.argv[1])
answers = model.signatures["serving_default"](
    island=tf.constant(["Biscoe", "Dream"]), bill_length_mm=tf.constant([39.1, 50.0]),
    bill_depth_mm=tf.constant([18.7, 19.0]), flipper_length_mm=tf.constant([181.0, 200.0]),
    body_mass_g=tf.constant([3750.0, 4000.0]), sex=tf.constant(["male", "female"]),
    year=tf.constant([2007, 2009], tf.int64))
print(json.dumps({
    "class": answers["class"].numpy().tolist(),
    "label": [label.decode() for label in answers["label"].numpy()],
    "probabilities": answers["probabilities"].numpy().tolist(),
    "labels": [label.decode() for label in model.labels.numpy()],
    "foreign": [name for name in sys.modules if name.startswith(("tfprune", "tensorflow_model_optimization"))],
}))
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    from tfprune.training.config import Config

    return train(Config(dataset="penguins", epochs=60, out=str(tmp_path_factory.mktemp("runs"))))


def test_plain_tensorflow_loads_it_in_a_process_without_this_package(finished):
    # -I keeps the repository off the path; the answers must come from the SavedModel alone.
    done = subprocess.run(
        [sys.executable, "-I", "-c", PLAIN, finished.model], capture_output=True, text=True, check=True
    )
    answers = json.loads(done.stdout.splitlines()[-1])
    assert answers["foreign"] == []
    assert answers["labels"] == ["Adelie", "Chinstrap", "Gentoo"]
    assert answers["label"] == [answers["labels"][number] for number in answers["class"]]
    np.testing.assert_allclose(np.sum(answers["probabilities"], axis=1), 1, atol=1e-6)
    assert np.argmax(answers["probabilities"], axis=1).tolist() == answers["class"]


def test_the_reloaded_model_has_the_masks_and_answers_like_the_metrics_say(finished):
    loaded = tf.saved_model.load(str(finished.model))
    for name, mask in finished.masks().items():
        np.testing.assert_array_equal(loaded.kernels[name].numpy() == 0, mask == 0)
    test = load(seed=finished.config.seed).test
    answers = loaded.signatures["model_inputs"](inputs=tf.constant(test.x))
    accuracy = np.mean(answers["class"].numpy() == test.y)
    assert accuracy == pytest.approx(finished.metrics["test"]["accuracy"], abs=1e-6)
    probabilities = answers["probabilities"].numpy()[np.arange(len(test)), test.y]
    assert -np.mean(np.log(probabilities)) == pytest.approx(finished.metrics["test"]["loss"], abs=1e-5)


def test_an_export_that_answers_differently_does_not_count(tiny, tmp_path, monkeypatch):
    data = load_data(tiny())
    model = build(tiny(), data)
    weights = model.get_weights
    save = tf.saved_model.save

    def save_something_else(classifier, *arguments, **options):
        bias = classifier.weights[1]
        bias.assign_add([1.0] + [0.0] * 11)
        save(classifier, *arguments, **options)
        bias.assign_sub([1.0] + [0.0] * 11)

    monkeypatch.setattr(tf.saved_model, "save", save_something_else)
    with pytest.raises(ModelError, match="probabilities differ from the trained one's by"):
        export(strip(model), data, get_masks(model), tmp_path / "model")
    assert list(tmp_path.iterdir()) == []
    assert weights


def test_an_export_with_a_pruned_weight_off_zero_does_not_count(tiny, tmp_path):
    data = load_data(tiny())
    model = build(tiny(), data)
    masks = get_masks(model)
    masks["dense_1/kernel"][0, 0] = 0
    with pytest.raises(SparsityError, match="pruned weights of dense_1/kernel are not zero in the exported model"):
        export(strip(model), data, masks, tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_every_signature_of_the_data_set_is_exported(tiny):
    data = load_data(tiny())
    model = build(tiny(), data)
    classifier = Classifier(strip(model), data.inputs, data.labels, data.target)
    assert set(classifier.signatures()) == {*data.inputs, "model_inputs"}
    assert set(classifier.signatures()["serving_default"].structured_outputs) == {"class", "label", "probabilities"}


def test_weights_read_back_in_the_order_of_the_layers(conv_net, tmp_path):
    model = wrap(conv_net)
    expected = get_weights(model)
    tf.saved_model.save(Classifier(in_float32(strip(model)), {}, ("a", "b", "c"), "kind"), str(tmp_path / "model"))
    read = load_weights(tmp_path / "model")
    set_weights(model, [np.zeros_like(weight) for weight in expected])
    set_weights(model, read)
    for weight, original in zip(get_weights(model), expected, strict=True):
        np.testing.assert_array_equal(weight, original)
