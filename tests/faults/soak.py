"""Trains, cuts off, resumes and compares small runs in one process, and shows that memory and open files stay flat.

`scripts/soak` calls it. As in a notebook, each round trains a run of every kind below, most of them cut off by Ctrl-C
at a random moment and gone on with, compares methods side by side, and prunes a model in memory.
"""

import argparse
import collections
import ctypes
import gc
import logging
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

os.environ["TQDM_DISABLE"] = "1"

from tabulate import tabulate

import tfprune
from tfprune.adapters.backend import keras
from tfprune.experiments.sweeps import run_all
from tfprune.reporting.comparison import summarise
from tfprune.training import stopping

PLAIN = {"epochs": 20, "loop": "plain", "shuffle": True, "checkpoint_every": 2}
KINDS = {  # settings of the runs that are cut off
    "fused": {"method": "dynamic", "epochs": 60, "checkpoint_every": 5},
    "plain": {"method": "dynamic", **PLAIN},
    "ticket": {"method": "lottery", "epochs": 60, "settings": {"rounds": 2}, "checkpoint_every": 5},
    "filters": {"method": "pruned", "granularity": "filter", **PLAIN},
}
COMPARED = ("unpruned", "pruned", "lottery", "dynamic")
SEEDS = 3  # of a comparison
SHARE_CUT = 0.75  # of the runs
MOST_MB = 0.1  # a run may add, over the second half


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--minutes", type=float, default=10.0)
    options.add_argument("--seed", type=int, default=0)
    options = options.parse_args()
    logging.disable(logging.WARNING)  # of runs that stop and go on
    stopping.GRACE = 60.0  # a machine that is busy must not end the soak
    draw, soak = random.Random(options.seed), Soak()
    print(tabulate([soak.now()], HEADERS, tablefmt="github").rsplit("\n", 1)[0], flush=True)
    with tempfile.TemporaryDirectory() as folder:
        while soak.minutes < options.minutes:
            soak.round(Path(folder) / "runs", draw)
            soak.rows.append(soak.now())
            print("| " + " | ".join(f"{value:g}" for value in soak.rows[-1]) + " |", flush=True)
    sys.exit(soak.verdict())


HEADERS = ("minutes", "runs", "of them resumed", "MB resident", "open files", "threads")


class Soak:
    """What was done so far, and what the process held after each round."""

    def __init__(self):
        self.began = time.monotonic()
        self.runs = self.resumed = 0
        self.seconds = dict.fromkeys(KINDS, 10.0)  # of a whole run, as far as known
        self.rows = []
        self.added = collections.defaultdict(list)  # kind -> MB a run, round by round

    @property
    def minutes(self):
        return (time.monotonic() - self.began) / 60

    def now(self):
        """Returns a row of `HEADERS`."""
        resident = megabytes()
        held = [len(os.listdir(f"/proc/self/{what}")) for what in ("fd", "task")]
        return round(self.minutes, 2), self.runs, self.resumed, round(resident, 1), *held

    def round(self, folder, draw):
        seed = len(self.rows)
        for kind, settings in KINDS.items():
            before = megabytes()
            config = tfprune.Config(dataset="penguins", out=str(folder), seed=seed, **settings)
            started = time.monotonic()
            if draw.random() < SHARE_CUT and cut_off(config, draw.random() * self.seconds[kind]):
                self.resumed += 1
                tfprune.train(config)
            else:
                self.seconds[kind] = time.monotonic() - started
            self.runs += 1
            self.added[kind].append(megabytes() - before)
        configs = [
            tfprune.Config(dataset="penguins", out=str(folder), method=method, epochs=60, seed=SEEDS * seed + number)
            for method in COMPARED
            for number in range(SEEDS)
        ]
        before = megabytes()
        summarise(run_all(configs)[0])
        self.runs += len(configs)
        self.added[f"{len(configs)} runs compared"].append(megabytes() - before)
        before = megabytes()
        prune_in_memory(seed)
        self.added["a person's model, in memory"].append(megabytes() - before)
        shutil.rmtree(folder)

    def verdict(self):
        """Prints what a run added over the second half; returns whether that was too much."""
        _, runs, _, resident, files, threads = np.array(self.rows[len(self.rows) // 2 :]).T
        slope = np.polyfit(runs, resident, 1)[0]
        half = len(self.rows) // 2
        means = [(kind, round(float(np.mean(added[half:])), 2)) for kind, added in self.added.items()]
        print("\n" + tabulate(means, ("over the second half", "MB added each time"), tablefmt="github"))
        grown = slope > MOST_MB or files[-1] > files[0] or threads[-1] > threads[0]
        print(
            f"\n{self.runs} runs, {self.resumed} of them cut off and resumed; over the second half a run added "
            f"{slope:+.3f} MB (at most {MOST_MB}), {files[-1] - files[0]:+.0f} open files and "
            f"{threads[-1] - threads[0]:+.0f} threads in all: {'GROWS' if grown else 'flat'}"
        )
        return int(grown)


def megabytes():
    """Returns what the process holds, without what it has freed and keeps for later."""
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    return int(re.search(r"VmRSS:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024


def cut_off(config, seconds):
    """Trains and presses Ctrl-C after so long; says whether that came before the end."""
    timer = threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGINT))
    try:
        timer.start()
        tfprune.train(config)
        timer.cancel()
        timer.join()
    except KeyboardInterrupt:
        return True
    return False


def prune_in_memory(seed):
    random = np.random.default_rng(seed)
    model = keras.Sequential([keras.layers.Dense(8, "relu", input_shape=(4,)), keras.layers.Dense(3)])
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    data = random.normal(size=(64, 4)).astype(np.float32), random.integers(0, 3, 64)
    tfprune.train(model, data, method="dynamic", sparsity=0.5, epochs=4, verbose=0)


if __name__ == "__main__":
    main()
