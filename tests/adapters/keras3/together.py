"""Scripts of this folder one after the other in one process: Keras 3 and what it runs on are imported once.

`KERAS_BACKEND=jax python tests/adapters/keras3/together.py '[["derivatives.py", "FILE.npz"], ["pairs.py", "6"]]'`
"""

import json
import runpy
import sys
from pathlib import Path

from tfprune.adapters.backend import keras3_module as keras


def main(scripts):
    """Runs scripts with their arguments; returns how many of them failed."""
    failed = 0
    for name, *arguments in scripts:
        keras.backend.clear_session()
        sys.argv = [name, *arguments]
        try:
            runpy.run_path(str(Path(__file__).with_name(name)), run_name="__main__")
        except SystemExit as end:
            failed += bool(end.code)
    return failed


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
