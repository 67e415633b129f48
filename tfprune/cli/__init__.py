"""The command line: commands parse, call, echo. Errors that the user can fix become one line and exit code 2."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import Any

import click

from tfprune.cli._help import write_commands
from tfprune.cli._terminal import echo
from tfprune.utils.errors import TfpruneError, choose_from
from tfprune.utils.registry import Registry
from tfprune.utils.system_errors import explain_error, is_output_error
from tfprune.utils.text import LONGEST, one_line

GROUPS = {  # title -> commands, each `tfprune.cli.NAME:NAME`
    "Train and compare": ("init", "train", "resume", "compare", "sweep", "plan"),
    "Model files": ("summary", "prune", "shrink"),
    "Runs or model files": ("export", "bench", "predict", "compact"),
    "Results": ("runs", "show", "report", "overview"),
    "Help": ("list", "doctor"),
}
FUNCTIONS = {"list": "list_names"}  # of a module, where it is not called as the command
COMMANDS = Registry(
    "command",
    {name: f"tfprune.cli.{name}:{FUNCTIONS.get(name, name)}" for names in GROUPS.values() for name in names},
)
ALIASES = {"benchmark": "bench", "ls": "runs", "convert": "export", "sparsify": "prune", "info": "summary"}

CLOSED_PIPE = 128 + 13  # as a shell has it of a command that SIGPIPE ended


class _BrokenPipe(Exception):
    """A broken pipe on its way past click, which takes each for one of the output and ends without a word."""

    def __init__(self, error: BrokenPipeError) -> None:
        super().__init__(str(error))
        self.error = error


@contextlib.contextmanager
def _past_click() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError as error:
        raise _BrokenPipe(error) from None


class Cli(click.Group):
    """A group whose commands are imported when they are asked for."""

    def make_context(self, *arguments: Any, **settings: Any) -> click.Context:
        with _past_click():  # help is printed here
            return super().make_context(*arguments, **settings)

    def invoke(self, context: click.Context) -> Any:
        with _past_click():
            return super().invoke(context)

    def list_commands(self, context: click.Context) -> list[str]:
        return [*COMMANDS]  # `list` is a module here, once that command has been asked for

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        write_commands(formatter, GROUPS, {name: COMMANDS[name].short_help for name in COMMANDS})

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        return COMMANDS[name] if name in COMMANDS else None

    def resolve_command(self, context: click.Context, args: list[str]) -> Any:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            meant = ALIASES.get(args[0])
            near = f"did you mean {meant}?" if meant else choose_from(args[0], COMMANDS)
            raise click.UsageError(f"unknown command {args[0]!r}: {near}", context)
        return super().resolve_command(context, args)


@click.group(cls=Cli, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="tfprune", message="tfprune %(version)s")
def cli() -> None:
    """Prune Keras models in the middle of training, and see what it did to them."""
    from tfprune.reporting.made import source_date

    source_date()  # libraries read it too, hours later and with a traceback


def main() -> None:
    """Entry point: runs a command and turns errors into exit codes."""
    try:
        status = _run()
    except _BrokenPipe as broken:
        status = _end(broken.error)
    except (OSError, ValueError) as error:
        status = _end(error)
    sys.exit(status)


def _run() -> int:
    try:
        status = cli.main(standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        echo(*error.message.split("\n"))
        status = 0
    except click.ClickException as error:
        status = _fail(error.format_message())
    except TfpruneError as error:
        status = _fail(error)
    except (KeyboardInterrupt, click.Abort) as error:
        echo("Interrupted.", err=True)
        status = getattr(error.__cause__ or error, "exit_code", 130)
    return status if isinstance(status, int) else 0


def _end(error: OSError | ValueError) -> int:
    """Says in one line what the system would not do; a bug goes on as it came."""
    if isinstance(error, BrokenPipeError) and is_output_error(error):
        return CLOSED_PIPE
    if (reason := explain_error(error)) is None:
        raise error
    return _fail(reason)


def _fail(message: object) -> int:
    with contextlib.suppress(OSError):  # stderr may be full too: the exit code says it then
        echo(f"Error: {one_line(message, LONGEST)}", err=True)
    return 2
