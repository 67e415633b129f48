"""What the graph of a SavedModel would do: its operations are looked up on a list before it is loaded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tfprune.adapters.backend import op_def_registry
from tfprune.adapters.loading.allowed import GRAPH_OPERATIONS, STORES
from tfprune.adapters.loading.trust import ADVICE, trusted
from tfprune.utils.errors import ModelError

SHOWN = 10  # names of operations in a message


def check_graph(saved_model: Any, source: object) -> None:
    """Raises `ModelError` if a SavedModel has operations that are not allowed, and nobody trusts it.

    Args:
        saved_model: the protocol buffer.
        source: where it is from, for the message.
    """
    if trusted():
        return
    graphs = saved_model.meta_graphs
    # Of others TensorFlow itself calls the saver's operations, with whatever they name.
    by_objects = len(graphs) == 1 and graphs[0].HasField("object_graph_def")
    found = sorted({operation for graph in graphs for operation in _not_allowed(graph, by_objects)})
    if found:
        more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
        raise ModelError(f"{source}: its graph has the operations {', '.join(found[:SHOWN])}{more}; {ADVICE}")


def _not_allowed(graph: Any, by_objects: bool) -> Iterator[str]:
    """Yields the operations of a `MetaGraphDef` that are not allowed, those of its functions too.

    Those that store weights may be in the functions that the graph's saver calls, as long as nothing else calls these
    and the graph is loaded `by_objects`, which leaves the saver alone.
    """
    functions: dict[str, Any] = {}
    for function in graph.graph_def.library.function:
        name = function.signature.name
        if name in functions or op_def_registry.get(name) is not None:
            yield f"{name}, which it defines itself"
        functions[name] = function.node_def
    ends = {graph.saver_def.save_tensor_name.partition(":")[0], graph.saver_def.restore_op_name}
    top = {saves: [node for node in graph.graph_def.node if (node.name in ends) == saves] for saves in (True, False)}
    others = [*top[False], *(node for nodes in functions.values() for node in nodes)]
    called = {name for node in others for name in _called(node)} | set(_of_objects(graph))
    stores = {name for node in top[True] for name in _called(node)} - called if by_objects else set()
    for name, nodes in {**functions, "": graph.graph_def.node}.items():
        for node in nodes:
            if (
                node.op not in GRAPH_OPERATIONS
                and node.op not in functions
                and not (node.op in STORES and name in stores)
            ):
                yield node.op


def _called(node: Any) -> Iterator[str]:
    """Yields the functions that a node names: in its attributes, or as its operation."""
    yield node.op
    for value in node.attr.values():
        yield from (function.name for function in (value.func, *value.list.func))


def _of_objects(graph: Any) -> Iterator[str]:
    """Yields the functions that a graph's objects have, and those for gradients."""
    yield from graph.object_graph_def.concrete_functions
    for node in graph.object_graph_def.nodes:
        yield from node.function.concrete_functions
        yield node.bare_concrete_function.concrete_function_name
    library = graph.graph_def.library
    yield from (gradient.gradient_func for gradient in (*library.gradient, *library.registered_gradients))
