"""The command line: commands parse, call, echo. Errors that the user can mend become one line and exit code 2."""

from __future__ import annotations

import sys
from typing import Any

import click

from tfprune.errors import TfpruneError, choose_from
from tfprune.registry import Registry

COMMANDS = Registry(
    "command",
    {
        "init": "tfprune.cli.init:init",
        "train": "tfprune.cli.train:train",
        "resume": "tfprune.cli.resume:resume",
        "compare": "tfprune.cli.compare:compare",
        "sweep": "tfprune.cli.sweep:sweep",
        "plan": "tfprune.cli.plan:plan",
        "compact": "tfprune.cli.compact:compact",
        "export": "tfprune.cli.export:export",
        "bench": "tfprune.cli.bench:bench",
        "report": "tfprune.cli.report:report",
        "overview": "tfprune.cli.overview:overview",
        "predict": "tfprune.cli.predict:predict",
        "runs": "tfprune.cli.runs:runs",
        "show": "tfprune.cli.show:show",
        "list": "tfprune.cli.list:list_names",
    },
)


LONGEST = 1000  # characters of an error; some quote what a person's file holds


class Cli(click.Group):
    """A group whose commands are imported when they are asked for."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        return COMMANDS[name] if name in COMMANDS else None

    def resolve_command(self, context: click.Context, args: list[str]) -> Any:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            raise click.UsageError(f"unknown command {args[0]!r}: {choose_from(args[0], COMMANDS)}", context)
        return super().resolve_command(context, args)


@click.group(cls=Cli, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="tfprune", message="%(prog)s %(version)s")
def cli() -> None:
    """Prune Keras models in the middle of training, and see what it did to them."""


def main() -> None:
    """Entry point: runs a command and turns errors into exit codes."""
    try:
        status = cli.main(standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.ctx.get_help())
        status = 0
    except click.ClickException as error:
        status = _fail(error.format_message())
    except TfpruneError as error:
        status = _fail(str(error))
    except (KeyboardInterrupt, click.Abort) as error:
        click.echo("Interrupted.", err=True)
        status = getattr(error.__cause__ or error, "exit_code", 130)
    sys.exit(status if isinstance(status, int) else 0)


def _fail(message: str) -> int:
    click.echo(f"Error: {_one_line(message)}", err=True)
    return 2


def _one_line(message: str) -> str:
    """Returns a message without what would move a terminal's cursor, and no longer than anybody reads."""
    line = "".join(c if c.isprintable() else "\ufffd" for c in " ".join(message.split()))
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 300]} ... {line[-300:]}"
