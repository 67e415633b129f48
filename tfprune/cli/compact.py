"""`tfprune compact`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from tfprune.cli._help import Command
from tfprune.cli._json import echo_json, json_option
from tfprune.cli._models import check_free, force_option
from tfprune.cli._options import trust_option
from tfprune.cli._terminal import echo, echo_table, start_logging
from tfprune.cli._typed import as_typed, takes_data
from tfprune.utils.text import counted


@click.command(cls=Command, short_help="Remove dead filters and units from a run's model.")
@trust_option
@click.argument("run", type=click.Path(path_type=Path))
@click.option("-o", "--out", type=click.Path(path_type=Path), help="What to write; by default RUN/exports/compact.")
@force_option
@takes_data
@json_option
def compact(run: Path, out: Path | None, force: bool, as_json: bool, **given: Any) -> None:
    """Remove the filters and units that pruning has left dead in the model of the finished run in folder RUN.

    A unit is dead if no weight reads it, or none makes it. The smaller model answers as before, which is checked, and
    is written as a SavedModel or, of Keras 3, as a .keras file.
    """
    start_logging(steps=True)
    from tfprune.experiments.exports import compacted_model, prepare_to_read
    from tfprune.experiments.results import read_result
    from tfprune.experiments.run_data import load_data
    from tfprune.experiments.rundir import RunDir
    from tfprune.pruning.counts import path_bytes

    result = read_result(RunDir(run))
    check_free(out, force=force)
    if out is None:
        result.folder.check_ownership()
    prepare_to_read(result)
    found, write = compacted_model(result, load_data(as_typed(result.config, given)))
    if as_json:
        done = write(out) if found.removed else None
        sizes = {"parameters": found.parameters, "macs": found.multiplications, "widths": found.widths}
        score = {done.metric.name: done.after} if done else {}
        echo_json({"out": done and done.path, "before_after": sizes} | score)
        return
    if not found.removed:
        count = sum(before for before, _ in found.widths.values())
        echo(
            f"Nothing is dead: weights that are not zero make and read each of the {count:,} filters and units.",
            "Scattered zeros make a model neither smaller nor faster. Nothing was written.",
        )
        return
    done = write(out)
    size = path_bytes(result.keras_model if result.of_keras3 else result.model)
    rows = [(name, f"{before:,}", f"{after:,}") for name, (before, after) in found.widths.items() if after < before]
    rows += [
        ("parameters", *(f"{number:,}" for number in found.parameters)),
        ("MACs", *(f"{number:,}" for number in found.multiplications)),
        ("kB gzipped", f"{size['gzip'] / 1000:,.1f}", f"{done.gzip / 1000:,.1f}"),
    ]
    echo_table(rows, ("filters, units", "before", "after"))
    label = f"{done.metric.label[:1].upper()}{done.metric.label[1:]}"
    kind = "Keras 3   " if result.of_keras3 else "SavedModel"
    score = f"{done.metric.text(done.after, 2)}, {counted(done.examples, 'validation example')}"
    echo("", f"{label:<12} {score}", f"{kind}   {done.path}")
