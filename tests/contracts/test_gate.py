"""Nothing in the package reaches what loads code, layers or models but through the gate, `tfprune.adapters.loading`."""

import ast
from pathlib import Path

import pytest

import tfprune

PACKAGE = Path(tfprune.__file__).parent
GATE = PACKAGE / "adapters" / "loading"
LOADERS = {  # the names that are called, wherever they are from
    *("import_module", "__import__", "exec", "eval", "compile", "run_path", "run_module", "spec_from_file_location"),
    *("from_config", "deserialize", "deserialize_keras_object", "model_from_json", "model_from_config"),
    *("load_model", "load_weights", "load_op_library", "load_library", "InferenceSession", "Interpreter"),
    *(
        "read_model",
        "func_load",
        "marshal",
        "pickle",
        "unsafe_load",
        "InputLayer.from_config",
        "enable_unsafe_deserialization",
    ),
}
ON = {"saved_model": {"load"}, "h5py": {"File"}, "np": {"load"}, "numpy": {"load"}, "onnx": {"load"}, "torch": {"load"}}
ELSEWHERE = {  # who calls one of these without a name or a file of somebody's, and why that is so
    "__init__.py": {"import_module"},  # tfprune's own modules
    "utils/registry.py": {"import_module"},  # the same
    "adapters/backend.py": {"import_module"},  # TensorFlow and Keras
    "exporting/formats/_base.py": {"import_module"},  # packages of the extra `export`
    "adapters/rebuilding.py": {"from_config"},  # objects that are in memory
    "training/checkpoints.py": {"np.load"},  # bounded, and with nothing pickled
    "experiments/run_files.py": {"np.load"},
    "data/arrays.py": {"np.load"},  # data that were typed
}
PREFIXES = {"compile": "re."}  # `model.compile` and `re.compile` are no loaders


def calls(path):
    """Yields what a file calls or names that loads."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (
                {alias.name for alias in node.names} & {"pickle", "marshal", "dill", "runpy", "shelve", "cloudpickle"}
            )
        elif isinstance(node, ast.ImportFrom):
            yield from (
                alias.name
                for alias in node.names
                if alias.name in LOADERS and not (node.module or "").startswith("tfprune")
            )
        elif isinstance(node, ast.Attribute):
            owner = node.value.attr if isinstance(node.value, ast.Attribute) else getattr(node.value, "id", "")
            if node.attr in ON.get(owner, ()):
                yield f"{owner}.{node.attr}"
            elif node.attr in LOADERS - {"compile"}:
                yield node.attr
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in ("exec", "eval", "compile")
        ):
            yield node.func.id


FILES = sorted(path for path in PACKAGE.rglob("*.py") if GATE not in path.parents)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_the_gate_loads(path):
    assert set(calls(path)) <= ELSEWHERE.get(path.relative_to(PACKAGE).as_posix(), set())


def test_the_walk_sees_what_the_gate_calls():
    found = {name for path in GATE.glob("*.py") for name in calls(path)}
    assert found >= {
        "import_module",
        "load_model",
        "model_from_json",
        "saved_model.load",
        "h5py.File",
        "InferenceSession",
    }
