"""`tfprune predict`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from tfprune.cli._help import Command
from tfprune.cli._options import trust_option
from tfprune.cli._terminal import echo, echo_table
from tfprune.utils.errors import DataError
from tfprune.utils.progress import bars_off

if TYPE_CHECKING:
    from tfprune.exporting.inference import Prediction, Predictor

SHOWN_LABELS = 3  # of an image, most probable first


@click.command(cls=Command, short_help="Label files with a trained model.")
@trust_option
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=click.Path(path_type=Path))
def predict(model: Path, paths: tuple[Path, ...]) -> None:
    """Label what is in the files PATH... with MODEL, a run folder or a SavedModel of one.

    A model of images takes image files and folders of them; a model of rows takes CSV and
    Parquet files, one of arrays .npz and .npy files.
    """
    from tfprune.experiments.exports import model_folder
    from tfprune.experiments.results import check_model
    from tfprune.experiments.rundir import RunDir
    from tfprune.exporting.inference import Predictor

    if RunDir(model).exported:
        check_model(RunDir(model))
    predictor = Predictor(model_folder(model))
    if predictor.reads_images:
        _predict_images(predictor, paths)
    else:
        for path in paths:
            _predict_rows(predictor, path)


def _predict_rows(predictor: Predictor, path: Path) -> None:
    answer = predictor.predict_array if predictor.reads_arrays else predictor.predict_table
    rows = [
        (number, prediction.label, *(f"{prediction.probabilities[label]:.4f}" for label in predictor.labels))
        for number, prediction in enumerate(answer(path), start=1)
    ]
    echo_table(rows, ("row", predictor.target, *predictor.labels))


def _predict_images(predictor: Predictor, paths: tuple[Path, ...]) -> None:
    from tqdm import tqdm

    from tfprune.data._tfds import is_turned
    from tfprune.exporting.inference import image_paths

    rows, skipped, turned = [], [], 0
    for path in tqdm(list(image_paths(paths)), unit="image", disable=bars_off(), leave=False):
        try:
            answer = predictor.predict_image(path)
        except DataError as error:
            skipped.append(str(error))
        else:
            rows.append((path, answer.label, _most_probable(answer)))
            turned += is_turned(path)
    if not rows:
        raise DataError(
            skipped[0] if len(skipped) == 1 else f"none of {len(skipped)} files is an image that can be read"
        )
    echo_table(rows, ("file", predictor.target, "probabilities"))
    for line in skipped:
        echo(f"Skipped {line}", err=True)
    if turned:
        echo(f"Warning: {turned:,} images are marked to be turned (EXIF), and are read as they are stored.", err=True)


def _most_probable(answer: Prediction) -> str:
    ranked = sorted(answer.probabilities.items(), key=lambda item: -item[1])
    return ", ".join(f"{label} {probability:.1%}" for label, probability in ranked[:SHOWN_LABELS])
