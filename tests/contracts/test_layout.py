"""The rooms of the package, which keep each part replaceable: a room imports only from rooms above it in the table."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import tfprune

PACKAGE = Path(tfprune.__file__).parent
ROOMS = (  # from the ground up
    *("utils", "pruning", "methods", "adapters", "structured", "data", "models", "training"),
    *("exporting", "experiments", "reporting", "api", "cli", "__main__"),
)
LATER = {  # imports that point up, within functions: where something is drawn
    ("experiments", "reporting"),
}
FLAT = {"__init__.py", "__main__.py", "api.py"}
NUMPY_ONLY = {"utils", "pruning", "methods", "reporting"}  # rooms that are the same for any framework
WITHOUT_TENSORFLOW = (  # modules of other rooms that load no TensorFlow either
    *("tfprune.training.config", "tfprune.experiments.results", "tfprune.experiments.listing"),
    *("tfprune.experiments.plans", "tfprune.experiments.sweeps", "tfprune.cli.list", "tfprune.cli.report"),
)
FILES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def room(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def name(path):
    return path.relative_to(PACKAGE).as_posix()


def imports(path):
    """Yields the modules that a file imports, wherever in the file, and whether that is at its top."""
    tree = ast.parse(path.read_text())
    inside = {id(node) for outer in ast.walk(tree) if isinstance(outer, ast.FunctionDef) for node in ast.walk(outer)}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            yield node.module or "", id(node) not in inside
        elif isinstance(node, ast.Import):
            yield from ((alias.name, id(node) not in inside) for alias in node.names)


def test_the_rooms_are_those_of_the_table():
    found = {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert found == {own for own in ROOMS if own not in ("api", "__main__")} and len(found) <= 12
    assert {path.name for path in PACKAGE.glob("*.py")} == FLAT
    for own in found:
        lines = (ast.get_docstring(ast.parse((PACKAGE / own / "__init__.py").read_text())) or "").splitlines()
        assert lines and lines[0].endswith("."), f"{own}/__init__.py says what it is for"


@pytest.mark.parametrize("path", FILES, ids=name)
def test_imports_point_downward(path):
    own = room(path)
    for module, at_top in imports(path):
        if module.startswith("tfprune."):
            other = module.split(".")[1]
            upward = ROOMS.index(other) > ROOMS.index(own)
            assert not upward or ((own, other) in LATER and not at_top), f"{own} imports {module}"


@pytest.mark.parametrize("path", FILES, ids=name)
def test_only_the_backend_chooses_keras(path):
    if name(path) == "adapters/backend.py":
        return
    for module, _ in imports(path):
        assert module.split(".")[0] not in ("keras", "tf_keras", "tensorflow", "tensorflow_model_optimization"), module
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            assert (node.value.id, node.attr) != ("tf", "keras"), f"line {node.lineno}"


@pytest.mark.parametrize("path", FILES, ids=name)
def test_only_the_adapter_of_tf_keras_knows_tfmot(path):
    if not name(path).startswith("adapters/"):
        assert not re.search(r"\btfmot(_\w+)?\b", "\n".join(
            line for line in path.read_text().splitlines() if line.lstrip().startswith(("from ", "import "))
        ))  # fmt: skip


@pytest.mark.parametrize("path", [path for path in FILES if room(path) in NUMPY_ONLY], ids=name)
def test_the_engine_and_the_reports_know_no_framework(path):
    assert not [module for module, _ in imports(path) if module.startswith("tfprune.adapters")]


@pytest.mark.parametrize("path", [path for path in FILES if room(path) == "structured"], ids=name)
def test_structured_pruning_knows_frameworks_by_their_adapters(path):
    ways = ("tfprune.adapters.backend", "tfprune.adapters.tf_keras", "tfprune.adapters.keras3")
    assert not [module for module, _ in imports(path) if module.startswith(ways)]


def test_the_pruner_knows_of_frameworks_what_an_adapter_answers():
    known = [module for module, _ in imports(PACKAGE / "training" / "pruner.py") if module.startswith("tfprune.")]
    assert [module for module in known if module.split(".")[1] not in ("pruning", "utils")] == ["tfprune.adapters.base"]


def loaded_by(*codes):
    """Runs pieces of code one after the other in a new process; returns the modules that are loaded after each."""
    told = "\nimport json, sys\nprint('loaded', json.dumps(sorted(sys.modules)))\n"
    script = "".join(code + told for code in codes)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = [line.removeprefix("loaded ") for line in done.stdout.splitlines() if line.startswith("loaded ")]
    assert len(lines) == len(codes)
    return [set(json.loads(line)) for line in lines]


COMMAND = """
import sys
from tfprune.cli import main
for sys.argv in {}:
    try:
        main()
    except SystemExit as stop:
        assert not stop.code
"""


def test_what_needs_little_loads_little():
    light = {*NUMPY_ONLY, "structured"}
    modules = [name(path).removesuffix(".py").removesuffix("/__init__") for path in FILES if room(path) in light]
    every = [f"import tfprune.{module.replace('/', '.')}" for module in modules]
    documented = ("train", "compare", "sweep", "report", "runs", "init", "resume")
    commands = [["tfprune", *words] for words in (["--help"], ["list"], *([own, "--help"] for own in documented))]
    bare, helped, engine, others = loaded_by(  # from what may load least
        "import tfprune",
        COMMAND.format(commands),
        "\n".join(every),
        "\n".join(f"import {module}" for module in WITHOUT_TENSORFLOW),
    )
    heavy = {"tensorflow", "tf_keras", "keras", "tensorflow_datasets"}
    assert not bare & {*heavy, "numpy"}
    assert not helped & {*heavy, "numpy", "matplotlib"}
    assert not engine & heavy and not others & heavy
    assert "numpy" in engine  # or nothing was looked at


def test_pruning_a_model_loads_no_figures_no_tables_no_data_sets_and_no_runs():
    made = "model = keras.Sequential([keras.layers.Dense(3, input_shape=(4,))])\nmodel.compile('sgd', 'mse')\n"
    alone, *others = loaded_by(
        # tfmot brings Matplotlib of its own accord
        f"import tensorflow_model_optimization, tf_keras as keras, tfprune\n{made}",
        f"{made}tfprune.prune(model, 0.5)",
        f"{made}tfprune.callbacks(model, epochs=3, sparsity=0.5)",
    )
    for loaded in others:
        heavy = {"matplotlib", "scipy", "pyarrow", "tensorflow_datasets", "tfprune.experiments", "tfprune.reporting"}
        assert (loaded - alone) & heavy == set()


def test_durations_are_not_taken_from_a_clock_that_can_be_set():
    stamps = [PACKAGE / "experiments" / "board.py", PACKAGE / "experiments" / "tracking.py"]  # times of day
    assert [path for path in FILES if re.search(r"\btime\.time\(|\bdatetime\b", path.read_text())] == stamps
