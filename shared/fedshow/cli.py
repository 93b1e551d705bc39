"""`fedshow`, one program: collects the commands of the parts that are installed."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

import typer
import typer.core
from click.exceptions import NoArgsIsHelpError, UsageError

from fedshow import __version__
from fedshow.children import QUIET
from fedshow.ending import DEBUG_VARIABLE, exit_code_of
from fedshow.errors import InvalidInput

if TYPE_CHECKING:
    from click import Context

for variable, value in QUIET.items():
    os.environ.setdefault(variable, value)

typer.core.HAS_RICH = False  # or brackets in plain help are escaped for a renderer that is off

DEBUG = "--debug"


@contextmanager
def _told_in_one_line() -> Iterator[None]:
    """Words that fit no command or option are told as any other input that is wrong."""
    try:
        yield
    except NoArgsIsHelpError:
        raise
    except UsageError as error:
        says = " ".join(error.format_message().split()).rstrip(".")
        command = error.ctx.command_path if error.ctx else "fedshow"
        raise InvalidInput(says).then(f"{command} --help") from None


class Program(typer.core.TyperGroup):
    """Takes `--debug` wherever it stands: people add it to the command that has just failed."""

    def parse_args(self, ctx: "Context", args: list[str]) -> list[str]:
        """Moves the option to the front, unless it stands behind `--`."""
        end = args.index("--") if "--" in args else len(args)
        before = [word for word in args[:end] if word != DEBUG]
        front = [DEBUG] if len(before) < end else []
        with _told_in_one_line():
            return super().parse_args(ctx, [*front, *before, *args[end:]])

    def invoke(self, ctx: "Context") -> Any:
        """Reads the words of the commands below, too, and does what they say."""
        with _told_in_one_line():
            return super().invoke(ctx)


app = typer.Typer(
    name="fedshow",
    cls=Program,
    help="Teach a concept on your own machine, fuse everybody's, draw them together.\n\n"
    "Example: fedshow demo --out demo",
    epilog="Exit codes: 0 done, 1 it failed, 2 the input is wrong, 130 after Ctrl-C, 141 when "
    "nobody reads the output any more.",
    no_args_is_help=True,
    suggest_commands=False,  # click does
    rich_markup_mode=None,  # brackets in help texts mean brackets
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


@app.callback()
def program(
    debug: bool = typer.Option(False, DEBUG, help="Show tracebacks."),
    version: bool = typer.Option(
        False, "--version", callback=_print_version, is_eager=True, help="Show the version."
    ),
) -> None:
    """Options of every command."""
    if debug:
        os.environ[DEBUG_VARIABLE] = "1"


@cache
def build() -> typer.Typer:
    """The program with the commands of every installed part, each once."""
    for point in sorted(entry_points(group="fedshow.commands"), key=lambda p: p.name):
        point.load()(app)
    return app


def main() -> None:
    """Runs the program and ends the process with its exit code."""
    sys.exit(exit_code_of(lambda: build()(prog_name="fedshow")))


if __name__ == "__main__":
    main()
