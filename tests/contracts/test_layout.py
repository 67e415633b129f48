"""The direction of imports, which keeps each part replaceable: a file imports only from files above it."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import tfprune

PACKAGE = Path(tfprune.__file__).parent
ORDER = (  # from the ground up; files on one line know nothing of each other
    {"utils"},
    {"errors", "seeds", "stopping", "layer_traits"},
    {"checks", "registry", "cuts", "measure", "scores", "fingerprints"},
    {"criteria"},
    {"backend", "rundir", "run_files", "notebook"},
    {"adapters"},
    {"masks", "optimizers", "learning_rates", "checkpoints", "locks", "mishaps", "randomness"},
    {"masking"},
    {"data", "models", "methods"},
    {"widths", "patterns"},
    {"config", "schedules", "stacking", "pattern_masks"},
    {"results", "tables", "wrapping", "precision", "strategies"},
    {
        "ranking",
        "slopes",
        "keras_callbacks",
        "pruning",
        "inference",
        "export",
        "comparison",
        "fused",
        "channels",
        "listing",
        "config_file",
        "tracking",
    },
    {"resuming", "branches", "pruner", "examples"},
    {"training", "verdicts", "executors", "plans", "figures", "formats", "surgery", "summaries"},
    {"shrinking"},
    {"narrowing"},
    {"compaction", "experiment", "report", "conversion", "bench"},
    {"pages", "sweeps", "planning", "forecast"},
    {"live"},
    {"own_fit"},
    {"cli"},
    {"__main__"},
)
RANK = {name: rank for rank, names in enumerate(ORDER) for name in names}
FILES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")
NUMPY_ONLY = (
    "masks",
    "pattern_masks",
    "ranking",
    "criteria",
    "measure",
    "results",
    "run_files",
    "listing",
    "tables",
    "figures",
    "report",
    "pages",
    "verdicts",
    "plans",
    "sweeps",
    "cuts",
    "seeds",
    "config",
    "registry",
)


def part(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path):
    """Yields the names of tfprune's parts that a file imports, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("tfprune."):
            yield node.module.split(".")[1]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_downward(path):
    own = part(path)
    for other in imports(path):
        assert other == own or RANK[other] < RANK[own], f"{own} imports {other}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_the_backend_chooses_keras(path):
    if part(path) == "backend":
        return
    for node in ast.walk(ast.parse(path.read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        for name in names:
            assert name.split(".")[0] not in ("keras", "tf_keras", "tensorflow", "tensorflow_model_optimization"), name
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            assert (node.value.id, node.attr) != ("tf", "keras"), f"line {node.lineno}"


@pytest.mark.parametrize(
    "code", ["import tfprune.cli.list", "import tfprune.cli.report", *(f"import tfprune.{name}" for name in NUMPY_ONLY)]
)
def test_what_needs_no_tensorflow_does_not_load_it(code):
    heavy = "{'tensorflow', 'tf_keras', 'tensorflow_datasets'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", f"import sys\n{code}\nassert not {heavy}, {heavy}"], check=True)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["list"],
        ["train", "--help"],
        ["compare", "--help"],
        ["sweep", "--help"],
        ["report", "--help"],
        ["runs", "--help"],
        ["init", "--help"],
    ],
)
def test_help_and_list_load_neither_tensorflow_nor_numpy(arguments):
    code = (
        "import sys\nfrom tfprune.cli import main\n"
        f"sys.argv = ['tfprune', *{arguments!r}]\n"
        "try:\n    main()\nexcept SystemExit as stop:\n    assert not stop.code\n"
        "assert not {'tensorflow', 'tf_keras', 'numpy', 'matplotlib'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_durations_are_not_taken_from_a_clock_that_can_be_set():
    stamps = [PACKAGE / "tracking.py"]  # MLflow's, which are times of day
    assert [path for path in FILES if re.search(r"\btime\.time\(|\bdatetime\b", path.read_text())] == stamps
