"""`fedshow`, one program: collects the commands of the parts that are installed."""

import os
import sys
from functools import cache
from importlib.metadata import entry_points

import typer
import typer.core

from fedshow import __version__
from fedshow.errors import FedshowError

os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")  # nothing here phones home
os.environ.setdefault("FLWR_DISABLE_UPDATE_CHECK", "1")

typer.core.HAS_RICH = False  # or brackets in plain help are escaped for a renderer that is off

app = typer.Typer(
    name="fedshow",
    help="Teach a concept on your own machine, fuse everybody's, draw them together.",
    no_args_is_help=True,
    rich_markup_mode=None,  # brackets in help texts mean brackets
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


@app.callback()
def program(
    debug: bool = typer.Option(False, "--debug", help="Show tracebacks."),
    version: bool = typer.Option(
        False, "--version", callback=_print_version, is_eager=True, help="Show the version."
    ),
) -> None:
    """Options of every command."""
    if debug:
        os.environ["FEDSHOW_DEBUG"] = "1"


@cache
def build() -> typer.Typer:
    """The program with the commands of every installed part, each once."""
    for point in sorted(entry_points(group="fedshow.commands"), key=lambda p: p.name):
        point.load()(app)
    return app


def main() -> None:
    """Runs the program; a typed error becomes one line and its exit code."""
    try:
        build()()
    except FedshowError as error:
        if os.environ.get("FEDSHOW_DEBUG"):
            raise
        print(f"fedshow: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except Exception as error:
        if os.environ.get("FEDSHOW_DEBUG"):
            raise
        print(f"fedshow: {type(error).__name__}: {error} (--debug shows more)", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
