"""The commands this part adds to `fedshow`."""

import typer

from fedshow_server.commands import fuse, server

MODULES = (fuse, server)


def register(app: typer.Typer) -> None:
    """Adds this part's commands to the program."""
    for module in MODULES:
        module.register(app)
