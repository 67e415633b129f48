"""What a stored configuration would make: looked through before anything of it is made.

A configuration is JSON: objects with a `class_name` and a `config`, numbers, texts and lists of those. An object is
allowed if its class is on a list of `allowed` and of Keras, its settings are the class's own, and each of its texts
stands where texts belong; so that nothing is called but what the lists name.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from tfprune.adapters.backend import keras, keras3_operations
from tfprune.adapters.loading import allowed
from tfprune.adapters.loading.trust import ADVICE, trusted
from tfprune.utils.errors import ModelError

KERAS = ("keras", "tf_keras")
HOMES = {  # lists, and where Keras has what is on them
    "LAYERS": "layers",
    "INITIALIZERS": "initializers",
    "REGULARIZERS": "regularizers",
    "CONSTRAINTS": "constraints",
    "POLICIES": "mixed_precision",
}
ALSO_AT = {  # modules that stored models name beside a class's own and its public one
    *("keras", "keras.dtype_policies", "keras.layers.experimental", "keras.layers.experimental.preprocessing"),
    *("keras.layers.preprocessing", "tensorflow.python.ops.init_ops_v2"),
}
MODEL_MODULES = (  # where both Keras, of any version, have what is in `allowed.MODELS`
    *("engine.functional", "engine.sequential", "engine.training"),
    *("models.functional", "models.sequential", "models.model"),
)
OPERATION_MODULES = frozenset(
    f"keras.src.ops.{name}" for name in ("core", "einops", "image", "linalg", "math", "nn", "numpy")
)
DEPTH = 100  # of objects in objects
NAMES_OF = {  # settings whose texts are names of a list, by how the settings end
    "activation": allowed.ACTIVATIONS,
    "initializer": allowed.INITIALIZERS,
    "regularizer": allowed.REGULARIZERS,
    "constraint": allowed.CONSTRAINTS,
}
TEXTS = frozenset(  # settings that are texts, and name neither code nor files
    """
    bias_axes bounding_box_format color_mode compute_dtype data_format distribution dtype encoding equation fill_mode
    interpolation input_dtype mask_token merge_mode mode name oov_method oov_token output_dtype output_mode padding
    reduction rng_type scaling score_mode source_name split standardize variable_dtype vocabulary_dtype window
    """.split()
)
OF_ANY = {"name", "trainable", "dtype", "dynamic", "batch_input_shape", "batch_shape", "input_shape", "rng_type"}
BY_KEYWORD = {  # what layers store and take without naming it
    *("zero_output_for_mask", "time_major", "implementation", "vocabulary_size", "rms_scaling"),
    *("query_shape", "key_shape", "value_shape", "has_input_vocabulary"),
}
BESIDE = {"class_name", "config", "name", "module", "registered_name", "shared_object_id", "keras_version", "backend"}
UNREAD = "compile_config"  # stands for an optimizer, losses and metrics, often of a user's own; the gate reads none
BY_READER = (
    "TypeSpec",
    "CompositeTensor",
    "__bytes__",
)  # what tf_keras makes of JSON while it reads it, wherever it is
PASSIVE = "__passive_serialization__"  # the same, of any class
OF_VALUES = {"class_name", "config", "items", "module", "registered_name"}
OF_FUNCTIONS = {"class_name", "config", "module", "registered_name"}
CALLS = {"inbound_nodes", "build_config", "input_layers", "output_layers", "build_input_shape"}  # shapes and tensors

Problem = tuple[str, bool]  # what is the matter, and whether it would execute code


def check_config(config: Any, source: object, library: ModuleType) -> None:
    """Raises `ModelError` if a model's configuration has parts that are not allowed, and nobody trusts it.

    Args:
        config: what JSON holds: dictionaries and lists.
        source: where it is from, for the message.
        library: the Keras that will make it.
    """
    if trusted():
        return
    problems = list(dict.fromkeys(_Inspector(library).of_object(config, 0)))
    if code := [text for text, executes in problems if executes]:
        raise ModelError(f"{source}: it would execute code: {', '.join(code)}; {ADVICE}")
    if problems:
        listed = ", ".join(text for text, _ in problems)
        raise ModelError(f"{source}: it is not made of Keras' layers alone, it has {listed}; {ADVICE}")


def check_metric(described: dict[str, Any], source: object) -> None:
    """Raises `ModelError` if a metric that a SavedModel of Keras keeps is not allowed, and nobody trusts it."""
    name, config = described.get("class_name"), described.get("config")
    if trusted():
        return
    if not isinstance(name, str) or name not in allowed.METRICS:
        raise ModelError(f"{source}: it would execute code: custom object {name}; {ADVICE}")
    if problems := [text for text, _ in _Inspector(keras).of_values(config, name, 0)]:
        raise ModelError(f"{source}: it is not made of Keras' layers alone, it has {', '.join(problems)}; {ADVICE}")


class _Inspector:
    """Yields what is not allowed of a configuration.

    Args:
        library: the Keras that will make it.
    """

    def __init__(self, library: ModuleType) -> None:
        self.library = library

    def of_setting(self, value: Any, key: str, depth: int) -> Iterator[Problem]:
        """Looks through the value of a setting: plain values, objects, and texts where they belong."""
        if depth > DEPTH:
            yield f"values in values, more than {DEPTH} deep, in {key}", False
        elif isinstance(value, dict) and "class_name" in value:
            yield from self.of_object(value, depth + 1)
        elif isinstance(value, dict):
            for inner in value.values():
                yield from self.of_setting(inner, key, depth + 1)
        elif isinstance(value, list):
            for inner in value:
                yield from self.of_setting(inner, key, depth + 1)
        elif isinstance(value, str):
            names = next((names for ending, names in NAMES_OF.items() if key.endswith(ending)), None)
            if value not in names if names else key not in TEXTS:
                yield f"{key}={value!r}", False

    def of_object(self, part: Any, depth: int) -> Iterator[Problem]:
        """Looks through an object: a model, a layer, an initializer, a function, a value."""
        name = part.get("class_name") if isinstance(part, dict) else None
        if not isinstance(name, str):
            yield f"{type(part).__name__} instead of a layer", False
            return
        if depth > DEPTH:
            yield f"objects in objects, more than {DEPTH} deep", False
            return
        config = part.get("config")
        label = f"{name} {config['name']!r}" if isinstance(config, dict) and "name" in config else name
        if name in ("Lambda", "__lambda__"):
            yield f"layer {label}", True
        elif name in allowed.VALUES:
            yield from self.of_values(part, label, depth)
        elif name == "function":
            yield from self.of_function(part)
        elif (settings := self.settings(part)) is None:
            yield f"custom object {label}", True
        else:
            yield from self.of_parts(part, settings, label, depth)

    def of_parts(self, part: dict[str, Any], settings: frozenset[str], label: str, depth: int) -> Iterator[Problem]:
        """Looks through an object's settings, and what stands beside them."""
        config = {"layers": part["config"]} if isinstance(part["config"], list) else part["config"] or {}
        for key, value in part.items():
            if key in CALLS:
                yield from self.of_values(value, label, depth)
            elif key == UNREAD:
                yield from self.of_unread(value, label, depth)
            elif key not in BESIDE or (key != "config" and isinstance(value, (dict, list))):
                yield f"{key!r} beside {label}", False
        for key, value in config.items():
            if key not in settings:
                yield f"{label} with the setting {key!r}", False
            elif key == "layers" and isinstance(value, list):
                for layer in value:
                    yield from self.of_object(layer, depth + 1)
            elif key == "function":
                if not (isinstance(value, str) and value in allowed.FUNCTIONS):
                    yield f"TensorFlow's {value}", True
            elif key == "vocabulary" and isinstance(value, list) and not any(isinstance(own, list) for own in value):
                yield from self.of_values(value, label, depth)  # a text alone would be a file's path
            elif key in CALLS or (key == "value" and part["class_name"] in allowed.INITIALIZERS):
                yield from self.of_values(value, label, depth)
            else:
                yield from self.of_setting(value, key, depth)

    def of_values(self, value: Any, label: str, depth: int) -> Iterator[Problem]:
        """Looks through arguments and shapes, in which any text may stand and of objects only `allowed.VALUES`."""
        if depth > DEPTH:
            yield f"values in values, more than {DEPTH} deep, of {label}", False
        elif isinstance(value, dict):
            if "class_name" in value and not _is_value(value):
                yield f"{value['class_name']} as an argument of {label}", True
            for inner in value.values():
                yield from self.of_values(inner, label, depth + 1)
        elif isinstance(value, list):
            for inner in value:
                yield from self.of_values(inner, label, depth + 1)

    def of_unread(self, value: Any, label: str, depth: int) -> Iterator[Problem]:
        """Looks through what the gate leaves out, for what is made of JSON before anything can be left out."""
        if depth > DEPTH:
            yield f"values in values, more than {DEPTH} deep, of {label}", False
        elif isinstance(value, dict):
            if PASSIVE in value or value.get("class_name") in BY_READER:
                yield f"{value.get('class_name')} beside {label}", True
            for inner in value.values():
                yield from self.of_unread(inner, label, depth + 1)
        elif isinstance(value, list):
            for inner in value:
                yield from self.of_unread(inner, label, depth + 1)

    def of_function(self, part: dict[str, Any]) -> Iterator[Problem]:
        """Looks at a function that stands where a setting is, which has to be an activation."""
        name, home = part.get("config"), part.get("module") or "builtins"
        known = home in ("builtins", *(f"{own}.activations" for own in KERAS)) and isinstance(name, str)
        known = known and name in allowed.ACTIVATIONS and part.keys() <= OF_FUNCTIONS
        if not known or part.get("registered_name") not in (None, "", "function", name):
            yield f"the function {name!r} of {home}", True

    def settings(self, part: dict[str, Any]) -> frozenset[str] | None:
        """Returns the names of what an allowed object is made with, None if the object is not allowed."""
        name, module = part["class_name"], part.get("module") or ""
        if part.get("registered_name") not in (None, "", name) or not isinstance(module, str):
            return None
        if not isinstance(part.get("config"), (dict, list) if name in allowed.MODELS else (dict, type(None))):
            return None
        if name in allowed.MODELS:
            at_home = (
                not module or module in (*KERAS, *(f"{own}.models" for own in KERAS)) or module.endswith(MODEL_MODULES)
            )
            return OF_ANY | CALLS | {"layers"} if at_home and module.partition(".")[0] in ("", *KERAS) else None
        if name in allowed.OPERATOR_LAYERS:
            return (
                frozenset({"name", "trainable", "dtype", "function"}) if self.library.__name__ == "tf_keras" else None
            )
        kind = _class(name, module, self.library)
        return None if kind is None else _settings(kind)


