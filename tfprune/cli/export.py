"""`tfprune export`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tfprune.cli._finetuning import data_of, data_options, of_a_run
from tfprune.cli._help import Command
from tfprune.cli._json import echo_json, json_option
from tfprune.cli._models import backend_option, check_backend, check_free, force_option, is_model, quoted
from tfprune.cli._options import trust_option
from tfprune.cli._terminal import echo, echo_table, start_logging
from tfprune.cli._typed import again, as_typed
from tfprune.experiments.rundir import RunDir
from tfprune.exporting.formats import FORMATS, QUANTIZED
from tfprune.utils.checks import check_choice
from tfprune.utils.errors import ConfigError, choose_from
from tfprune.utils.files import written_to
from tfprune.utils.text import counted

if TYPE_CHECKING:
    from tfprune.experiments.results import Result

QUANTIZE = ("none", *dict.fromkeys(how for own in QUANTIZED.values() for how in own))
LOSS = 0.01  # of accuracy, from which on it is pointed out


@click.command(cls=Command, short_help="Write a model in another format: TFLite, ONNX, ...")
@click.argument("run", metavar="RUN|MODEL", type=click.Path(path_type=Path))
@click.option("--format", "name", metavar="|".join(FORMATS), required=True, help="What to write.")
@click.option("--quantize", metavar="|".join(QUANTIZE), default="none", show_default=True, help="Smaller numbers.")
@click.option(
    "-o",
    "--out",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="File to write; by default in RUN/exports, or beside MODEL.",
)
@force_option
@data_options
@trust_option
@backend_option
@json_option
def export(
    run: Path, name: str, quantize: str, out: Path | None, force: bool, as_json: bool, backend: str | None, **given: Any
) -> None:
    """Write the model of the finished run in folder RUN, or the model in file MODEL, in another format.

    The file is loaded again and compared with the model before it counts: that of a run on the validation data, that of
    a MODEL on --dataset or on made-up numbers. int8 is calibrated on training data; int8-io has int8
    inputs and outputs too, for microcontrollers. tflite can be quantized in every way, onnx to int8.
    """
    check_choice("--format", name, FORMATS)
    if quantize not in (can := ("none", *QUANTIZED.get(name, ()))):
        raise ConfigError(f"format {name} cannot be quantized to {quantize!r}: {choose_from(quantize, can)}")
    start_logging(steps=True)
    if is_model(run):
        _export_file(run, name, quantize, out, force, as_json, backend, given)
    else:
        _export_run(run, name, quantize, out, force, as_json, of_a_run(given, backend))


def _export_run(
    run: Path, name: str, quantize: str, out: Path | None, force: bool, as_json: bool, given: dict[str, Any]
) -> None:
    from tfprune.experiments.exports import prepare_to_read, restore_brought, restore_model
    from tfprune.experiments.results import read_result
    from tfprune.experiments.run_data import load_data
    from tfprune.exporting.conversion import convert

    result = read_result(RunDir(run))
    check_free(out, force=force)
    if out is None:
        result.folder.check_ownership()
    prepare_to_read(result)
    data = load_data(as_typed(result.config, given))
    path = out or result.folder.exports / _file_name("model", name, quantize)
    if result.of_keras3 and name == "keras":
        from tfprune.exporting.keras3_file import convert_keras3

        masks = {} if result.config.removes else result.masks()  # of a model that is smaller now
        done = convert_keras3(restore_brought(result, data), data, masks, path, quantize)
    else:
        done = convert(restore_model(result, data), data, path, name, quantize)
    for line in done.unread:
        echo(f"Warning: {line}", err=True)
    card = _write_card(result, path)
    metric = done.metric
    if done.loss > (LOSS if metric.share else LOSS * abs(done.before)):
        lost = f"{100 * done.loss:.1f} points of {metric.label} are lost"
        echo(f"Warning: {lost if metric.share else f'{metric.label} is {metric.text(done.loss)} higher'}.", err=True)
    if as_json:
        scores = {"before": done.before, "after": done.after}
        echo_json(_as_dict(run, name, quantize, done) | {metric.name: scores, "difference": done.difference})
        return
    echo(f"Exported: {done.path}", "")
    echo_table(
        [
            (f"{metric.label} before, {counted(done.examples, 'validation example')}", metric.text(done.before, 2)),
            (f"{metric.label} after", metric.text(done.after, 2)),
            (f"largest difference of a {'probability' if metric.share else 'value'}", f"{done.difference:.2g}"),
            _size(done),
        ],
        ("", _kind(name, quantize)),
    )
    if done.description:
        echo("", f"Inputs, columns and labels of the file: {done.description}")
    echo("", f"Model card: {card}", "", f"Next: tfprune bench {quoted(run)}{again(given)}")


def _write_card(result: Result, path: Path) -> Path:
    """Writes the card of a run's model beside an export of it; one that describes another run stays."""
    from tfprune.experiments.model_card import describes, write_card

    card = path.with_name(result.folder.card.name)
    if card.exists() and not describes(card, result):
        card = path.with_name(f"{path.name}.{card.name}")
    exported = result.folder.exported_files if path.parent == result.folder.exports else [path]
    own = [file for file in exported if file.suffix not in (".json", ".md")]
    with written_to(card):
        return write_card(result, card, own)


