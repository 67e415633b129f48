"""`tfprune plan`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tfprune.cli._help import Command
from tfprune.cli._options import make_config, run_options
from tfprune.cli._suggestions import train_command
from tfprune.cli._terminal import echo, echo_table, start_logging
from tfprune.structured.widths import FLOOR, SCOPES
from tfprune.training.setting_checks import REMOVING
from tfprune.utils.checks import check_fraction, check_whole
from tfprune.utils.errors import ConfigError
from tfprune.utils.text import milliseconds, percent

if TYPE_CHECKING:
    from tfprune.experiments.planning import Candidate, Planner, Times
    from tfprune.training.config import Config

NO_FASTER = 0.95  # of the time of the whole model
SPEEDS = ("training", "inference")
ONE_OF = "say what to plan by exactly one of --keep, --sparsity and the --target options"


@click.command(cls=Command, short_help="Predict what removing filters or branches gains.")
@run_options(granularity="filter")
@click.option("--config", "file", type=click.Path(path_type=Path), help="Settings from a .json or .toml file.")
@click.option("--keep", type=float, help="Share of each group's filters and units, or of the branches, that stays.")
@click.option("--target-speedup", type=float, help="How many times as fast, as measured here.")
@click.option(
    "--speed-of", type=click.Choice(SPEEDS), default=SPEEDS[0], show_default=True, help="What is to be so fast."
)
@click.option("--target-macs", type=float, help="Most multiply-adds: a number, or a share in (0, 1).")
@click.option("--target-parameters", type=float, help="Most parameters: a number, or a share in (0, 1).")
@click.option("--target-bytes", type=float, help="Most bytes of float32 weights: a number, or a share in (0, 1).")
@click.option("--rounds", type=int, default=15, show_default=True, help="Measurements of each time, in turns.")
def plan(
    file: Path | None,
    keep: float | None,
    target_speedup: float | None,
    speed_of: str,
    target_macs: float | None,
    target_parameters: float | None,
    target_bytes: float | None,
    rounds: int,
    **given: Any,
) -> None:
    """Show what removing filters and units, or residual branches (--granularity branch), would come to, with times that
    are measured here. Nothing is trained.

    The widths are those of --keep (or --sparsity), or the widest ones that meet a target, the same share of every
    group. With --scope global or isomorphic each group has a width of its own: what is worth least for its cost goes,
    as with tfprune shrink. For a time, networks of other widths are measured; worth is what channels.criterion makes of
    the weights that the model has.
    """
    rounds = check_whole("--rounds", rounds, least=1)
    sparsity = given.pop("sparsity", None)
    if sparsity is not None and keep is not None:
        raise ConfigError(ONE_OF)
    keep = keep if sparsity is None else 1 - check_fraction("--sparsity", sparsity)
    sizes = {"macs": target_macs, "parameters": target_parameters, "bytes": target_bytes}
    sizes = {name: most for name, most in sizes.items() if most is not None}
    if (keep is not None) + (target_speedup is not None) + len(sizes) != 1:
        raise ConfigError(ONE_OF)
    if any(most <= 0 for most in sizes.values()):
        raise ConfigError("a target must be above 0")
    granularity = given.get("granularity") or "filter"
    if granularity not in REMOVING:
        raise ConfigError(f"plan is of granularity {' or '.join(REMOVING)}, of which something goes, not {granularity}")
    config = make_config(file, given | {"method": "pruned", "granularity": granularity})
    if config.strategy != "none":
        raise ConfigError("plan measures on one device; leave --strategy out")
    start_logging(steps=True)
    from tfprune.experiments.libraries import library_of, prepare

    prepare(config)
    from tfprune.experiments.planning import Planner
    from tfprune.experiments.run_data import load_data
    from tfprune.structured.branches import BRANCHES

    planner = Planner(library_of(config, load_data(config)), rounds)
    if config.scope != SCOPES[0]:
        [(name, most)] = sizes.items() if sizes else [("keep", keep) if keep is not None else _of_time(target_speedup)]
        chosen = planner.best(speed_of if name == "latency" else name, most, config.scope)
        _echo(planner, chosen, planner.times(chosen), rounded=True)
        if name == "latency" and speed_of == "training":
            echo("tfprune shrink finds widths by the time of an answer (--target-latency), not of a training step.")
        elif config.exclude:
            echo("tfprune shrink has no --exclude; a training that has it removes as large a share of the channels.")
            echo(f"Next: {train_command(config, '--sparsity', f'{1 - chosen.keep:.6g}')}")
        else:
            echo(f"Next: {_shrink_command(config, name, most)}")
        return
    if keep is not None:
        chosen = planner.at(keep)
    elif target_speedup is not None:
        chosen = planner.faster(target_speedup, speed_of)
    else:
        [(name, most)] = sizes.items()
        chosen = planner.within(name, most)
    _echo(planner, chosen, planner.times(chosen))
    gone = chosen.removed.get(BRANCHES)  # those that were measured, whatever a criterion would say
    rest = {key: value for key, value in config.channel_settings.items() if key != "order"}
    order = ["--set", f"channels.order={','.join(gone)}"] if gone else []
    command = train_command(config.replace(channel_settings=rest), "--sparsity", f"{1 - chosen.keep:.6g}", *order)
    echo(f"Next: {command}")


def _of_time(factor: float) -> tuple[str, float]:
    if not factor > 1:
        raise ConfigError(f"--target-speedup must be above 1, got {factor:g}")
    return "latency", 1 / factor


def _shrink_command(config: Config, name: str, most: float) -> str:
    """Returns what makes a trained model so narrow: runs know no targets."""
    criterion, multiple = (config.channel_settings[name] for name in ("criterion", "multiple"))
    model = config.model if config.has_own_model and Path(config.model).exists() else "MODEL"
    amount = f"--{'keep' if name == 'keep' else f'target-{name}'} {most:.6g}"
    options = f"--scope {config.scope} --floor {FLOOR:g} --criterion {criterion} --multiple {multiple}"
    return f"tfprune shrink {shlex.quote(model)} --out SMALLER {amount} {options}"


def _echo(planner: Planner, chosen: Candidate, times: Times, *, rounded: bool = False) -> None:
    from tfprune.structured.branches import BRANCHES

    whole = planner.at(1.0)
    rows = []
    for name, (parameters, macs) in whole.kernels.items():
        left = chosen.kernels.get(name, (0, 0))
        rows.append((name, f"{parameters:,}", f"{left[0]:,}", f"{macs:,}", f"{left[1]:,}"))
    rows.append(("the model", *(f"{n:,}" for n in (whole.parameters, chosen.parameters, whole.macs, chosen.macs))))
    groups = [
        (
            name,
            "" if name == BRANCHES else ", ".join(layers),
            str(planner.channel_tracker.sizes[name]),
            str(chosen.widths[name]),
        )
        for name, layers in planner.channel_tracker.producers().items()
    ]
    gone = chosen.removed.get(BRANCHES, ())
    echo_table(groups, ("what goes" if gone else "filters, units", "of", "before", "after"))
    if gone:
        echo(f"Gone: {', '.join(gone)}")
    for name, reason in planner.channel_tracker.skipped.items():
        echo(f"Left alone: {name}: {reason}")
    echo()
    echo_table(rows, ("kernel", "parameters", "after", "MACs", "after"))
    echo()
    taken = []
    for what, said in zip(SPEEDS, ("a training step", "an answer to one example"), strict=True):
        before, after = getattr(times, what)
        taken.append(
            (f"{said}, ms", milliseconds(before.median), milliseconds(after.median), f"{times.ratio(what):.2f}")
        )
    taken.append(
        (
            "kB of float32 weights",
            f"{whole.bytes / 1000:,.0f}",
            f"{chosen.bytes / 1000:,.0f}",
            f"{chosen.bytes / whole.bytes:.2f}",
        )
    )
    echo_table(taken, ("measured", "before", "after", "after / before"))
    what = "residual branches" if gone else "filters and units"
    echo("", f"{percent(chosen.keep)} of the {what} stay{'' if rounded else ', before rounding'}.")
    for what in SPEEDS:
        if times.ratio(what) > NO_FASTER:
            echo(f"It does not pay for {what}: the narrower model takes {times.ratio(what):.2f} x the time.")
