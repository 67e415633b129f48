"""`tfprune export`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from tfprune.cli._options import trust_option
from tfprune.cli._terminal import echo, echo_table, start_logging
from tfprune.cli._typed import again, as_typed, takes_data
from tfprune.exporting.formats import FORMATS

QUANTIZE = ("none", "dynamic", "int8", "float16")
LOSS = 0.01  # of accuracy, from which on it is pointed out


@click.command()
@trust_option
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--format", "name", type=click.Choice(list(FORMATS)), required=True, help="What to write.")
@click.option("--quantize", type=click.Choice(QUANTIZE), default="none", show_default=True, help="Smaller numbers.")
@click.option("--out", type=click.Path(path_type=Path), help="File to write; by default in RUN/exports.")
@takes_data
def export(run: Path, name: str, quantize: str, out: Path | None, **given: Any) -> None:
    """Write the model of the finished run in folder RUN in another format.

    The file is loaded again and compared with the model on the validation data before it counts. int8 is calibrated on
    training data. Which formats can be quantized how: tflite in every way, onnx to int8.
    """
    start_logging(steps=True)
    from tfprune.experiments.building import load_data, restore
    from tfprune.experiments.results import read_result
    from tfprune.experiments.rundir import RunDir
    from tfprune.exporting.conversion import convert

    result = read_result(RunDir(run))
    if out is None:
        result.folder.check_ownership()
    data = load_data(as_typed(result.config, given))
    path = out or result.folder.exports / _file_name(name, quantize)
    done = convert(restore(result, data), data, path, name, quantize)
    echo_table(
        [
            ("accuracy before, validation", f"{done.before:.2%} of {done.examples:,}"),
            ("accuracy after", f"{done.after:.2%}"),
            ("largest difference of a probability", f"{done.difference:.2g}"),
            ("size", f"{done.raw / 1000:,.1f} kB, {done.gzip / 1000:,.1f} kB gzipped"),
        ],
        ("exported", str(done.path)),
    )
    for line in done.unread:
        echo(f"Warning: {line}", err=True)
    if done.before - done.after > LOSS:
        echo(f"Warning: {100 * (done.before - done.after):.1f} points of accuracy are lost.", err=True)
    echo("", f"Next: tfprune bench {run}{again(given)}")


def _file_name(name: str, quantize: str) -> str:
    stem = name if not FORMATS[name].suffix else "model"
    return f"{stem}{'' if quantize == 'none' else f'-{quantize}'}{FORMATS[name].suffix}"