def _is_value(part: dict[str, Any]) -> bool:
    """Returns whether an object is a plain value: its module, which Keras would import and look into, has to be
    none.
    """
    name = part["class_name"]
    return (
        isinstance(name, str)
        and name in allowed.VALUES
        and part.keys() <= OF_VALUES
        and part.get("module") in (None, "", "builtins")
        and part.get("registered_name") in (None, "", name)
    )


@functools.cache
def _class(name: str, module: str, library: ModuleType) -> type | None:
    """Returns the class of Keras that is called so and is on a list; None if there is none in this module."""
    for names, home in HOMES.items():
        if name in getattr(allowed, names):
            places = [
                getattr(library, home),
                *([library.layers.experimental] if library.__name__ == "tf_keras" else []),
            ]
            kind = next((getattr(place, name) for place in places if hasattr(place, name)), None)
            public = {f"{package}.{home}" for package in KERAS}
            if isinstance(kind, type) and (not module or module in {kind.__module__, *public, *ALSO_AT}):
                return kind
    if name in allowed.OPERATIONS and module in OPERATION_MODULES and library.__name__ == "keras":
        return getattr(keras3_operations(module), name, None)
    return None


@functools.cache
def _settings(kind: type) -> frozenset[str]:
    """Returns the names of what a class of Keras is made with."""
    names: set[str] = set()
    for base in kind.__mro__:
        if base is not object and "__init__" in vars(base):
            names |= set(inspect.signature(base.__init__).parameters)
    names -= {"self", "args", "kwargs", "weights", "custom_objects"}
    return frozenset(names | OF_ANY | BY_KEYWORD)
