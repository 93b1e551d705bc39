"""The commands this part adds to `fedshow`."""

import typer


def register(app: typer.Typer) -> None:
    """Adds this part's commands to the program."""
