"""How much memory a cut takes beyond the scores and masks that are there, and a whole pruning event beyond the model.

python benchmarks/cut_memory.py --page docs/scaling.md
"""

from __future__ import annotations

import argparse
import multiprocessing
import re
import time
import tracemalloc
from pathlib import Path

import numpy as np
from tabulate import tabulate

from tfprune.pruning.events import PruningEvent
from tfprune.pruning.masks import SCOPES, ones_like, prune_masks
from tfprune.reporting.tables import update_page

KERNELS = 4
LAYERS = 10
ALIGNED = ("right", "left", "right", "right")


def measure(parameters: int, scope: str) -> tuple[float, float]:
    """Returns the peak of extra memory as a multiple of the weights', and seconds of a core."""
    random = np.random.default_rng(0)
    side = parameters // KERNELS // 1000
    scores = {f"kernel {n}": np.abs(random.standard_normal((1000, side), np.float32)) for n in range(KERNELS)}
    masks = ones_like(scores)
    tracemalloc.start()
    started = time.process_time()
    prune_masks(scores, masks, PruningEvent(sparsity=0.8), scope)
    seconds = time.process_time() - started
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak / sum(score.nbytes for score in scores.values()), seconds


def event(parameters: int, masked: str) -> tuple[float, float]:
    """Prunes a model of dense layers globally; returns what `measure` does.

    The masks that the model keeps are part of the extra memory.

    Args:
        parameters: of the model, about.
        masked: by wrappers (`wrap`), as in runs, or `in place`, as with `tfprune.callbacks`.
    """
    from tfprune.adapters.backend import keras
    from tfprune.adapters.tf_keras.adapter import TfKerasModel
    from tfprune.adapters.tf_keras.wrapping import mask_in_place, wrap
    from tfprune.training.pruner import Pruner

    side = round((parameters / LAYERS) ** 0.5)
    layers = [keras.layers.Dense(side, use_bias=False, name=f"dense_{n}") for n in range(LAYERS)]
    model = keras.Sequential([keras.layers.Input((side,)), *layers])
    before = _status("VmRSS")
    masked_model = wrap(model) if masked == "wrap" else mask_in_place(model)
    pruner = Pruner(TfKerasModel(masked_model), "global", seeds=[0])
    Path("/proc/self/clear_refs").write_text("5")  # Linux: the high-water mark starts anew
    started = time.process_time()
    pruner.prune(PruningEvent(sparsity=0.8))
    return (_status("VmHWM") - before) / (4 * LAYERS * side**2), time.process_time() - started


def apart(parameters: int, masked: str) -> tuple[float, float]:
    """Calls `event` in a fresh process, whose memory is its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(event, (parameters, masked))


def _status(name: str) -> int:
    return 1024 * int(re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parameters", type=int, nargs="+", default=[1_000_000, 10_000_000, 100_000_000])
    parser.add_argument("--page", type=Path, help="A Markdown page to renew.")
    given = parser.parse_args()
    rows = []
    for parameters in given.parameters:
        for scope in SCOPES:
            ratio, seconds = measure(parameters, scope)
            rows.append((f"{parameters:,}", scope, f"{ratio:.2f}", f"{seconds:.2g}"))
    headers = ("parameters", "scope", "extra memory / weights", "seconds of a core")
    table = tabulate(rows, headers, tablefmt="github", disable_numparse=True, colalign=ALIGNED)
    print(table)
    events = [
        (f"{parameters:,}", masked, *(f"{value:.2f}" for value in apart(parameters, masked)))
        for parameters in given.parameters
        for masked in ("wrap", "in place")
    ]
    headers = ("parameters", "masked", "extra memory / weights", "seconds of a core")
    event_table = tabulate(events, headers, tablefmt="github", disable_numparse=True, colalign=ALIGNED)
    print(event_table)
    if given.page:
        update_page(given.page, "memory", table)
        update_page(given.page, "event", event_table)


if __name__ == "__main__":
    main()
