"""Ctrl-C at random moments of short trainings in one process: each run has to finish or to say that it was stopped.

    python tests/faults/interrupts.py --minutes 4.5 --seed 0

Printed is what came of the runs, and of those that were stopped what the stop came out of TensorFlow as.
"""

import collections
import contextlib
import logging
import os
import random
import signal
import sys
import tempfile
import threading
import time

import click

from tfprune.experiments.experiment import train
from tfprune.training.config import Config

SETTINGS = {"dataset": "penguins", "method": "pruned", "granularity": "filter", "channel_settings": {"multiple": 1}}
LATEST = 3.0  # seconds after the start of a run at which it is asked to stop


@click.command()
@click.option("--minutes", type=float, default=4.5, show_default=True)
@click.option("--seed", type=int, default=0, show_default=True, help="Of the moments.")
def main(*, minutes: float, seed: int) -> None:
    """Stop short trainings at random moments."""
    logging.disable(logging.WARNING)
    moments = random.Random(seed)
    seen: collections.Counter[str] = collections.Counter()
    end = time.monotonic() + 60 * minutes
    with tempfile.TemporaryDirectory() as out:
        while time.monotonic() < end:
            seen[_outcome(Config(**SETTINGS, epochs=2, seed=seen.total(), out=out), moments.uniform(0.05, LATEST))] += 1
    for outcome, count in seen.most_common():
        click.echo(f"{count:5d}  {outcome}")
    sys.exit(any(outcome.startswith("wrong") for outcome in seen))


def _outcome(config: Config, moment: float) -> str:
    timer = threading.Timer(moment, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    try:
        train(config)
        return "finished"
    except KeyboardInterrupt as stop:
        cause = type(stop.__cause__).__name__
        return "stopped" if stop.__cause__ is None else f"stopped, out of a {cause} ({stop.__cause__})"
    except Exception as error:
        return f"wrong: {type(error).__name__} ({error})"
    finally:
        with contextlib.suppress(KeyboardInterrupt):  # one that came after the run
            timer.cancel()
            timer.join()


if __name__ == "__main__":
    main()
