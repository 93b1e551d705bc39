"""The commands this part adds to `fedshow`."""

import typer

from fedshow_client.commands import check, client, tune

MODULES = (check, tune, client)


def register(app: typer.Typer) -> None:
    """Adds this part's commands to the program."""
    for module in MODULES:
        module.register(app)