def _export_file(
    model: Path,
    name: str,
    quantize: str,
    out: Path | None,
    force: bool,
    as_json: bool,
    backend: str | None,
    given: dict[str, Any],
) -> None:
    config, rescale = data_of(given)
    if quantize.startswith("int8") and config is None:
        raise ConfigError("int8 is calibrated on examples: add --dataset, or take --quantize dynamic or float16")
    from tfprune.experiments.on_files import export_file

    path = out or model.with_name(_file_name(model.stem if model.is_file() else model.name, name, quantize))
    done = export_file(
        *(model, path, name, quantize),
        config=config,
        rescale=rescale,
        force=force,
        check=lambda found: check_backend(found.path, found.written_by, backend),
    )
    for line in done.unread:
        echo(f"Warning: {line}", err=True)
    if as_json:
        echo_json(_as_dict(model, name, quantize, done) | {"differences": dict(done.differences)})
        return
    compared = f"{done.examples:,} {'examples of --dataset' if config else 'made-up examples'}"
    echo(f"Exported: {done.path}", "")
    echo_table(
        [
            *((f"largest difference of {output}", f"{own:.2g}") for output, own in done.differences.items()),
            ("compared on", compared),
            _size(done),
        ],
        ("", _kind(name, quantize)),
    )
    echo("", f"Next: tfprune bench {quoted(model)} {quoted(path)}")


def _kind(name: str, quantize: str) -> str:
    return name if quantize == "none" else f"{name}, {quantize}"


def _size(done: Any) -> tuple[str, str]:
    return "size", f"{done.raw / 1000:,.1f} kB, {done.gzip / 1000:,.1f} kB gzipped"


def _as_dict(source: Path, name: str, quantize: str, done: Any) -> dict[str, Any]:
    what = {"model": str(source), "out": str(done.path), "format": name, "quantize": quantize}
    return {**what, "raw": done.raw, "gzip": done.gzip, "examples": done.examples, "notes": list(done.unread)}


def export_command(run: Path, file: str) -> str:
    """Returns the command that gives a run a file of a name in its folder of exports.

    >>> export_command(Path("runs/one"), "model-int8.tflite")
    'tfprune export runs/one --format tflite --quantize int8'
    """
    from tfprune.experiments.exports import COMPACT

    suffix, stem = Path(file).suffix, Path(file).stem
    if file in (COMPACT, f"{COMPACT}.keras"):
        return f"tfprune compact {quoted(run)}"
    name = next(name for name in FORMATS if FORMATS[name].suffix == suffix)
    quantize = next((how for how in QUANTIZED.get(name, ()) if stem.endswith(f"-{how}")), "none")
    words = ["--format", name, *(["--quantize", quantize] if quantize != "none" else [])]
    if file != _file_name("model", name, quantize):
        words += ["--out", quoted(RunDir(run).exports / file)]
    return " ".join(["tfprune export", quoted(run), *words])


def _file_name(stem: str, name: str, quantize: str) -> str:
    stem = stem if FORMATS[name].suffix else name if stem == "model" else f"{stem}-{name}"
    return f"{stem}{'' if quantize == 'none' else f'-{quantize}'}{FORMATS[name].suffix}"
