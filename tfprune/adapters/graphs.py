"""What taking channels out of a model asks of a framework: its graph, and it made again with changes. NumPy only.

`structured` knows frameworks through this alone; `adapters/tf_keras/graphs.py` and `adapters/keras3/graphs.py` answer.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from tfprune.adapters.batches import Batch
from tfprune.adapters.kernel_names import KernelNames

if TYPE_CHECKING:
    from tfprune.adapters.unfolding import Followed, Unfolded

Shape = tuple[int | None, ...]
# inputs and class numbers of a model that returns logits, or labels and a function of them and outputs; or a batch
Examples = tuple[np.ndarray, np.ndarray] | tuple[np.ndarray, np.ndarray, Callable[[Any, Any], Any]] | Batch


@dataclasses.dataclass(frozen=True)
class Node:
    """A call in a model's graph.

    Attributes:
        key: what the call is known by.
        layer: the layer, model or operation that is called.
        args, kwargs: what it is called with; tensors among it are those of `inputs`.
        inputs, outputs: symbolic tensors, in the order in which they stand in the call.
        depth: how many calls at most lie between it and the end of the graph.
    """

    key: int
    layer: Any
    args: Sequence[Any]
    kwargs: Mapping[str, Any]
    inputs: Sequence[Any]
    outputs: Sequence[Any]
    depth: int


@dataclasses.dataclass(frozen=True)
class Graph:
    """The calls of a functional or sequential model.

    Attributes:
        inputs, outputs: symbolic tensors.
        input_layers: the layers that stand for the inputs, in their order.
        nodes: the calls, each after those that it needs; inputs are none.
    """

    inputs: Sequence[Any]
    outputs: Sequence[Any]
    input_layers: Sequence[Any]
    nodes: Sequence[Node]


@dataclasses.dataclass(frozen=True)
class Option:
    """A setting of an operation, or an argument of its call.

    Attributes:
        key: name of the setting; name or place of the argument.
        value: what it is.
        argument: whether it is an argument.
    """

    key: str | int
    value: Any
    argument: bool


@dataclasses.dataclass(frozen=True)
class Change:
    """What becomes of a setting or an argument.

    Attributes:
        key: name of the setting, or the names on the way to it through nested ones; name or place of the argument.
        change: from the value (an array of NumPy where it is a tensor) to the new one.
    """

    key: str | int | tuple[str, ...]
    change: Callable[[Any], Any]


@dataclasses.dataclass(frozen=True)
class Changes:
    """What is different in a model that is made again.

    Attributes:
        settings: id of a layer or operation -> changes of its settings.
        arguments: key of a call -> changes of its arguments.
        narrowed: (weight, an array that fits it) -> the array that fits it afterwards.
        gone: ids of the layers of the model that are left out.
        sums: id of a sum -> the places of its inputs that it is left with.
    """

    settings: Mapping[int, Sequence[Change]] = dataclasses.field(default_factory=dict)
    arguments: Mapping[int, Sequence[Change]] = dataclasses.field(default_factory=dict)
    narrowed: Callable[[Any, np.ndarray], np.ndarray] = lambda weight, array: array
    gone: Collection[int] = ()
    sums: Mapping[int, Sequence[int]] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Remade:
    """A model that was made again, and what has become of its parts.

    Attributes:
        model: the new one.
        layers: the layers that stay, those of nested models and the models too, each with the new one.
        operations: id of a layer or operation -> the new one.
        calls: key of a call in a functional graph -> key of the new call.
    """

    model: Any
    layers: Sequence[tuple[Any, Any]]
    operations: Mapping[int, Any]
    calls: Mapping[int, int]


@dataclasses.dataclass(frozen=True)
class Penalty:
    """What makes some numbers of a weight smaller while a model is trained.

    Attributes:
        weight: a trainable variable.
        shape: of its strengths, which broadcasts to that of the weight: 1 where a side has one strength for all.
        absolute: the gradient is the strength times the sign of the weight (of its size); else times the weight (of
            half of its square).
    """

    weight: Any
    shape: tuple[int, ...]
    absolute: bool = False


class Penalties(Protocol):
    """Penalties on a model's weights, until they are released."""

    def set(self, strengths: Sequence[np.ndarray]) -> None:
        """Sets how strong each penalty is, of its shape; 0 at first."""

    def held(self) -> bool:
        """Returns whether the model's optimizer of now goes by them; one that it was compiled with since does not."""

    def release(self) -> None:
        """Ends the penalties."""


