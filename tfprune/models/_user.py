"""Models that a person brings: a function, a file, or one of `keras.applications`, instead of a name of `MODELS`."""

from __future__ import annotations

import hashlib
import importlib.machinery
import inspect
import os
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfprune.data.objectives._base import Objective
from tfprune.data.objectives.classification import CLASSIFICATION
from tfprune.models import MODELS
from tfprune.utils.checks import check_choice
from tfprune.utils.errors import ConfigError, ModelError, choose_from
from tfprune.utils.fingerprints import fingerprint

if TYPE_CHECKING:
    from tfprune.adapters.backend import keras

APPLICATIONS, OF_KERAS3 = "applications:", "keras3:"  # models of keras.applications, in tf_keras and in Keras 3
FUNCTION = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
SUFFIXES = (".h5", ".hdf5", ".keras")
FINGERPRINT = "fingerprint"
RESCALE = ("auto", "none", "unit", "signed")
ACCEPTED = "your own model is PACKAGE.MODULE:FUNCTION, a .h5, .keras or SavedModel, applications:NAME or keras3:NAME"
OF_FILES = {"rescale": "auto"}  # settings of a model from a file, and their defaults
OF_APPLICATIONS = {"pretrained": False, "frozen": False, "dropout": 0.2}


def is_user_model(name: object) -> bool:
    """Returns whether a model is a user's own, and no name of `MODELS`."""
    return isinstance(name, str) and name not in MODELS and (_is_function(name) or _is_file(name))


def is_function(name: str) -> bool:
    """Returns whether a model is a user's function, which is imported and so executes code."""
    return _is_function(name) and not is_application(name)


def is_application(name: str) -> bool:
    """Returns whether a model is one of `keras.applications`, of either Keras."""
    return name.startswith((APPLICATIONS, OF_KERAS3))


def _is_function(name: str) -> bool:
    return FUNCTION.fullmatch(name) is not None


def _is_file(name: str) -> bool:
    return os.sep in name or "/" in name or name.lower().endswith(SUFFIXES) or Path(name).is_dir()


def user_model_name(name: str) -> str:
    """Returns a short name of a user's own model, for titles.

    >>> user_model_name("applications:ResNet50"), user_model_name("my.nets:small"), user_model_name("/a/net 2.h5")
    ('ResNet50', 'small', 'net_2')
    """
    if _is_function(name):
        return name.partition(":")[2]
    return re.sub(r"[^\w.]+", "_", Path(name).stem).strip("._") or "model"


