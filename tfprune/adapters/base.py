"""What the engine asks of a framework: arrays in and out of a model with masks. NumPy only.

An adapter is a package beside this file. `adapters.adapter_of` finds the one of a model by the module that its class
comes from; `tests/contracts/test_adapters.py` holds each to the same promises.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from tfprune.adapters.batches import Batch
from tfprune.adapters.graphs import Graphs
from tfprune.adapters.layer_facts import LayerSummary
from tfprune.pruning.events import Criterion
from tfprune.pruning.masks import Arrays


class MaskedModel(Protocol):
    """A model whose pruned weights are zero at any moment that someone can look, as the engine sees it."""

    def kernels(self) -> Mapping[str, np.ndarray]:
        """Returns the prunable kernels by name, each read when it is asked for."""

    def masks(self) -> dict[str, np.ndarray]:
        """Returns the masks by kernel name, uint8, 1 where a weight lives."""

    def set_masks(self, masks: Arrays) -> None:
        """Puts masks on: pruned weights become zero, and what the optimizer remembers of them starts anew."""

    def weights(self) -> list[np.ndarray]:
        """Returns all weights, those of layers without kernels and statistics too, in an order that stays."""

    def set_weights(self, weights: Sequence[np.ndarray]) -> None:
        """Puts weights back; what is pruned stays zero."""

    def gradients(self, kind: str, criterion: Criterion) -> Arrays:
        """Returns derivatives by kernel name, see `GradientProvider`."""

    def renew(self) -> None:
        """Says that the model has changed since derivatives were taken."""


class GradientProvider(Protocol):
    """The derivatives of a model as it stood at the last `renew`.

    Attributes:
        passes: what was computed so far, in forward passes of one example.
    """

    passes: int

    def renew(self) -> None:
        """Forgets all derivatives."""

    def __call__(self, kind: str, criterion: Criterion) -> Arrays:
        """Returns derivatives by kernel name.

        Args:
            kind: `gradients`, `hessian_gradients`, `squared_gradients` or `flow_gradients`.
            criterion: who asks: how many examples of each class, and at what temperature of the logits.
        """


class Adapter(Protocol):
    """A framework's models.

    Attributes:
        name: of the package that they come from.
        graphs: what taking channels out of them asks.
    """

    name: str
    graphs: Graphs

    def check(self, model: Any, *, copied: bool) -> None:
        """Raises `ModelError` if a model has no weights yet or, where it is to be `copied`, cannot be."""

    def copy(self, model: Any) -> Any:
        """Returns a copy of a model with its weights and state, not compiled."""

    def attach(
        self,
        model: Any,
        exclude: Collection[str] = (),
        include: Collection[str] = (),
        gradients: GradientProvider | None = None,
    ) -> MaskedModel:
        """Gives all kernels of a model masks of ones, in place.

        Args:
            model: any that has weights.
            exclude: names of layers that are never pruned; `first`, `last` and `frozen` stand for those.
            include: names of weights with two axes or more that are no kernels of known layers, or of layers that have
                some: they get masks too.
            gradients: for criteria that ask for derivatives.

        Raises:
            ModelError: nothing is left to prune, or a name is that of no prunable layer or weight.
        """

    def masks(self, model: Any) -> Any:
        """Returns the masks that a model has in place, an object of the framework's own; None without."""

    def sharing(self, model: Any) -> list[Any]:
        """Returns the other models in memory that hold a weight of a model."""

    def compile_steps_anew(self, models: Iterable[Any]) -> None:
        """Lets models compile their training step again: it may not know what masks have been put on its kernels."""

    def masked(self, model: Any) -> bool:
        """Returns whether a model has masks in place."""

    def pruned(self, model: Any) -> bool:
        """Returns whether a model, or one inside of it, has masks in place under which weights are zero."""

    def hold(self, model: Any) -> None:
        """Makes the optimizer that a model has been compiled with keep to the masks."""

    def unmasked(self, model: Any) -> MaskedModel:
        """Returns a model that has no masks as the engine sees it."""

    def stretches(self, model: Any, fit: Mapping[str, Any], initial_epoch: int, epochs: int) -> Any:
        """Returns the arguments of `fit` for a training in several calls of it, see `stretches.Stretches`."""

    def one_training(
        self, callbacks: Sequence[Any], model: Any, *, verbose: int | str, epochs: int, steps: int | None
    ) -> Any:
        """Returns a list of callbacks that see one training meanwhile, see `stretches.Continuous`."""

    def detach(self, model: Any) -> None:
        """Takes the masks off: the weights stay as they are, and may leave zero from then on."""

    def slots(self, optimizer: Any, variable: Any) -> list[np.ndarray]:
        """Returns what an optimizer remembers, weight by weight, of a variable."""

    def fresh_optimizer(self, optimizer: Any) -> Any:
        """Returns an optimizer of the same settings that has made no step."""

    def compiled(self, model: Any) -> Mapping[str, Any]:
        """Returns the arguments that a model was compiled with, its optimizer among them.

        Raises:
            ModelError: it is not compiled.
        """

    def compile(self, model: Any, arguments: Mapping[str, Any]) -> None:
        """Gives a model an optimizer that has made no step, held to the masks; compiles it first if it is not.

        Args:
            model: with masks.
            arguments: of `compile`, as `compiled` returns them.

        Raises:
            ModelError: the optimizer cannot be made anew, or the model compiles itself in a way of its own.
        """

    def gradients(self, model: Any, sample: Callable[[int], Batch]) -> GradientProvider:
        """Returns the derivatives of the loss that a model will be compiled with.

        Args:
            model: that is to be masked.
            sample: draws training examples, so many of each class where there are classes.
        """

    def callback(self, listener: Any) -> Any:
        """Returns a callback of the framework that calls an object's methods of the names of Keras' hooks.

        The listener's `model` and `params` are set as those of a callback are. A method `on_fit_end` is called after
        the last callback's `on_train_end`.
        """

    def sync(self, model: Any) -> None:
        """Puts what a training has come to into a model's variables, where a framework holds it elsewhere meanwhile."""

    def learning_rate(self, model: Any) -> float | None:
        """Returns the learning rate of a model's optimizer; None if a schedule sets it, or there is no optimizer."""

    def set_learning_rate(self, model: Any, rate: float) -> None:
        """Sets the learning rate of a model's optimizer, which has no schedule."""

    def redraw(self, model: Any, seed: int) -> list[np.ndarray]:
        """Returns other initial weights in the order of `MaskedModel.weights`.

        Raises:
            ModelError: the model cannot be built again.
        """

    def layers(self, model: Any, include: Collection[str] = ()) -> Sequence[LayerSummary]:
        """Returns what is known of each layer of a model that holds numbers or multiplies, in its order."""

    def macs_per_kernel(self, model: Any) -> Mapping[str, tuple[int, Any]]:
        """Returns the multiply-adds of an example's forward pass by kernel or product.

        Each with the kernel's mask, which NumPy can read, or None where nothing is masked.
        """

    def uncounted(self, model: Any) -> Mapping[str, str]:
        """Returns the names of the layers of which those leave something out, with the reason."""

    def report_unprunable(self, model: Any, include: Collection[str] = ()) -> None:
        """Says, in a warning, what of a model's weights cannot be pruned."""


Redraw = Callable[[], Sequence[np.ndarray]]  # other initial weights, in the order of `MaskedModel.weights`