class Graphs(Protocol):
    """The graphs of a framework's models.

    Attributes:
        names: finds kernels and names them.
    """

    names: KernelNames

    @property
    def equal_attention(self) -> bool:
        """Whether attention works only with keys and values of one size, where it is that of both."""

    def scope(self, model: Any) -> contextlib.AbstractContextManager[Any]:
        """Returns where variables are made that go with those of a model."""

    def weights(self, model: Any) -> list[tuple[str, Any]]:
        """Returns the weights of a model in the order of `MaskedModel.weights`, with the names of their layers.

        Those that the model holds itself may be left out at the end.
        """

    def kernels(self, model: Any) -> dict[str, Any]:
        """Returns the prunable kernels of a model without masks by name."""

    def macs_per_kernel(self, model: Any) -> dict[str, int]:
        """Returns the multiply-adds of an example's forward pass by kernel, as far as they are counted."""

    def has_graph(self, layer: Any) -> bool:
        """Returns whether a layer is a functional or sequential model, built."""

    def is_graph(self, layer: Any) -> bool:
        """Returns whether a layer has a graph and no `call` of its class's own, which may do more than that tells."""

    def graph(self, model: Any) -> Graph:
        """Returns the graph of a model that has one."""

    def shape(self, tensor: Any) -> Shape | None:
        """Returns the shape of a symbolic tensor; None if not even its number of axes is known, or it has none."""

    def is_tensor(self, value: Any) -> bool:
        """Returns whether something is a symbolic tensor of a graph."""

    def symbol(self, layer: Any) -> str | None:
        """Returns the name of an operation in lower case, without `_`; None if it is a layer."""

    def options(self, node: Node) -> dict[str, Option]:
        """Returns the arguments of a call by the names of the parameters and, of an operation, its settings."""

    def leaf_layers(self, model: Any) -> Iterable[Any]:
        """Returns every layer once, those of nested models in the place of the models; subclassed ones are leaves."""

    def kernels_of(self, layer: Any) -> Sequence[Any]:
        """Returns the kernels of a layer and of all layers inside of it."""

    def learned(self, layer: Any) -> Sequence[Any]:
        """Returns the weights that a layer itself learns where it is not frozen."""

    def numbers(self, variable: Any) -> np.ndarray:
        """Returns a copy of the values of a variable."""

    def assign(self, variable: Any, values: np.ndarray) -> None:
        """Sets a variable."""

    def make_again(self, model: Any, changes: Changes) -> Remade:
        """Makes a model again, layer by layer and call by call, with weights of its own; it is not compiled.

        Raises:
            ModelError: a layer or model cannot be made again.
        """

    def unfold(self, model: Any, followed: Followed) -> Unfolded:
        """Makes a model again in which layers that hold others and are not followed are taken apart."""

    def carry(self, old: Any, new: Any, weights: Sequence[np.ndarray] | None) -> None:
        """Gives a layer that was made from another's settings all that the other knows; None: the same weights."""

    def carry_on(
        self,
        model: Any,
        smaller: Any,
        pairs: Iterable[tuple[Any, Any]],
        narrowed: Callable[[Any, np.ndarray], np.ndarray],
        compiled: Callable[[Any], None] | None,
    ) -> None:
        """Compiles a smaller model as `model` is compiled, if it is, and lets its optimizer go on.

        Args:
            model, smaller: the two.
            pairs: weights of `model` and of `smaller` of which slots are carried over.
            narrowed: see `Changes`.
            compiled: compiles the smaller model instead.
        """

    def carry_masks(
        self,
        model: Any,
        smaller: Any,
        pairs: Iterable[tuple[Any, Any]],
        narrowed: Callable[[Any, np.ndarray], np.ndarray],
    ) -> None:
        """Gives a smaller model, compiled or not, what is left of the masks in place of `model`, if it has some.

        Args:
            model, smaller: the two.
            pairs: all weights of `model` that are left, and those of `smaller`.
            narrowed: see `Changes`.
        """

    def layer_again(self, layer: Any, settings: Mapping[str, Any]) -> Any:
        """Returns a new layer of the same class, not built, of other settings.

        Raises:
            Exception: whatever the layer does.
        """

    def call(self, function: Callable[..., Any], *inputs: Any, **kwargs: Any) -> Any:
        """Calls a function, layer or model with arrays; returns an array, or a structure of arrays."""

    def values_at(self, model: Any, tensors: Sequence[Any], inputs: Any) -> list[np.ndarray]:
        """Returns what symbolic tensors of a model's graph are for given inputs."""

    def probes(self, tensors: Sequence[Any], rows: int, seed: int, numbers: int, words: Sequence[str]) -> list[Any]:
        """Returns random inputs: floats; whole numbers below `numbers`; `words`."""

    def slopes(self, model: Any, variables: Sequence[Any], examples: Examples) -> list[np.ndarray]:
        """Returns the derivatives of a loss with respect to variables, dense.

        Args:
            model: returns logits if `examples` are inputs and class numbers; if they are a batch, its compiled loss is
                taken.
            variables: of the model, frozen ones too.
            examples: see `Examples`.
        """

    def penalize(self, model: Any, penalties: Sequence[Penalty]) -> Penalties:
        """Adds penalties' gradients to those that the optimizer of a compiled model is given."""

    def check(self, model: Any) -> None:
        """Raises `ModelError` if a model has no weights yet."""

    def parameters(self, model: Any) -> int:
        """Returns how many numbers a model holds."""
