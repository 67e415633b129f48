"""Runs docs/keras3.ipynb from top to bottom: `python tests/adapters/keras3/notebook.py`."""

import os
import sys
import tempfile
import warnings
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2]))

from documented import ROOT, cells, run_python, words_of

NOTEBOOK = ROOT / "docs" / "keras3.ipynb"


def show(value):
    if value is not None:
        print(repr(value))


def main():
    sys.displayhook = show
    names = {"__name__": "__main__"}
    for code, stored in cells(NOTEBOOK):
        printed = run_python(code, names)
        assert words_of(stored) == words_of(printed), f"{code}\nprints\n{printed}"
    print("as stored")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        main()
