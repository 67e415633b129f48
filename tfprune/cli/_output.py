"""What commands print."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Any

import click

from tfprune.results import Result


def start_logging() -> None:
    """Shows the package's warnings on stderr, one line each."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
    logger = logging.getLogger("tfprune")
    logger.handlers[:] = [handler]


def echo_table(rows: Iterable[Sequence[Any]], headers: Sequence[str]) -> None:
    """Prints a plain table."""
    from tabulate import tabulate

    click.echo(tabulate(list(rows), headers, tablefmt="simple", disable_numparse=True, stralign="left"))


def echo_result(result: Result) -> None:
    """Prints loss, accuracy, sparsity and sizes of a finished run."""
    metrics = result.metrics
    click.echo(f"\n{result.config.run_id}, finished in {metrics['seconds']['total']:.0f} s\n")
    splits = ("train", "validation", "test")
    echo_table(
        [(name, f"{metrics[name]['loss']:.4f}", f"{metrics[name]['accuracy']:.1%}") for name in splits],
        ("split", "loss", "accuracy"),
    )
    layers = metrics["sparsity"]["layers"].values()
    zeros, size = sum(layer["zeros"] for layer in layers), sum(layer["size"] for layer in layers)
    click.echo(
        f"\nSparsity     {metrics['sparsity']['achieved']:.1%} ({zeros:,} of {size:,} kernel weights are zero)\n"
        f"Parameters   {metrics['nonzero_parameters']:,} of {metrics['parameters']:,} are not zero\n"
        f"Size         {metrics['bytes']['raw'] / 1000:,.1f} kB, {metrics['bytes']['gzip'] / 1000:,.1f} kB gzipped"
    )
