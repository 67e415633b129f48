"""All four penguin trials in tfprune, beside a plain PyTorch loop on one thread.

    pip install -e '.[bench]'
    python benchmarks/penguins_vs_pytorch.py

tfprune's side is `train_together` from reading the data to the run folders, compiling included, once for one
seed and once for many. PyTorch's side is the class project's loop with `torch.nn.utils.prune`, the dense
training done once for the methods that share it, and nothing logged or written. The sides take turns, so
that what else the machine does slows both alike; the medians of the ratios are printed.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
import torch
from torch.nn.utils import prune

from tfprune.adapters.backend import keras, machine, versions
from tfprune.data.penguins import load
from tfprune.experiments.together import train_together
from tfprune.training.config import Config

TRIALS = ("unpruned", "pruned", "lottery", "dynamic")


def torch_trials(epochs: int) -> None:
    """The four trials of one seed: 12 inputs, 12 ReLU, 3 tanh; Adam, batches of 50 in a fixed order."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    split = load().train
    x, y = torch.from_numpy(np.asarray(split.x)), torch.from_numpy(np.asarray(split.y))
    batches = [(x[first : first + 50], y[first : first + 50]) for first in range(0, len(y), 50)]
    criterion = torch.nn.CrossEntropyLoss()

    def build() -> torch.nn.Sequential:
        return torch.nn.Sequential(torch.nn.Linear(12, 12), torch.nn.ReLU(), torch.nn.Linear(12, 3), torch.nn.Tanh())

    def train(model: torch.nn.Module, optimizer: torch.optim.Optimizer, passes: int) -> None:
        for _ in range(passes):
            for inputs, classes in batches:
                optimizer.zero_grad()
                criterion(model(inputs), classes).backward()
                optimizer.step()

    def fresh(model: torch.nn.Module) -> torch.optim.Optimizer:
        return torch.optim.Adam(model.parameters(), lr=1e-4)

    def cut(model: torch.nn.Sequential, amount: float) -> None:
        for layer in (model[0], model[2]):
            prune.l1_unstructured(layer, "weight", amount=amount)

    dense = build()
    initial = {name: value.clone() for name, value in dense.state_dict().items()}
    train(dense, fresh(dense), epochs)  # unpruned; pruned and lottery begin with it
    cut(dense, 0.3)  # pruned
    ticket = build()
    ticket.load_state_dict(initial)
    for place in (0, 2):
        prune.custom_from_mask(ticket[place], "weight", dense[place].weight_mask)
    train(ticket, fresh(ticket), epochs)  # lottery
    dynamic = build()
    cut(dynamic, 0.0)  # masks of ones from the start, so that the optimizer keeps its parameters
    optimizer = fresh(dynamic)
    for passes, amount in ((epochs // 3, 0.17), (epochs // 3, 0.17), (epochs - 2 * (epochs // 3), 0.0)):
        train(dynamic, optimizer, passes)
        cut(dynamic, amount)


def tfprune_trials(epochs: int, seeds: int) -> None:
    """The same trials here, for seeds 0 to `seeds` - 1."""
    with tempfile.TemporaryDirectory() as folder:
        common = {"dataset": "penguins", "epochs": epochs, "out": folder}
        configs = [Config(**common, method=method, seed=seed) for method in TRIALS for seed in range(seeds)]
        assert len(train_together(configs)) == len(configs)
    keras.backend.clear_session()


def seconds(act: Callable[[], None]) -> float:
    started = time.perf_counter()
    act()
    return time.perf_counter() - started


@click.command()
@click.option("--epochs", default=4000, show_default=True)
@click.option("--seeds", default=100, show_default=True, help="Networks that are trained side by side.")
@click.option("--rounds", default=3, show_default=True, help="Measurements of each, in turns.")
def main(epochs: int, seeds: int, rounds: int) -> None:
    """Compare the four penguin trials with the same in a plain PyTorch loop."""
    tfprune_trials(3, 1)  # imports and the first look at everything
    rows = []
    for _ in range(rounds):
        theirs = seconds(lambda: torch_trials(epochs))
        one, many = (seconds(lambda count=count: tfprune_trials(epochs, count)) for count in (1, seeds))
        rows.append((theirs, one, many / seeds))
        click.echo(f"PyTorch {theirs:.2f} s, one seed {one:.2f} s, {seeds} seeds {many / seeds:.3f} s a seed", err=True)
    for name, place in (("one seed", 1), (f"{seeds} seeds, per seed", 2)):
        ratio = statistics.median(row[place] / row[0] for row in rows)
        click.echo(f"{name}: {ratio:.3f} x PyTorch's time (median of {rounds})")
    used = versions()
    click.echo(
        f"{epochs:,} epochs; {machine()['cpu']}, {machine()['cores']} cores; TensorFlow {used['tensorflow']}, "
        f"PyTorch {torch.__version__}"
    )


if __name__ == "__main__":
    main(prog_name=Path(__file__).name)
