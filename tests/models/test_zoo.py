import pytest
from zoo import LARGE, ZOO, rows_of_page, run

# PReLU and others are saved under names that TensorFlow has no attribute for; of no consequence here.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


@pytest.mark.some(every=5)
@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow) if n in LARGE else n for n in ZOO])
def test_an_architecture_is_pruned_trained_exported_and_counted(name, tmp_path):
    row = run(name, tmp_path / "model")
    assert rows_of_page().get(name) == row, "run: python tests/zoo.py"
