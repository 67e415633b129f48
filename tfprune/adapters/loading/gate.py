"""The loaders. What each loads is looked through first, unless it is trusted; what is looked at is what is loaded."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import json
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tfprune.adapters.backend import (
    BACKENDS,
    OF_KERAS,
    choose_tf_keras,
    keras,
    keras3,
    quiet_stderr,
    saved_metadata,
    saved_model,
    tf,
)
from tfprune.adapters.loading.archives import (
    HDF5,
    check_folder,
    check_kind,
    open_hdf5,
    read_hdf5,
    read_keras,
    read_regular,
    reading,
)
from tfprune.adapters.loading.configs import check_config, check_metric
from tfprune.adapters.loading.graphs import check_graph
from tfprune.adapters.loading.trust import check_function, trusted
from tfprune.utils.errors import ModelError, choose_from
from tfprune.utils.text import one_line

METRIC = "_tf_keras_metric"  # how a SavedModel says that what it describes is no layer
KERAS_3 = "3"  # how the versions begin whose files tf_keras cannot read


def import_function(name: str) -> Callable[..., Any]:
    """Imports a user's function.

    Args:
        name: `PACKAGE.MODULE:FUNCTION`, which is looked for here and among the installed packages.

    Raises:
        ModelError: nobody has typed this name, there is no such module, or it has no such function.
    """
    check_function(name)
    module, _, function = name.partition(":")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())  # as `python -m` has it
    if os.environ.get(OF_KERAS, BACKENDS[0]) == BACKENDS[0]:
        _ = keras.Model  # so that tf_keras is chosen, quietly, before the module imports TensorFlow
    else:
        choose_tf_keras()
    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name and module.startswith(error.name):
            raise ModelError(f"there is no module {error.name!r} here or among the installed packages") from None
        raise
    if not callable(getattr(found, function, None)):
        names = [key for key, value in vars(found).items() if inspect.isfunction(value) and value.__module__ == module]
        raise ModelError(f"module {module} has no function {function!r}: {choose_from(function, names)}")
    return getattr(found, function)


def load_model(path: Path) -> Any:
    """Opens a model file or SavedModel with its weights, not compiled, in the Keras that wrote it.

    Args:
        path: an HDF5 file, a `.keras` file of tf_keras or of Keras 3, or the folder of a SavedModel with Keras' layers.

    Returns:
        A `tf_keras.Model`, or a `keras.Model` of Keras 3.

    Raises:
        ModelError: there is no such model, it cannot be opened, or it has parts that are not allowed.
    """
    if path.is_dir():
        return _load_layers(path)
    suffix = check_kind(path)
    if suffix in HDF5:
        with open_hdf5(path) as file:
            config, version = _described(path, lambda: read_hdf5(file))
            if not version.startswith(KERAS_3):
                check_config(config, path, keras)
                with _uncompiled(keras):
                    return _opened(path, lambda: keras.models.load_model(file, compile=False))
    else:
        config, version = _described(path, lambda: read_keras(path))
    return load_with(path, keras3() if version.startswith(KERAS_3) else keras, config)


def library_of_file(path: Path) -> str:
    """Returns which Keras a model file is of, `keras` (Keras 3) or `tf_keras`, without making anything of it.

    Raises:
        ModelError: there is no such file, or it is none of Keras.
    """
    if path.is_dir():
        return "tf_keras"
    if check_kind(path) in HDF5:
        with open_hdf5(path) as file:
            _, version = _described(path, lambda: read_hdf5(file))
    else:
        _, version = _described(path, lambda: read_keras(path))
    return "keras" if version.startswith(KERAS_3) else "tf_keras"


def load_with(path: Path, library: Any, config: Any = None) -> Any:
    """Opens a file with one of the two Keras, whichever says it wrote it.

    Args:
        path: a `.keras` file or, of Keras 3, an HDF5 file.
        library: `keras` or `keras3()`.
        config: what the file says of the model, if it has been read.

    Raises:
        ModelError: see `load_model`.
    """
    if config is None:
        suffix = check_kind(path)
        if suffix in HDF5:
            with open_hdf5(path) as file:
                config, _ = _described(path, lambda: read_hdf5(file))
        else:
            config, _ = _described(path, lambda: read_keras(path))
    check_config(config, path, library)
    with _uncompiled(library):
        return _opened(path, lambda: library.saving.load_model(str(path), compile=False, safe_mode=not trusted()))


def load_graph(path: Path) -> Any:
    """Loads the folder of a SavedModel as plain TensorFlow does.

    Raises:
        ModelError: it cannot be loaded, or its graph has operations that are not allowed.
    """
    check_folder(path)
    check_graph(_parsed(path / "saved_model.pb", saved_model.SavedModel()), path)
    return reload(path)


def reload(path: Path) -> Any:
    """Loads a SavedModel that this process has just written, whatever is in it."""
    return _opened(path, lambda: tf.saved_model.load(str(path)))


def load_weights(path: Path, model: Any) -> None:
    """Gives a model of Keras 3 the weights of a `.keras` file of it; nothing else of the file is made.

    Raises:
        ModelError: it is no such file, or of another model.
    """
    check_kind(path)
    _described(path, lambda: read_keras(path))  # which looks at what is read then
    _opened(path, lambda: model.load_weights(str(path)))


def reload_keras3(path: Path) -> Any:
    """Loads a `.keras` file of Keras 3 that this process has just written, whatever is in it."""
    return _opened(path, lambda: keras3().saving.load_model(str(path), compile=False, safe_mode=False))


def model_from_json(text: str, source: object) -> Any:
    """Returns a tf_keras model from what its `to_json` wrote, with fresh weights.

    Raises:
        ModelError: it cannot be made, or has parts that are not allowed.
    """
    config = _described(source, lambda: json.loads(text, object_hook=_without_rng_type))
    check_config(config, source, keras)
    with _uncompiled(keras):
        return _opened(source, lambda: keras.models.model_from_json(json.dumps(config)))


def load_onnx(path: Path, threads: int) -> Any:
    """Opens an ONNX file; returns an `onnxruntime.InferenceSession`.

    Raises:
        ModelError: it cannot be opened, its weights are in other files, or it has operators of a user's own.
    """
    onnx, runtime = importlib.import_module("onnx"), importlib.import_module("onnxruntime")

    def opened() -> Any:
        content = read_regular(path)
        model = onnx.load_model_from_string(content)
        for message in _messages(model):
            if isinstance(message, onnx.TensorProto) and (message.external_data or message.data_location):
                raise ModelError(f"{path}: the values of {message.name} are in another file")
            if isinstance(message, onnx.NodeProto) and message.domain not in ("", "ai.onnx", "ai.onnx.ml"):
                raise ModelError(f"{path}: it has operators of {message.domain}, which are not ONNX's own")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = threads
        options.add_session_config_entry("session.load_model_format", "ONNX")  # or it takes what calls itself ORT
        # Without its fallback, which writes to stdout and tries the same again.
        return runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"], enable_fallback=0)

    return _opened(path, opened)


def load_tflite(path: Path, threads: int) -> Any:
    """Opens a TensorFlow Lite file; returns an `ai_edge_litert` interpreter, which knows TFLite's own operations alone.

    Raises:
        ModelError: it cannot be opened.
    """
    interpreter = importlib.import_module("ai_edge_litert.interpreter")

    def opened() -> Any:
        found = interpreter.Interpreter(model_content=read_regular(path), num_threads=threads)
        found.allocate_tensors()  # which looks at what its operations read and write
        return found

    with quiet_stderr():
        return _opened(path, opened)


def _messages(message: Any) -> Any:
    """Yields a protocol buffer's messages, however deep."""
    yield message
    for field, value in message.ListFields():
        if field.message_type is not None:
            for inner in value if field.is_repeated else (value,):
                yield from _messages(inner)


