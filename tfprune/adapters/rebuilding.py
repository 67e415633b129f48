"""New objects of classes that are in memory. What a file holds is made by `loading` alone."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from tfprune.adapters.layer_traits import OWN_FRAMEWORKS
from tfprune.utils.errors import ModelError

EMPTY = inspect.Parameter.empty


def rebuilt(
    old: Any,
    *,
    kind: type | None = None,
    config: dict[str, Any] | None = None,
    named: str | None = None,
    **changes: Any,
) -> Any:
    """Returns a new layer, model or optimizer of an old one's settings.

    A layer whose class takes neither a name nor a policy of dtypes has them all the same: Keras leaves them out of its
    settings.

    Args:
        old: what is in memory, so that its classes have been imported.
        kind: another class than the old one's.
        config: all settings, instead of the old one's.
        named: the name of a layer whose settings have none; None is the old one's.
        changes: of single settings.
    """
    config = (old.get_config() if config is None else config) | changes
    if kind is None and not hasattr(old, "inputs"):  # a model is made of its inputs and outputs
        check_config(old, config)
    new = (kind or type(old)).from_config(config)
    if kind is None and hasattr(old, "_flatten_layers"):
        if "name" not in config:
            _rename(new, named or old.name)
        name_alike(old, new)
        if "dtype" not in config and new.dtype_policy != old.dtype_policy:
            if hasattr(new, "_set_dtype_policy"):  # of tf_keras
                new._set_dtype_policy(old.dtype_policy)
            else:
                new.dtype_policy = old.dtype_policy
    return new


def functions_of(layer: Any) -> dict[str, Any]:
    """Returns name -> a function that a layer was given, Keras' own ones aside."""
    return {
        key: own
        for key, own in vars(layer).items()
        if callable(own)
        and not isinstance(own, type)
        and not inspect.ismethod(own)
        and not hasattr(own, "get_config")
        and not key.startswith("_")
        and str(getattr(own, "__module__", "")).partition(".")[0] not in OWN_FRAMEWORKS
        and key not in ("call", "build")
    }


def carry_settings(old: Any, new: Any, names: Iterable[str]) -> Any:
    """Gives an object what another one knows beside its settings, as far as it does; returns it."""
    for name in names:
        if name in vars(old):
            setattr(new, name, vars(old)[name])
    return new


def check_config(old: Any, config: Mapping[str, Any]) -> None:
    """Raises `NotImplementedError` if the settings of an object of a person's own class leave out one that it has.

    The base classes of metrics, optimizers and layers have a `get_config` that says nothing of what a class adds: what
    is made of it would have the default instead.

    Args:
        old: a layer, metric or optimizer.
        config: its settings.
    """
    kind = type(old)
    if kind.__module__.partition(".")[0] in OWN_FRAMEWORKS:
        return
    lost = [
        name
        for name, own in inspect.signature(kind.__init__).parameters.items()
        if own.kind in (own.POSITIONAL_OR_KEYWORD, own.KEYWORD_ONLY) and name not in config and own.default is not EMPTY
        if not _is(vars(old).get(name, vars(old).get(f"_{name}", own.default)), own.default)
    ]
    if lost:
        raise NotImplementedError(f"get_config of {kind.__name__} says nothing of {', '.join(lost)}")


def _is(value: Any, other: Any) -> bool:
    try:
        return value is other or bool(value == other)
    except (TypeError, ValueError):  # arrays
        return False


def name_alike(old: Any, new: Any) -> None:
    """Gives the layers inside of a new layer the names of those in an old one, which Keras may have counted up."""
    several = [list(own._flatten_layers(include_self=False)) for own in (old, new)]
    if [*map(type, several[0])] == [*map(type, several[1])]:
        for theirs, own in zip(*several, strict=True):
            _rename(own, theirs.name)


def _rename(layer: Any, name: str) -> None:
    vars(layer)["_name" if "_name" in vars(layer) else "name"] = name  # of tf_keras, and of Keras 3


