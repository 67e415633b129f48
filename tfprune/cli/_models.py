"""What the commands on a model's file share: options, tables of before and after, JSON."""

from __future__ import annotations

import dataclasses
import os
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tfprune.adapters.backend import BACKENDS, OF_KERAS, choose_backend
from tfprune.cli._json import json_option
from tfprune.cli._options import trust_option
from tfprune.cli._terminal import echo, echo_table
from tfprune.utils.checks import check_choice
from tfprune.utils.errors import ConfigError
from tfprune.utils.text import percent

if TYPE_CHECKING:
    from tfprune.experiments.on_files import Written
    from tfprune.exporting.model_files import Size

_KINDS = {"keras": "a .keras file", "h5": "an HDF5 file", "savedmodel": "a SavedModel"}


def _chosen(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    if value is not None:
        os.environ[OF_KERAS] = check_choice("--backend", value, BACKENDS)  # typed, so it counts more than what was set
        choose_backend(value)
    return value


backend_option = click.option(
    "--backend",
    metavar="|".join(BACKENDS),
    is_eager=True,
    callback=_chosen,
    help="What Keras 3 computes with; TensorFlow unless KERAS_BACKEND says otherwise.",
)
force_option = click.option("--force", is_flag=True, help="Replace a file that is there.")


def writes_a_model(made: str) -> Callable[[Callable], Callable]:
    """Returns what adds the argument MODEL and the options of commands that make another model's file of it.

    Args:
        made: what is done to it, in a word, for the name of the file.
    """

    def beside(context: click.Context, _: click.Parameter, value: Path | None) -> Path:
        model = context.params["model"]
        return model.with_name(f"{model.stem}-{made}{model.suffix}") if value is None else value

    def add(command: Callable) -> Callable:
        for option in (
            json_option,
            force_option,
            trust_option,
            backend_option,
            click.option(
                "-o",
                "--out",
                callback=beside,
                metavar="FILE",
                type=click.Path(path_type=Path),
                help="File to write, in the format of MODEL.",
                show_default=f"MODEL-{made}, beside it",
            ),
            click.argument("model", is_eager=True, type=click.Path(path_type=Path)),
        ):
            command = option(command)
        return command

    return add


def check_backend(path: Path, written_by: str, backend: str | None) -> None:
    """Raises `ConfigError` if a backend was asked for and the model is of tf_keras, which has one."""
    if backend not in (None, "tensorflow") and written_by != "Keras 3":
        raise ConfigError(
            f"{path}: it was written by {written_by}, which computes with TensorFlow alone; leave --backend out"
        )


def check_free(out: Path | None, *, force: bool) -> None:
    """Raises `ConfigError` if a person has named a file that is there already, and not said that it may be replaced."""
    if out is not None and out.exists() and not force:
        raise ConfigError(f"{out}: is there already; --force replaces it")


def echo_written(done: Written, force: bool) -> None:
    """Prints what became of a model's file, and what to do next.

    Args:
        done: what was written.
        force: whether the command said so, which the suggested one does in any case.
    """
    before, after, source = done.before, done.after, done.source
    bound = "≥ " if before.uncounted else ""
    rows = [
        ("parameters", *_counts(before.parameters, after.parameters)),
        ("kernel weights", *_counts(before.kernel_weights, after.kernel_weights)),
        ("zeros among them", *(f"{s.kernel_zeros:,} ({percent(s.sparsity)})" for s in (before, after)), ""),
        ("MACs of an example", *_counts(before.macs, after.macs, bound)),
        ("file, kB", *_kilobytes(before.raw, after.raw)),
        ("file gzipped, kB", *_kilobytes(before.gzip, after.gzip)),
    ]
    if (first := done.accuracies.get("before")) is not None:
        rows += [
            (what, percent(first, 2), percent(done.accuracies[name], 2), "")
            for what, name in (("accuracy, test", "after"), ("accuracy, fine-tuned", "tuned"))
            if name in done.accuracies
        ]
    echo_table(rows, ("", "before", "after", "after / before"))
    echo("", f"Wrote {done.path}, {_KINDS[source.form]} of {source.written_by}; it was loaded again and compared.")
    if done.remark:
        echo(f"Note: {done.remark}.")
    if done.data:
        echo(f"Note: {done.data}")
    if before.uncounted:
        echo(f"Note: MACs are without those of {', '.join(before.uncounted[:8])}, which are not known.")
    if done.optimizer_bytes:
        echo(
            f"Note: {source.path} also holds an optimizer's state, {done.optimizer_bytes / 1000:,.1f} kB, which is in "
            "neither size and not in the new file; compile the model before it is trained on."
        )
    lines = [f"tfprune bench {quoted(source.path)} {quoted(done.path)}"]
    if "tuned" not in done.accuracies:
        data = "" if done.accuracies else " --dataset DATA"
        lines.append(f"{_again(force)}{data} --finetune-epochs 3   # trains what is left")
    echo(*(f"{'' if number else 'Next:':<6}{line}" for number, line in enumerate(lines)))


def _again(force: bool) -> str:
    """Returns the command as it was typed, to be typed once more."""
    return shlex.join(["tfprune", *sys.argv[1:], *([] if force else ["--force"])])


def written_as_dict(done: Written) -> dict[str, Any]:
    """Returns what became of a model's file, as JSON holds it."""
    sizes = {name: {**dataclasses.asdict(s), "sparsity": s.sparsity} for name, s in _sizes(done)}
    places = {"model": str(done.source.path), "out": str(done.path)}
    kinds = {"format": done.source.form, "written_by": done.source.written_by}
    return {**places, **kinds, **sizes, "accuracy": dict(done.accuracies), "note": done.remark, "data": done.data}


def _sizes(done: Written) -> tuple[tuple[str, Size], ...]:
    return ("before", done.before), ("after", done.after)


def is_model(path: Path) -> bool:
    """Returns whether a path is a model's file and no run: any file, or a folder with a SavedModel of its own."""
    return path.is_file() or (path / "saved_model.pb").is_file()


def quoted(path: Path) -> str:
    """Returns a path as a shell reads it."""
    return shlex.quote(str(path))


def _counts(old: int, new: int, bound: str = "") -> tuple[str, str, str]:
    return f"{bound}{old:,}", f"{bound}{new:,}", f"{new / old:.2f}" if old else ""


def _kilobytes(old: int, new: int) -> tuple[str, str, str]:
    return f"{old / 1000:,.1f}", f"{new / 1000:,.1f}", f"{new / old:.2f}" if old else ""
