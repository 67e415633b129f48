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
    from tfprune.experiments.exports import prepare_to_read, restore_brought, restore_model
    from tfprune.experiments.results import read_result
    from tfprune.experiments.run_data import load_data
    from tfprune.experiments.rundir import RunDir
    from tfprune.exporting.conversion import convert

    result = read_result(RunDir(run))
    if out is None:
        result.folder.check_ownership()
    prepare_to_read(result)
    data = load_data(as_typed(result.config, given))
    path = out or result.folder.exports / _file_name(name, quantize)
    if result.of_keras3 and name == "keras":
        from tfprune.exporting.keras3_file import convert_keras3

        done = convert_keras3(restore_brought(result, data), data, result.masks(), path, quantize)
    else:
        done = convert(restore_model(result, data), data, path, name, quantize)
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