def _without_rng_type(own: dict[str, Any]) -> dict[str, Any]:
    """Drops what `randomness` has set in a training, and Keras 3 does not know."""
    return {key: value for key, value in own.items() if key != "rng_type"}


@contextlib.contextmanager
def _uncompiled(library: Any) -> Iterator[None]:
    """Leaves out how the models in a model were compiled, which Keras reads of all but the outermost."""
    own = vars(library.Model).get("compile_from_config")
    library.Model.compile_from_config = lambda model, config: None
    try:
        yield
    finally:
        if own is None:
            del library.Model.compile_from_config
        else:
            library.Model.compile_from_config = own


def _load_layers(path: Path) -> Any:
    if not (path / "saved_model.pb").is_file():
        raise ModelError(f"{path}: this is no SavedModel (it has no saved_model.pb)")
    check_folder(path)
    if not (path / "keras_metadata.pb").is_file():
        raise ModelError(
            f"{path}: this SavedModel has a graph and no layers of Keras, so there is nothing to prune; save the model "
            "with model.save"
        )
    metadata = _parsed(path / "keras_metadata.pb", saved_metadata.SavedMetadata())
    for node in metadata.nodes:
        stored = _described(path, lambda node=node: json.loads(node.metadata)) if node.metadata else None
        if isinstance(stored, dict) and node.identifier == METRIC:
            check_metric(stored, path)
        elif isinstance(stored, dict) and "class_name" in stored:
            read = {key: stored[key] for key in ("class_name", "config", "name", "inbound_nodes") if key in stored}
            check_config(read, path, keras)  # what else is stored is shapes, and what compiling would read
    check_graph(_parsed(path / "saved_model.pb", saved_model.SavedModel()), path)
    model = _opened(path, lambda: keras.models.load_model(str(path), compile=False))
    model.optimizer = None  # which Keras restores all the same, without what it was compiled with
    return model


def _parsed(path: Path, message: Any) -> Any:
    """Returns a protocol buffer with what a file holds."""
    from google.protobuf.message import DecodeError

    try:
        message.ParseFromString(read_regular(path))
    except (OSError, DecodeError) as error:
        raise ModelError(f"{path.parent}: this SavedModel cannot be read ({one_line(error)})") from None
    return message


def _described(source: object, read: Callable[[], Any]) -> Any:
    with reading(source):
        return read()


def _opened(source: object, load: Callable[[], Any]) -> Any:
    """Loads what has been looked through. A broken file makes a library raise whatever it meets first."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what the libraries say of their own affairs
            return load()
    except ModelError:
        raise
    except Exception as error:
        raise ModelError(f"{source}: this model cannot be opened ({one_line(error)})") from None
