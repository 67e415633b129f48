"""A trained model as a SavedModel that plain TensorFlow loads, reloaded and compared before it counts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfprune.adapters.backend import keras, tf
from tfprune.adapters.keras3.layers import NAMES
from tfprune.adapters.loading.gate import load_graph, reload
from tfprune.adapters.tf_keras.mask_values import kernel_variables
from tfprune.data._base import Data, Inputs
from tfprune.data.objectives._base import Objective
from tfprune.data.objectives.classification import CLASSIFICATION
from tfprune.utils.errors import ModelError, SparsityError
from tfprune.utils.files import atomic_write

TOLERANCE = 1e-6  # largest difference of a probability between the trained and the reloaded model
COMPARED = 256  # examples of the validation split to compare on
ENCODED = "model_inputs"  # a signature beside the data set's own: takes what the model itself takes


class Classifier(tf.Module):
    """What is exported: raw inputs to answers (of classes class, label and probabilities), with nothing of Keras in it.

    Args:
        model: a stripped model of either Keras, on TensorFlow, that returns what the task is trained on, as logits.
        inputs: signature -> what raw inputs it takes and how they are encoded.
        labels: class names in order, or those of targets or labels.
        target: what the classes are of, e.g. `"species"`.
        objective: the task.
    """

    def __init__(
        self,
        model: keras.Model,
        inputs: Mapping[str, Inputs],
        labels: tuple[str, ...],
        target: str,
        objective: Objective = CLASSIFICATION,
    ) -> None:
        super().__init__(name="classifier")
        # Tracks the variables and not the layers, whose many traces would only make the file larger.
        self.weights, self.kernels = variables_of(model)
        self.tables = tables(model)
        self.labels = tf.Variable(list(labels), trainable=False, name="labels")
        self.task = tf.Variable(objective.name, trainable=False, name="task")
        self.target = tf.Variable(target, trainable=False, name="target")
        rows = inputs.get("serving_default", Inputs({}, dict))
        described = {"columns": dict(rows.columns), "optional": list(rows.optional), "unused": list(rows.unused)}
        described |= {"reading": dict(rows.reading)} if rows.reading else {}
        self.rows = tf.Variable(json.dumps(described), trainable=False, name="rows")  # what `tfprune predict` reads
        self._served = objective.served
        self.resources = [own for inputs in inputs.values() for own in inputs.resources]
        self._apply = lambda encoded: model(encoded, training=False)
        self._inputs = inputs
        dtype = tf.as_dtype(model.input.dtype)
        self._encoded_spec = tf.TensorSpec([None, *model.input_shape[1:]], dtype, name="inputs")

    def signatures(self) -> dict[str, tf.types.experimental.ConcreteFunction]:
        """Returns the functions to export, traced for batches of any size."""
        own = Inputs(
            {"inputs": (self._encoded_spec.dtype.name, self._encoded_spec.shape[1:])}, lambda raw: raw["inputs"]
        )
        traced = {name: self._trace(inputs) for name, inputs in {**self._inputs, ENCODED: own}.items()}
        if more := captured(self.weights, *traced.values()):
            self.captured = more
        return traced

    def _trace(self, inputs: Inputs) -> tf.types.experimental.ConcreteFunction:
        @tf.function(autograph=False)
        def classify(**raw: tf.Tensor) -> dict[str, tf.Tensor]:
            return self._classify(inputs.encode(raw))

        return classify.get_concrete_function(
            **{
                name: tf.TensorSpec([None, *shape], tf.as_dtype(dtype), name=name)
                for name, (dtype, shape) in inputs.signature.items()
            }
        )

    def _classify(self, encoded: tf.Tensor) -> dict[str, tf.Tensor]:
        return self._served(tf.cast(self._apply(encoded), tf.float32), self.labels)


def variables_of(model: Any) -> tuple[list[tf.Variable], dict[str, tf.Variable]]:
    """Returns a model's variables, its weights first, and its kernels by name."""
    if isinstance(model, keras.Model):
        return list(model.variables), kernel_variables(model)
    known = {id(own): own._value for own in (*model.weights, *model.variables)}  # of Keras 3, around TensorFlow's
    return list(known.values()), {own.name: own.variable._value for own in NAMES.named_kernels(model)}


