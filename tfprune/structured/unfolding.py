"""Models in which layers that hold others are taken apart, so that their channels can be followed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from tfprune.adapters import adapter_of
from tfprune.adapters.graphs import Graphs, Shape
from tfprune.adapters.kernel_names import few
from tfprune.adapters.layer_traits import OWN_FRAMEWORKS, known_kind, traits_of
from tfprune.structured.channels import Channels
from tfprune.structured.probing import works_by_channel
from tfprune.structured.probing_widths import normalizes
from tfprune.structured.surgery import carry_weights

log = logging.getLogger(__name__)


def unfolded(model: Any) -> tuple[Any, Mapping[str, str]]:
    """Takes apart those layers of a model that hold others and through which channels are not followed.

    Returns:
        The model itself if there is none, or one that does the same, and goes on with its training in the same way,
        of the layers that are in them. And name of a layer that was not taken apart -> why.
    """
    graphs = adapter_of(model).graphs
    if not graphs.is_graph(model):
        return model, {}
    found = graphs.unfold(model, lambda *call: _followed(graphs, *call))
    if found.remade is None:
        return model, found.reasons
    pairs = carry_weights(graphs, Channels((), {}, {}, {}, {}), [], found.remade.layers)
    graphs.carry_on(model, found.remade.model, pairs, lambda weight, slot: slot, None)
    graphs.carry_masks(model, found.remade.model, pairs, lambda weight, mask: mask)
    log.warning("taken apart, with the layers that are in them in their place: %s", few(found.apart))
    return found.remade.model, found.reasons


def layers_to_take_apart(model: Any) -> Collection[str]:
    """Returns the names of the layers that `unfolded` takes apart."""
    graphs = adapter_of(model).graphs
    return graphs.unfold(model, lambda *call: _followed(graphs, *call)).apart if graphs.is_graph(model) else ()


def _followed(graphs: Graphs, layer: Any, inputs: Sequence[Shape], outputs: Callable[[], Sequence[Shape]]) -> bool:
    """Returns whether channels are followed through a layer, or it is one of Keras' own that may mix them."""
    own = type(layer).__module__.partition(".")[0] in OWN_FRAMEWORKS
    if traits_of(layer).channels is not None or (own and known_kind(layer) is type(layer)):
        return True
    shapes = [*inputs, *outputs()]
    if len(set(shapes)) != 1:
        return False
    known = len(inputs) == 1 and normalizes(graphs, layer, shapes[0])
    return known or works_by_channel(graphs, layer, shapes[0], len(inputs))