def user_model(name: str, settings: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Returns a user's own model as runs know it, without importing or opening it.

    Args:
        name: `PACKAGE.MODULE:FUNCTION`, `applications:NAME`, `keras3:NAME`, or a path, which is made absolute.
        settings: of the model; those of files have a `fingerprint` once they have been completed.

    Raises:
        TfpruneError: there is no such file, or a setting is unknown.
    """
    given = dict(settings)
    check_choice("model.rescale", given.get("rescale", "auto"), RESCALE)
    if is_application(name):
        _check_known(name, given, OF_APPLICATIONS)
        return name, {**OF_APPLICATIONS, **given}
    if _is_function(name):
        if FINGERPRINT not in given:
            given[FINGERPRINT] = _of_module(name.partition(":")[0])
        return name, given
    path = os.path.abspath(name)
    _check_known(name, given, {**OF_FILES, FINGERPRINT: ""})
    if FINGERPRINT not in given:
        given[FINGERPRINT] = _of_files(Path(path))
    return path, {**OF_FILES, **given}


def _check_known(name: str, given: Mapping[str, Any], known: Mapping[str, Any]) -> None:
    for key in given:
        if key not in known:
            raise ConfigError(f"model {name} has no setting {key!r}: {choose_from(key, known)}")


def _of_files(path: Path) -> str:
    if not path.exists():
        raise ModelError(f"{path}: there is no such file or folder; {ACCEPTED}")
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    return fingerprint(files, path if path.is_dir() else None)


def _of_module(module: str) -> str:
    """Returns a fingerprint of a module's source, which is found without importing anything; "" if there is none."""
    search: Any = [os.getcwd(), *sys.path]
    spec = None
    for number in range(1, len(parts := module.split(".")) + 1):
        spec = importlib.machinery.PathFinder.find_spec(".".join(parts[:number]), search)
        if spec is None:
            raise ModelError(f"there is no module {'.'.join(parts[:number])!r} here or among the installed packages")
        search = spec.submodule_search_locations
        if search is None and number < len(parts):
            raise ModelError(f"{'.'.join(parts[:number])} is a module and no package, so there is no {module}")
    source = Path(spec.origin) if spec and spec.origin else None
    return hashlib.sha256(source.read_bytes()).hexdigest()[:12] if source and source.is_file() else ""


def build_model(
    name: str,
    input_shape: tuple[int, ...],
    classes: int,
    settings: Mapping[str, Any],
    *,
    dtype: str = "float32",
    fresh: bool = False,
    objective: Objective = CLASSIFICATION,
) -> keras.Model:
    """Builds a model of tf_keras that returns logits, or what else the task is trained on; registered or a user's own.

    Args:
        name: of `MODELS`, or see `user_model`.
        input_shape: of an example.
        classes: number of logits.
        settings: the model's.
        dtype: of the examples.
        fresh: draw all weights anew instead of those that the model comes with.
        objective: the task.

    Raises:
        ModelError: there is no such model, or it does not fit the data.
    """
    if not is_user_model(name):
        return _fitting(MODELS[name](input_shape, classes, **settings), name, input_shape, classes, dtype, objective)
    from tfprune.adapters.backend import keras
    from tfprune.models import _fit
    from tfprune.models._heads import as_trained

    if name.startswith(APPLICATIONS):
        from tfprune.models.applications import application

        kept = dict(settings) | ({"pretrained": False} if fresh else {})
        made = application(name, input_shape, classes, **kept)
        return _fitting(made, name, input_shape, classes, dtype, objective)
    model, rescale = build_as_brought(name, input_shape, classes, settings)
    model = as_trained(_fit.functional(model, input_shape, name), name, classes, objective)
    model = _fit.rescaled(model, input_shape, dtype, rescale)
    _fitting(model, name, input_shape, classes, dtype, objective)
    if fresh:
        model = keras.models.clone_model(model)
    return model


def build_as_brought(
    name: str, input_shape: tuple[int, ...], classes: int, settings: Mapping[str, Any]
) -> tuple[Any, str]:
    """Returns a user's own model as it is, of either Keras, and what becomes of the range of images.

    Raises:
        ModelError: there is no such model, or it is not allowed.
    """
    from tfprune.adapters.loading.gate import import_function, load_model

    if name.startswith(OF_KERAS3):
        from tfprune.models.applications import application

        return application(name, input_shape, classes, **settings), "none"
    settings = dict(settings)
    settings.pop(FINGERPRINT, None)
    rescale = settings.pop("rescale", "auto")
    if _is_function(name):
        return _called(import_function(name), name, input_shape, classes, settings), rescale
    return load_model(Path(name)), rescale


def _called(
    function: Callable[..., Any], name: str, input_shape: tuple[int, ...], classes: int, settings: dict[str, Any]
) -> keras.Model:
    """Calls a user's function with those of `input_shape` and `classes` that it names, and the settings."""
    parameters = inspect.signature(function).parameters
    own = {"input_shape": input_shape, "classes": classes, "num_classes": classes}
    given = {key: value for key, value in own.items() if key in parameters}
    if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        for key in settings:
            if key not in parameters:
                choices = [other for other in parameters if other not in own]
                raise ConfigError(f"model {name} has no setting {key!r}: {choose_from(key, choices)}")
    needed = [
        key
        for key, p in parameters.items()
        if p.default is p.empty and p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL) and key not in {**given, **settings}
    ]
    if needed:
        raise ConfigError(f"model {name} needs {needed[0]!r}: give it with --set model.{needed[0]}=VALUE")
    return function(**{**given, **settings})


def _fitting(
    model: keras.Model,
    name: str,
    input_shape: tuple[int, ...],
    classes: int,
    dtype: str,
    objective: Objective = CLASSIFICATION,
) -> keras.Model:
    """Returns the model if it takes such examples and returns so many numbers."""
    from tfprune.adapters.backend import tf

    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise ModelError(
            f"model {name} has {len(model.inputs)} inputs and {len(model.outputs)} outputs; a run takes models of one "
            "each, tfprune.train from Python any"
        )
    wanted, given = model.inputs[0].shape[1:], tuple(input_shape)
    if not wanted.is_compatible_with(given):
        raise ModelError(f"model {name} takes examples of shape {tuple(wanted)}, the data's are {given}")
    check_outputs(tuple(model.outputs[0].shape[1:]), name, input_shape, classes, objective)
    if model.inputs[0].dtype == "uint8" and not tf.as_dtype(dtype).is_compatible_with(tf.uint8):
        raise ModelError(f"model {name} takes images of uint8, 0 to 255; the data are {dtype}")
    return model


def check_outputs(
    returned: tuple[int | None, ...], name: str, input_shape: tuple[int, ...], classes: int, objective: Objective
) -> None:
    """Raises `ModelError` if a model returns something else for an example than the task needs."""
    wanted = objective.outputs(classes, input_shape)
    if len(returned) == len(wanted) and all(own in (None, side) for own, side in zip(returned, wanted, strict=True)):
        return
    hint = "; for two classes return two logits" if returned == (1,) and wanted == (2,) else ""
    shape = "" if len(wanted) == 1 else f", which takes {wanted}"
    raise ModelError(
        f"model {name} returns {returned} an example, the data have {classes} {objective.told}{shape}{hint}"
    )


def check_end(ends: str, name: str, objective: Objective) -> None:
    """Raises `ModelError` if a model ends with an activation that is not the task's."""
    if ends in ("softmax", "sigmoid") and ends != objective.activation:
        wanted = (
            "a layer without activation"
            if not objective.of_logits
            else f"a layer with {objective.activation}, or logits"
        )
        raise ModelError(f"model {name} ends with a {ends}; for task {objective.name} let it end with {wanted}")
