"""The commands this part adds to `fedshow`."""

import typer

from fedshow.commands import demo, hub, pull, releases, sample, verify

MODULES = (demo, sample, releases, pull, hub, verify)


def register(app: typer.Typer) -> None:
    """Adds this part's commands to the program."""
    for module in MODULES:
        module.register(app)
