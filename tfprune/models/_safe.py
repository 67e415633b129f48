"""What a stored model would execute: looked for in its configuration, before anything of it is made.

A `Lambda` layer is stored as compiled Python, a custom object is a class that somebody's code has registered, and a
TensorFlow operation can be one that reads and writes files. Models with such parts are refused, unless `--trust`
(the environment variable `TFPRUNE_TRUST=1`) says that their origin is known.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from typing import Any

from tfprune.backend import saved_model
from tfprune.errors import ModelError

TRUST = "TFPRUNE_TRUST"
KERAS_MODULES = ("keras", "tf_keras")
# What functional models record of TensorFlow's functions by name; none of these touches more than tensors.
HARMLESS = ("math.", "nn.", "__operators__.", "linalg.", "image.", "signal.", "strings.", "debugging.check_numerics")
HARMLESS_NAMES = {
    *("argsort", "broadcast_to", "cast", "clip_by_value", "concat", "convert_to_tensor", "einsum", "expand_dims"),
    *("fill", "gather", "gather_nd", "identity", "linspace", "matmul", "meshgrid", "norm", "one_hot", "ones"),
    *("ones_like", "pad", "range", "rank", "repeat", "reshape", "reverse", "roll", "shape", "size", "slice"),
    *("sort", "split", "squeeze", "stack", "stop_gradient", "strided_slice", "tensordot", "tile", "transpose"),
    *("unstack", "where", "zeros", "zeros_like", "compat.v1.transpose", "compat.v1.shape"),
}
# Operations that leave the graph: into Python, to files, over a network. What a model computes needs none of them.
REACHES_OUT = re.compile(
    r"PyFunc|Dataset|Reader|Rpc|^Write|^(Read|Matching)File|^PrintV2$|^RecordInput$|^(Save|Restore)(Slices?)?$"
    r"|^(Create)?Summary(\w*)Writer|^Debug(Identity|N)|^RemoteCall$|^FileSystem|^DistributedSave$|^LoadAndRemap"
    r"|^GenerateVocab|^(DecodeProtoV2|EncodeProto)$"
)
STORES = {"SaveV2", "RestoreV2", "MergeV2Checkpoints"}  # in every SavedModel, for its weights


def trusted() -> bool:
    """Says whether a person has said that stored models may execute code."""
    return os.environ.get(TRUST, "") not in ("", "0")


def trust() -> None:
    """Lets stored models execute code, in this process and in those that it starts."""
    os.environ[TRUST] = "1"


def check_safe(config: Any, source: object, known: Iterable[str]) -> None:
    """Raises `ModelError` if a model's configuration has parts that would execute code, and nobody trusts it.

    Args:
        config: what JSON holds: dictionaries and lists.
        source: where it is from, for the message.
        known: names of Keras' own classes.
    """
    if trusted():
        return
    found = list(dict.fromkeys(_executing(config, set(known))))
    if found:
        raise ModelError(
            f"{source}: it would execute code: {', '.join(found)}; if you know where it comes from, allow that with "
            "--trust"
        )


def check_graph(graph: saved_model.SavedModel, source: object) -> None:
    """Raises `ModelError` if a SavedModel reads or writes files or calls Python or others, and nobody trusts it."""
    if trusted():
        return
    found = sorted({operation for part in graph.meta_graphs for operation in _reaching_out(part)})
    if found:
        raise ModelError(
            f"{source}: its graph has the operations {', '.join(found)}; if you know where it comes from, allow that "
            "with --trust"
        )


def _reaching_out(graph: Any) -> Iterator[str]:
    """Yields the operations of a `MetaGraphDef` that reach out.

    Those that store weights may be in the functions that the graph's saver calls, as long as nothing else calls these.
    """
    functions = {function.signature.name: function.node_def for function in graph.graph_def.library.function}
    ends = {graph.saver_def.save_tensor_name.partition(":")[0], graph.saver_def.restore_op_name}
    top = {saves: [node for node in graph.graph_def.node if (node.name in ends) == saves] for saves in (True, False)}
    others = [*top[False], *(node for nodes in functions.values() for node in nodes)]
    called = {name for node in others for name in _called(node)} | set(graph.object_graph_def.concrete_functions)
    stores = {name for node in top[True] for name in _called(node)} - called
    for name, nodes in {**functions, "": graph.graph_def.node}.items():
        for node in nodes:
            if REACHES_OUT.search(node.op) or (node.op in STORES and name not in stores):
                yield node.op


def _called(node: Any) -> Iterator[str]:
    for value in node.attr.values():
        yield from (function.name for function in (value.func, *value.list.func))


def _executing(part: Any, known: set[str]) -> Iterator[str]:
    if isinstance(part, dict):
        name = part.get("class_name")
        if isinstance(name, str) and "config" in part:
            yield from _suspicion(name, part, known)
        for value in part.values():
            yield from _executing(value, known)
    elif isinstance(part, list):
        for value in part:
            yield from _executing(value, known)


def _suspicion(name: str, part: dict[str, Any], known: set[str]) -> Iterator[str]:
    config = part["config"] if isinstance(part["config"], dict) else {}
    label = f"{name} {config['name']!r}" if isinstance(config.get("name"), str) else name
    home = str(part.get("module") or "keras").partition(".")[0]
    if name in ("Lambda", "__lambda__"):
        yield f"layer {label}"
    elif name == "TFOpLambda":
        function = str(config.get("function"))
        if not (function.startswith(HARMLESS) or function in HARMLESS_NAMES):
            yield f"TensorFlow's {function}"
    elif name not in known or home not in KERAS_MODULES:
        yield f"custom object {label}"