def tables(model: keras.Model) -> list[Any]:
    """Returns what a model looks up in, which is no variable: tables of lookup layers, and a person's own."""
    known = [layer.lookup_table for layer in model._flatten_layers() if hasattr(layer, "lookup_table")]
    held = tf.train.TrackableView(model).descendants()
    kind = tf.saved_model.experimental.TrackableResource
    return list({id(own): own for own in (*known, *held) if isinstance(own, kind)}.values())


def captured(known: Sequence[tf.Variable], *traced: tf.types.experimental.ConcreteFunction) -> list[tf.Variable]:
    """Returns the variables that functions read beside those of Keras: of objects that it does not look into."""
    ids = {id(own) for own in known}
    found = {id(own): own for function in traced for own in function.variables}
    return [own for number, own in found.items() if number not in ids]


def module_of(model: Any, traced: tf.types.experimental.ConcreteFunction) -> tf.Module:
    """Returns what a function of a model needs to be saved, with nothing of Keras."""
    module = tf.Module(name="model")
    module.weights, _ = variables_of(model)
    module.captured = captured(module.weights, traced)
    module.tables = tables(model)
    return module


def save(module: tf.Module, path: Path, signatures: Mapping[str, tf.types.experimental.ConcreteFunction]) -> None:
    """Writes a SavedModel.

    Raises:
        ModelError: a function needs what nothing holds that TensorFlow looks into.
    """
    try:
        tf.saved_model.save(module, str(path), signatures=dict(signatures))
    except AssertionError as error:
        if "untracked" not in str(error):
            raise
        raise ModelError(
            f"{path}: the model looks up in a table that neither it nor one of its layers has as an attribute, and "
            "which no file would hold; make it one"
        ) from None


def load_weights(path: Path) -> list[np.ndarray]:
    """Reads the weights of an exported model, in the order of its layers."""
    return [variable.numpy() for variable in load_graph(path).weights]


def export(model: keras.Model, data: Data, masks: Mapping[str, np.ndarray], path: Path) -> dict[str, np.ndarray]:
    """Writes a SavedModel, loads it again and compares it with the model.

    Args:
        model: a stripped model that returns logits, or what else the task is trained on.
        data: gives the raw inputs, the labels and the examples to compare on (of the validation split).
        masks: of the pruned kernels.
        path: folder to write; replaced in one go.

    Returns:
        The kernels as the reloaded model has them, by name.

    Raises:
        ModelError: the reloaded model answers differently.
        SparsityError: a pruned weight of the reloaded model is not zero.
    """
    classifier = Classifier(model, data.inputs, data.labels, data.target, data.objective)
    answer, magnitude = data.objective.answer, data.objective.magnitude
    signatures = classifier.signatures()
    with atomic_write(path) as draft:
        save(classifier, draft, signatures)
        loaded = reload(draft)
        examples = tf.constant(np.asarray(data.validation.x[:COMPARED]), classifier._encoded_spec.dtype)
        expected = signatures[ENCODED](inputs=examples)[answer].numpy()
        answers = loaded.signatures[ENCODED](inputs=examples)[answer].numpy()
        difference = float(np.max(np.abs(answers - expected)))
        if not difference <= TOLERANCE * magnitude:
            raise ModelError(f"{path}: the exported model's {answer} differ from the trained one's by {difference:.2g}")
        kernels = {name: variable.numpy() for name, variable in loaded.kernels.items()}
        for name, mask in masks.items():
            if np.any(kernels[name][mask == 0]):
                raise SparsityError(f"{path}: pruned weights of {name} are not zero in the exported model")
    return kernels
