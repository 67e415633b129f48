"""Help in sections: what an option is about, and what commands are for."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import click

from tfprune.cli._terminal import set_verbosity

_BRACKETED = re.compile(r"\[default: \((.*)\)\]", re.DOTALL)  # how click shows a default that stands elsewhere
QUIET = "Neither progress nor warnings on stderr."
VERBOSE = "Say each step on stderr, also where that is no terminal."
SECTIONS: Mapping[str, tuple[str, ...]] = {  # title -> parameters of any command, in this order
    "Data": ("dataset", "label", "text", "task", "missing", "data_dir", "stream", "rescale"),
    "Model": ("model", "pretrained", "trust"),
    "Pruning": (
        *("method", "methods", "sparsity", "compression", "keep", "granularity", "pattern", "pooling", "scope"),
        *(
            "criterion",
            "multiple",
            "exclude",
            "include",
            "target_speedup",
            "speed_of",
            "target_macs",
            "target_parameters",
        ),
        *("target_bytes", "target_latency", "runtime", "floor"),
    ),
    "Training": (
        *("epochs", "finetune_epochs", "equal_budget", "batch_size", "learning_rate", "optimizer", "seed", "seeds"),
        *("metrics", "class_weight", "first_seed", "precision", "strategy", "xla", "deterministic"),
    ),
    "Where it runs": ("executor", "jobs", "backend", "address", "cpus_per_trial", "gpus_per_trial"),
    "Output": (
        *("out", "files", "figure", "figures", "pages", "wide", "json_file", "as_json", "form", "force", "dry_run"),
        *("checkpoint_every", "mlflow"),
    ),
}


def _verbose(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value:
        set_verbosity(1 if parameter.name == "verbose" else -1)


class Command(click.Command):
    """A command that can be quiet and verbose, whose help gathers its options in sections; what is in none is last."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.params += [
            click.Option(["-q", "--quiet"], is_flag=True, expose_value=False, callback=_verbose, help=QUIET),
            click.Option(["-v", "--verbose"], is_flag=True, expose_value=False, callback=_verbose, help=VERBOSE),
        ]

    def make_context(self, *arguments: Any, **settings: Any) -> click.Context:
        set_verbosity(0)  # of a command before this one in the same process
        return super().make_context(*arguments, **settings)

    def format_options(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        records = {
            parameter.name: (record[0], _BRACKETED.sub(r"[default: \1]", record[1]))
            for parameter in self.get_params(context)
            if isinstance(parameter, click.Option) and (record := parameter.get_help_record(context)) is not None
        }
        known = {name for names in SECTIONS.values() for name in names}
        sections = {title: [name for name in names if name in records] for title, names in SECTIONS.items()}
        rest = [name for name in records if name not in known]
        if sum(map(bool, sections.values())) < 2:
            sections, rest = {}, list(records)
        for title, names in {**sections, "Other options" if sections else "Options": rest}.items():
            if names:
                with formatter.section(title):
                    formatter.write_dl([records[name] for name in names], col_max=28)


def write_commands(
    formatter: click.HelpFormatter, groups: Mapping[str, Sequence[str]], summaries: Mapping[str, str]
) -> None:
    """Writes commands by what they are for.

    Args:
        formatter: of click.
        groups: title -> names of commands.
        summaries: name -> a line, which is not cut.
    """
    longest = max(map(len, summaries))
    for title, names in groups.items():
        with formatter.section(title):
            formatter.write_dl([(name.ljust(longest), summaries[name]) for name in names])