def rebuilt_by_names(old: Any, keras: Any, config: dict[str, Any], named: str | None) -> Any:
    """Returns a new layer of settings in which names mean what they mean in the old one, whatever they do elsewhere.

    Args:
        old: the layer.
        keras: its Keras.
        config, named: see `rebuilt`.

    Raises:
        ModelError: a name means several things in this layer.
    """
    words, own = _words(config), {}
    for layer in old._flatten_layers():
        for known in (type(layer), *_functions(layer).values()):
            if str(getattr(known, "__module__", "")).partition(".")[0] != keras.__name__.partition(".")[0]:
                names = keras.saving.get_registered_name(known), known.__name__
                own |= {name: known for name in names if name in words}
    with keras.saving.custom_object_scope(own):
        new = rebuilt(old, config=config, named=named)
    _check_names(old, new, words)
    return new


def paired_layers(old: Any, new: Any) -> list[tuple[Any, Any]]:
    """Returns the layers of a model, itself included, beside those of its copy.

    Raises:
        NotImplementedError: the copy has others, as where an attribute holds some that no input leads to.
    """
    several = [list(model._flatten_layers()) for model in (old, new)]
    if len(several[0]) != len(several[1]):
        raise NotImplementedError("it holds layers that its inputs and outputs do not lead to")
    return list(zip(*several, strict=True))


def check_copied(old: Any, new: Any) -> None:
    """Raises `ModelError` if a name that Keras stored of a layer has come to mean something else in its copy."""
    if _functions(old):
        _check_names(old, new, _words(old.get_config()))


def _check_names(old: Any, new: Any, words: Collection[str]) -> None:
    """Raises `ModelError` if one of the names in a layer's settings has come to mean something else in a new one."""
    several = [list(layer._flatten_layers()) for layer in (old, new)]
    for one, other in zip(*several, strict=True) if len(several[0]) == len(several[1]) else ():
        pairs = [(type(one), type(other))]
        pairs += [(known, vars(other).get(key)) for key, known in _functions(one).items()]
        for known, made in pairs:
            if known is not made and known.__name__ in words:
                raise ModelError(
                    f"{old.name} ({type(old).__name__}) cannot be made again: {known.__name__} of {one.name} is not "
                    "the only function or class of that name in it, or in Keras; give it a name of its own"
                )


def _functions(layer: Any) -> Mapping[str, Any]:
    """Returns name -> a function that a layer has and Keras stores by its name."""
    return {
        key: own
        for key, own in vars(layer).items()
        if callable(own)
        and isinstance(getattr(own, "__name__", None), str)
        and own.__name__ != "<lambda>"
        and not isinstance(own, type)
        and not inspect.ismethod(own)
        and not key.startswith("_")
        and key not in ("call", "build")
    }


def _words(config: Any) -> set[str]:
    """Returns the texts among settings."""
    if isinstance(config, str):
        return {config}
    values = config.values() if isinstance(config, dict) else config if isinstance(config, (list, tuple)) else ()
    return {word for own in values for word in _words(own)}


def weight_of(own: Any, layers: Iterable[tuple[Any, Any]], known: Iterable[Any]) -> Any:
    """Returns what has become of a weight that a call has among its arguments, or the same if no layer has it.

    Args:
        own: the weight.
        layers: those that have been made again, old ones with new ones, no models.
        known: all weights of the old model.

    Raises:
        ModelError: its layer has not been made again yet.
    """
    for old, new in layers:
        for theirs, made in zip(old.weights, new.weights, strict=False):
            if theirs is own:
                return made
    if any(own is weight for weight in known):
        raise ModelError(
            f"the weight {getattr(own, 'path', own.name)} is used by itself before the layer is called that it is of; "
            "call the layer before"
        )
    return own


def check_shared(layers: Iterable[tuple[Any, Any]]) -> None:
    """Raises `ModelError` if weights that layers share have become several, which would go their own ways in training.

    Args:
        layers: old ones with what has become of them, no models.
    """
    known: dict[int, tuple[Any, Any]] = {}
    for old, new in layers:
        for theirs, own in zip(old.weights, new.weights, strict=False):
            first, weight = known.setdefault(id(theirs), (old, own))
            if weight is not own:
                raise ModelError(
                    f"{first.name} and {old.name} share the weight {getattr(theirs, 'path', theirs.name)}; in the new "
                    "model each would have one of its own, and training would move them apart: call one layer twice, "
                    "or give each its own"
                )


def of_its_own_class(model: Any) -> ModelError:
    """Returns the error for a model of a class that inputs and outputs do not make."""
    return ModelError(
        f"model {model.name} is of a class of its own, {type(model).__name__}, which cannot be made again from "
        "inputs and outputs; take keras.Model(model.inputs, model.outputs)"
    )
