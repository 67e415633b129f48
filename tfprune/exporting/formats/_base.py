"""What a file format of trained models is."""

from __future__ import annotations

import dataclasses
import importlib
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from tfprune.adapters.backend import keras, tf
from tfprune.utils.errors import ModelError, TfpruneError
from tfprune.utils.text import one_line

if TYPE_CHECKING:
    from tfprune.data._base import Data

CALIBRATION = 256  # training examples from which the ranges of activations are taken for int8
TRACEBACK = re.compile(r".*in user code:.*?\n\s*(?=\w+(?:Error|Exception): )", re.DOTALL)  # that AutoGraph puts first
ANY_MODEL = "use the format savedmodel"  # the only one that holds whatever TensorFlow computes

Answer = Callable[[np.ndarray], np.ndarray]  # a batch of model inputs to probabilities
NamedAnswer = Callable[[Mapping[str, np.ndarray]], dict[str, np.ndarray]]  # batches of inputs to outputs, by name


@dataclasses.dataclass(frozen=True)
class Served:
    """A model as a file offers it: a function of named tensors.

    Args:
        model: float32, stripped.
        inputs: name -> what it takes, of any batch.
        call: inputs by name to outputs by name.
        examples: gives some inputs by name, from which the ranges of activations are taken for int8.
    """

    model: keras.Model
    inputs: Mapping[str, tf.TensorSpec]
    call: Callable[[Mapping[str, tf.Tensor]], dict[str, tf.Tensor]]
    examples: Callable[[], Mapping[str, np.ndarray]]

    def traced(self, *, inlined: bool = False) -> tf.types.experimental.ConcreteFunction:
        """Returns the function, traced anew.

        Args:
            inlined: without functions within it, not even those that XLA has to compile, such as Keras' grouped
                convolutions: no pass over the graph inlines these. What AutoGraph rewrites in them is then not.

        Raises:
            ModelError: TensorFlow cannot trace it.
        """
        call = self.call

        @tf.function
        def answer(**given: tf.Tensor) -> dict[str, tf.Tensor]:
            return call(given)

        before = tf.config.functions_run_eagerly()
        try:
            tf.config.run_functions_eagerly(inlined)  # inside of `answer`, which is traced all the same
            return answer.get_concrete_function(**self.inputs)
        except (OSError, MemoryError, TfpruneError):
            raise
        except Exception as error:  # of a call of a person's own, or of names that TensorFlow does not take
            said = str(error)
            reason = one_line(said[own.end() :] if (own := TRACEBACK.match(said)) else said)
            raise ModelError(f"the model cannot be made a graph of TensorFlow ({reason})") from error
        finally:
            tf.config.run_functions_eagerly(before)

    def singles(self) -> Iterator[dict[str, np.ndarray]]:
        """Yields the examples as batches of one."""
        given = self.examples()
        for number in range(len(next(iter(given.values())))):
            yield {name: own[number : number + 1] for name, own in given.items()}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Format:
    """A file format.

    Args:
        summary: one line for people: what it is for and what reads it.
        suffix: how its files end; "" if it is a folder.
        only: ends by which its own library knows its files; without any, all but those of other formats will do.
        quantize: what its numbers can be stored as, `"none"` first.
        write: from a stripped float32 model that returns logits, the data that it was trained on and one of
            `quantize` to a file or folder at the path.
        load: from such a file to what answers, with nothing of tfprune between.
        others: what else the summary says reads such files -> its `load`. Where one does not, the file still counts and
            the person is told.
        write_named, load_named, others_named: the same for a model with any inputs and outputs, by name. What
            `load_named` returns has them in an attribute `inputs`: name -> shape with the batch, and dtype.
    """

    summary: str
    suffix: str
    only: tuple[str, ...] = ()
    quantize: tuple[str, ...] = ("none",)
    write: Callable[[keras.Model, Data, Path, str], None]
    load: Callable[[Path], Answer]
    others: Mapping[str, Callable[[Path], Answer]] = dataclasses.field(default_factory=dict)
    write_named: Callable[[Served, Path, str], None]
    load_named: Callable[[Path], NamedAnswer]
    others_named: Mapping[str, Callable[[Path], NamedAnswer]] = dataclasses.field(default_factory=dict)


def classifier(model: keras.Model, data: Data | None) -> Served:
    """Returns a model that returns logits as a function of `inputs` to `probabilities`."""
    spec = tf.TensorSpec([None, *model.input_shape[1:]], model.input.dtype, name="inputs")

    def call(given: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return {"probabilities": tf.nn.softmax(tf.cast(model(given["inputs"], training=False), tf.float32))}

    return Served(model, {"inputs": spec}, call, lambda: {"inputs": calibration(data, spec.dtype.as_numpy_dtype)})


def alone(path: Path, answer: NamedAnswer, inputs: Collection[str], outputs: Collection[str]) -> Answer:
    """Returns what answers with a file of a `classifier`.

    Raises:
        ModelError: the file is another's.
    """
    if list(inputs) != ["inputs"] or list(outputs) != ["probabilities"]:
        raise ModelError(f"{path}: this model was not exported by tfprune (no one input, no probabilities)")
    return lambda given: answer({"inputs": given})["probabilities"]


def single(named: NamedAnswer, output: str) -> Answer:
    """Returns what answers with a file that has one input: from a batch of it to one of the outputs."""
    ((key, (_, dtype)),) = named.inputs.items()
    return lambda given: named({key: np.asarray(given, dtype)})[output]


def calibration(data: Data, dtype: np.dtype) -> np.ndarray:
    """Returns training examples to calibrate with, in the dtype of the model: a draw that is always the same."""
    chosen = np.random.default_rng(0).permutation(len(data.train))[:CALIBRATION]
    return np.asarray(data.train.x[np.sort(chosen)]).astype(dtype)


def refused(what: str, error: object, remedy: str) -> ModelError:
    """Says that a converter, which raises whatever it meets first, cannot express a model in its format."""
    return ModelError(f"{what} cannot hold this model ({one_line(error)}); {remedy}")


def extra(module: str) -> ModuleType:
    """Imports a package of the extra `export`.

    Raises:
        ModelError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        missing = (error.name or module).partition(".")[0]
        raise ModelError(f"the package {missing} is missing; pip install 'tfprune[export]'") from None
