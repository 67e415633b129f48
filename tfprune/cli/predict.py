"""`tfprune predict`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tfprune.cli._help import Command
from tfprune.cli._json import echo_json, json_option
from tfprune.cli._options import trust_option
from tfprune.cli._terminal import echo, echo_table
from tfprune.data.objectives import DEFAULT, OBJECTIVES
from tfprune.utils.errors import ConfigError, DataError
from tfprune.utils.files import atomic_write, written_to
from tfprune.utils.progress import progress_bar
from tfprune.utils.text import csv_text, percent

if TYPE_CHECKING:
    from tfprune.exporting.inference import Prediction, Predictor

SHOWN_LABELS = 3  # of an image, most probable first
SUFFIXES = (".csv", ".json")  # of --out


@click.command(cls=Command, short_help="Label files with a trained model.")
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--out",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="A .csv or .json file to write, with all digits, instead of a table; for masks a folder of PNG.",
)
@trust_option
@json_option
def predict(model: Path, paths: tuple[Path, ...], out: Path | None, as_json: bool) -> None:
    """Label what is in the files PATH... with MODEL, a run folder or a SavedModel of one.

    A model of images takes image files and folders of them; a model of rows takes CSV and
    Parquet files, one of arrays .npz and .npy files.
    """
    if out is not None and out.suffix:
        _check_out(out, (model, *paths))
    from tfprune.experiments.exports import model_folder
    from tfprune.experiments.results import check_model
    from tfprune.experiments.rundir import RunDir
    from tfprune.exporting.inference import Predictor

    if RunDir(model).exported:
        check_model(RunDir(model))
    predictor = Predictor(model_folder(model))
    masks = out is not None and not out.suffix and "mask" in OBJECTIVES[predictor.task].returned
    if out is not None and not masks:
        _check_out(out, (model, *paths))
    read = _images if predictor.reads_images else _rows
    answers, notes = read(predictor, paths)
    if out is not None:
        (_write_masks if masks else _write)(out, predictor, answers)
        echo(f"Wrote {out}: {len(answers):,} {'answer' if len(answers) == 1 else 'answers'}", err=as_json)
    if as_json:
        task = {} if predictor.task == DEFAULT else {"task": predictor.task}
        echo_json({"target": predictor.target, "labels": predictor.labels, **task, "answers": _as_dicts(answers)})
    elif out is None:
        (_echo_images if predictor.reads_images else _echo_rows)(predictor, answers)
    for note in notes:
        echo(note, err=True)


Answer = tuple[Path, int | None, "Prediction"]  # the file, the row in it from 1, the answer


def _check_out(out: Path, inputs: Sequence[Path]) -> None:
    """Raises `ConfigError` if a file is to be written that is read, or of no known format."""
    if out.suffix.lower() not in SUFFIXES:
        raise ConfigError(f"--out {out}: the file must end in {' or '.join(SUFFIXES)}")
    if out.is_dir() or any(path.exists() and out.exists() and out.samefile(path) for path in inputs):
        raise ConfigError(f"--out {out}: this is a folder or a file that is read; name another file")


def _rows(predictor: Predictor, paths: Sequence[Path]) -> tuple[list[Answer], list[str]]:
    answer = predictor.predict_array if predictor.reads_arrays else predictor.predict_table
    return [(path, number, own) for path in paths for number, own in enumerate(answer(path), start=1)], []


def _images(predictor: Predictor, paths: Sequence[Path]) -> tuple[list[Answer], list[str]]:
    from tfprune.data._tfds import is_turned
    from tfprune.exporting.inference import image_paths

    answers: list[Answer] = []
    skipped, turned = [], 0
    for path in progress_bar(list(image_paths(paths)), unit="image", leave=False):
        try:
            answers.append((path, None, predictor.predict_image(path)))
        except DataError as error:
            skipped.append(str(error))
        else:
            turned += is_turned(path)
    if not answers:
        raise DataError(
            skipped[0] if len(skipped) == 1 else f"none of {len(skipped)} files is an image that can be read"
        )
    notes = [f"Skipped {line}" for line in skipped]
    if turned:
        notes.append(f"Warning: {turned:,} images are marked to be turned (EXIF), and are read as they are stored.")
    return answers, notes


def _echo_rows(predictor: Predictor, answers: Sequence[Answer]) -> None:
    several = sum(number == 1 for _, number, _ in answers) > 1  # of files
    rows = [
        (
            *((path,) if several else ()),
            *(number, *_named(own), *(f"{value:,.6g}" for value in own.values.values())),
            *(f"{own.probabilities[label]:.4f}" for label in own.probabilities),
        )
        for path, number, own in answers
    ]
    echo_table(rows, (*(("file",) if several else ()), "row", *_headers(predictor, answers)))


def _named(answer: Prediction) -> tuple[str, ...]:
    """Returns the label of an answer, if it has one."""
    return () if answer.label is None else (answer.label,)


def _headers(predictor: Predictor, answers: Sequence[Answer]) -> tuple[str, ...]:
    """Returns the columns of answers: the label where they have one, then a number for each label or target."""
    named = any(own.label is not None for _, _, own in answers)
    return (*((predictor.target,) if named else ()), *predictor.labels)


def _echo_images(predictor: Predictor, answers: Sequence[Answer]) -> None:
    if any(own.values for _, _, own in answers):
        rows = [(path, *(f"{value:,.6g}" for value in own.values.values())) for path, _, own in answers]
        echo_table(rows, ("file", *predictor.labels))
        return
    rows = [(path, *_named(own), _most_probable(own)) for path, _, own in answers]
    masks = any(own.mask is not None for _, _, own in answers)
    echo_table(rows, ("file", *(() if masks else (predictor.target,)), "pixels" if masks else "probabilities"))


def _most_probable(answer: Prediction) -> str:
    ranked = sorted(answer.probabilities.items(), key=lambda item: -item[1])
    return ", ".join(f"{label} {percent(probability)}" for label, probability in ranked[:SHOWN_LABELS])


def _as_dicts(answers: Sequence[Answer]) -> list[dict[str, Any]]:
    found = []
    for path, number, own in answers:
        numbers = {"values": own.values} if own.values else {"label": own.label, "probabilities": own.probabilities}
        if own.mask is not None:
            numbers = {"pixels": own.probabilities, "mask": own.mask.tolist()}
        found.append({"file": str(path), "row": number, **numbers})
    return found


def _write_masks(out: Path, predictor: Predictor, answers: Sequence[Answer]) -> None:
    """Writes a mask of class numbers for each image into a folder, as PNG."""
    from PIL import Image

    names = [f"{path.stem}.png" for path, _, _ in answers]
    if len(set(names)) < len(names):
        raise ConfigError(f"--out {out}: two images have the same name; name those of one folder")
    if any(path.resolve() == (out / name).resolve() for (path, _, _), name in zip(answers, names, strict=True)):
        raise ConfigError(f"--out {out}: the images are in this folder; name another one for the masks")
    with written_to(out):
        out.mkdir(parents=True, exist_ok=True)
        for name, (_, _, own) in zip(names, answers, strict=True):
            with atomic_write(out / name) as draft:
                Image.fromarray(own.mask).save(draft, "png")


def _write(out: Path, predictor: Predictor, answers: Sequence[Answer]) -> None:
    if out.suffix.lower() == ".json":
        text = json.dumps(_as_dicts(answers), indent=2) + "\n"
    else:
        headers = ("file", "row", *_headers(predictor, answers))
        cells = [
            (str(path), number, *_named(own), *(own.values or own.probabilities).values())
            for path, number, own in answers
        ]
        text = csv_text(headers, cells)
    with written_to(out), atomic_write(out) as draft:
        draft.write_text(text, encoding="utf-8")
