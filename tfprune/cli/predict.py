"""`tfprune predict`."""

from __future__ import annotations

from pathlib import Path

import click

from tfprune.cli._output import echo_table


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("csv", type=click.Path(path_type=Path))
def predict(model: Path, csv: Path) -> None:
    """Label each row of file CSV with MODEL, a run folder or a SavedModel of one."""
    from tfprune.inference import Predictor

    predictor = Predictor(model)
    predictions = predictor.predict_csv(csv)
    echo_table(
        [
            (number, answer.label, *(f"{answer.probabilities[label]:.4f}" for label in predictor.labels))
            for number, answer in enumerate(predictions, start=1)
        ],
        ("row", predictor.target, *predictor.labels),
    )
