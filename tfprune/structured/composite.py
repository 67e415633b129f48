"""What layers that are made of others make of the channels of their inputs: recurrent ones, attention; see `rules`."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from tfprune.adapters.layer_traits import traits_of
from tfprune.structured.elementwise import elementwise
from tfprune.structured.labels import Fixed, Labels
from tfprune.structured.rules import Known
from tfprune.structured.tracing import Call, Trace, Traced

GATES = {"LSTM": 4, "GRU": 3, "SimpleRNN": 1, "ConvLSTM1D": 4, "ConvLSTM2D": 4, "ConvLSTM3D": 4}


def recurrent(trace: Trace, call: Call) -> Known:
    """Units go with their gates, and with what of the last step they give to the next."""
    if len(call.inputs) != 1:  # the others are initial states
        return None
    units = _units(trace, call, "units")
    return None if units is None else _sequences(call, call.layer, units)


def _sequences(call: Call, layer: Any, units: Labels) -> Known:
    shape = call.outputs[0]
    if layer.return_state:
        return None
    return Traced(shape, {len(shape) - 1: units})


def _units(trace: Trace, call: Call, key: str) -> Labels | None:
    """Notes the weights of a recurrent layer; returns the labels of its units, None if it is of another kind."""
    layer, (tensor,) = call.layer, call.inputs
    gates = GATES.get(type(layer).__name__)
    cell = getattr(layer, "cell", None)
    if gates is None or layer.stateful or layer.return_state or not hasattr(cell, "recurrent_kernel"):
        return None
    names = ("activation", "recurrent_activation")
    if not all(elementwise(getattr(cell, name, None), call.graphs.call) for name in names):
        return None
    for labels in tensor.others().values():
        trace.protect(labels, f"{layer.name} ({type(layer).__name__}) goes through them")
    kernel, own = cell.kernel, cell.recurrent_kernel
    rank = len(kernel.shape)
    trace.index(kernel, rank - 2, tensor.last)
    labels = trace.make(call, int(kernel.shape[rank - 1]) // gates, key=key)
    tiled = np.tile(labels, gates)
    trace.makes(kernel, rank - 1, tiled)
    trace.makes(own, rank - 1, tiled)
    trace.index(own, rank - 2, labels)
    bias = getattr(cell, "bias", None)
    if bias is not None:
        trace.index(bias, len(bias.shape) - 1, tiled)
    trace.read(labels)
    return labels


def convolutional(trace: Trace, call: Call) -> Known:
    """ConvLSTM: as recurrent layers, with filters for units."""
    if len(call.inputs) != 1 or getattr(call.layer, "data_format", "channels_last") != "channels_last":
        return None
    filters = _units(trace, call, "filters")
    return None if filters is None else _sequences(call, call.layer, filters)


def both_directions(trace: Trace, call: Call) -> Known:
    """The same units go from both directions, which have one setting."""
    layer, shape = call.layer, call.outputs[0]
    forward, backward = layer.forward_layer, layer.backward_layer
    if len(call.inputs) != 1 or type(forward) is not type(backward) or layer.merge_mode is None:
        return None
    if traits_of(forward).channels not in ("recurrent", "convolutional"):
        return None
    sides = [tuple(own.cell.kernel.shape) for own in (forward, backward)]
    if sides[0] != sides[1]:  # they have a setting each
        return None
    key = "units" if traits_of(forward).channels == "recurrent" else "filters"
    found = [
        _units(trace, dataclasses.replace(call, layer=own, way=(*call.way, way, "config")), key)
        for own, way in ((forward, "layer"), (backward, "backward_layer"))
    ]
    if found[0] is None or found[1] is None:
        return None
    labels = trace.merge(found)
    labels = np.tile(labels, 2) if layer.merge_mode == "concat" else labels
    return Traced(shape, {len(shape) - 1: labels})


def each_step(trace: Trace, call: Call) -> Known:
    """The layer inside sees one step at a time; what is known of the steps stays."""
    layer, (tensor,), shape = call.layer, call.inputs, call.outputs[0]
    inner = layer.layer
    from tfprune.structured.table import rule_of

    if call.graphs.has_graph(inner) or 1 in tensor.axes:
        return None
    without = Traced(
        (tensor.shape[0], *tensor.shape[2:]),
        {axis - 1: labels for axis, labels in tensor.axes.items()},
        tensor.zero,
    )
    inside = dataclasses.replace(
        call, layer=inner, inputs=[without], outputs=[(shape[0], *shape[2:])], way=(*call.way, "layer", "config")
    )
    found = rule_of(inner)(trace, inside)
    if not isinstance(found, Traced):
        return None
    return Traced(shape, {axis + 1: labels for axis, labels in found.axes.items()}, found.zero)


def attention(trace: Trace, call: Call) -> Known:
    """Heads go as wholes; of every head the same places of queries and keys, and of values.

    The layer divides its scores by the root of the number of places, so that queries have to grow when some go.
    """
    layer = call.layer
    query, key, value = (_tensor(call, name) for name in ("query", "key", "value"))
    key = key or value
    if query is None or value is None or getattr(layer, "_gate_dense", None) is not None:
        return None
    projections = [getattr(layer, f"_{name}_dense") for name in ("query", "key", "value", "output")]
    if not _attends(trace, call, (query, key, value), projections):
        return None
    heads, keys = (int(size) for size in projections[0].kernel.shape[1:])
    values = int(projections[2].kernel.shape[2])
    in_heads = trace.make(call, heads, "num_heads", key="num_heads")
    in_keys = trace.make(call, keys, "key_dim", key="key_dim")
    in_values = trace.make(call, values, "value_dim", key="value_dim", given=True)
    if call.graphs.equal_attention and keys == values:
        trace.merge([in_keys, in_values])
    trace.copies[id(call.owner), "num_heads"] = math.gcd(keys, values)
    trace.copies[id(call.owner), "key_dim"] = trace.copies[id(call.owner), "value_dim"] = heads
    for projection, tensor, inner in zip(projections, (query, key, value), (in_keys, in_keys, in_values), strict=False):
        trace.index(projection.kernel, 0, tensor.last)
        trace.makes(projection.kernel, 1, in_heads)
        trace.makes(projection.kernel, 2, inner)
        bias = getattr(projection, "bias", None)
        trace.index(bias, 0, in_heads)
        trace.index(bias, 1, inner)
    for weight in projections[0].weights:
        trace.roots_of[id(weight)] = in_keys
    last = projections[3]
    trace.index(last.kernel, 0, in_heads)
    trace.index(last.kernel, 1, in_values)
    labels = trace.make(call, int(last.kernel.shape[2]), key="output_shape", given=True)
    trace.makes(last.kernel, 2, labels)
    trace.index(getattr(last, "bias", None), 0, labels)
    trace.read(in_keys)
    for name, tensor in (("query_shape", query), ("key_shape", key), ("value_shape", value)):
        if tensor.last is not None:
            trace.fix(call, Fixed(name, tensor.last, place=len(tensor.shape) - 1))
    output = Traced(call.outputs[0], {len(call.outputs[0]) - 1: labels}, zero=True)
    return output if len(call.outputs) == 1 else [output, Traced(call.outputs[1], {1: in_heads})]


def _attends(trace: Trace, call: Call, tensors: Sequence[Traced], projections: Sequence[Any]) -> bool:
    """Returns whether a layer attends from one of three tensors to another, and nothing else that has channels.

    What is on their other axes is protected then: the layer mixes it.
    """
    others = [own for own in call.inputs if not any(own is known for known in tensors)]
    if any(own.axes for own in others) or len(call.outputs) > 2:
        return False
    if any(len(own.kernel.shape) != 3 or getattr(own, "lora_enabled", False) for own in projections):
        return False
    for tensor in tensors:
        for labels in tensor.others().values():
            trace.protect(labels, f"{call.layer.name} ({type(call.layer).__name__}) mixes them")
    return True


def grouped_attention(trace: Trace, call: Call) -> Known:
    """Heads of keys and values go as wholes, with all those of queries that attend to them, and places of every head.

    The layer gives as many numbers as its queries have: these go together. Its scores are divided by the root of the
    number of places, so that queries have to grow when some go.
    """
    layer = call.layer
    query, key, value = (_tensor(call, name) for name in ("query", "key", "value"))
    key = key or value
    if query is None or value is None:
        return None
    names = ("query", "key", "value", *(["gate"] if getattr(layer, "use_gate", False) else ()), "output")
    projections = {name: getattr(layer, f"_{name}_dense") for name in names}
    if not _attends(trace, call, (query, key, value), [*projections.values()]):
        return None
    count, size = (int(own) for own in projections["key"].kernel.shape[1:])
    in_heads = trace.make(call, count, "num_key_value_heads", key="num_key_value_heads")
    in_queries = np.repeat(in_heads, layer.num_repeats)
    places = trace.make(call, size, "head_dim", key="head_dim")
    trace.fix(call, Fixed("num_query_heads", in_queries))
    trace.copies[id(call.owner), "num_key_value_heads"] = size
    trace.copies[id(call.owner), "head_dim"] = count
    for name, tensor in (("query", query), ("gate", query), ("key", key), ("value", value)):
        if name in projections:
            heads = in_heads if name in ("key", "value") else in_queries
            kernel, bias = projections[name].kernel, getattr(projections[name], "bias", None)
            trace.index(kernel, 0, tensor.last)
            trace.makes(kernel, 1, heads)
            trace.makes(kernel, 2, places)
            trace.index(bias, 0, heads)
            trace.index(bias, 1, places)
    for weight in projections["query"].weights:
        trace.roots_of[id(weight)] = places
    last = projections["output"]
    trace.index(last.kernel, 0, in_queries)
    trace.index(last.kernel, 1, places)
    if query.last is not None:
        trace.makes(last.kernel, 2, query.last)
        trace.index(getattr(last, "bias", None), 0, query.last)
    trace.read(places)
    output = Traced(call.outputs[0], {} if query.last is None else {len(call.outputs[0]) - 1: query.last}, zero=True)
    return output if len(call.outputs) == 1 else [output, Traced(call.outputs[1], {1: in_queries})]


def _tensor(call: Call, name: str) -> Traced | None:
    """Returns what is known of the tensor that an argument of a call is."""
    option = call.options.get(name)
    if option is None:
        return None
    places = [place for place, own in enumerate(call.node.inputs) if own is option.value]
    return call.inputs[places[0]] if places else None
