"""`tfprune summary`."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import click

from tfprune.cli._help import Command
from tfprune.cli._json import echo_json, json_option
from tfprune.cli._models import backend_option, check_backend, quoted
from tfprune.cli._options import trust_option
from tfprune.cli._terminal import echo, echo_table, start_logging
from tfprune.utils.checks import check_names


@click.command(cls=Command, short_help="Show a model in a file layer by layer.")
@click.argument("model", type=click.Path(path_type=Path))
@trust_option
@backend_option
@click.option("--include", metavar="WEIGHT,...", default="", help="Weights that count as kernels too.")
@json_option
def summary(model: Path, include: str, as_json: bool, backend: str | None) -> None:
    """Show the layers of the model in file MODEL: parameters, sparsity, MACs."""
    start_logging()
    from tfprune.exporting.model_files import read_model
    from tfprune.pruning.counts import path_bytes
    from tfprune.structured.summaries import HEADERS
    from tfprune.structured.summaries import summary as summarised

    found = read_model(model)
    check_backend(found.path, found.written_by, backend)
    table, size = summarised(found.model, check_names("--include", include)), path_bytes(model)
    if as_json:
        totals = {"parameters": table.parameters, "sparsity": table.sparsity, "macs": table.macs}
        layers = [dataclasses.asdict(layer) | {"sparsity": layer.sparsity} for layer in table.layers]
        kinds = {"format": found.form, "written_by": found.written_by}
        echo_json({"model": str(model), **kinds, **totals, **size, "layers": layers})
        return
    echo_table(table.rows(), HEADERS)
    echo(
        "",
        f"{model}: {found.written_by}, {size['raw'] / 1000:,.1f} kB, {size['gzip'] / 1000:,.1f} kB gzipped",
        f"Next: tfprune prune {quoted(model)} -o sparse{model.suffix} --sparsity 0.8",
    )
