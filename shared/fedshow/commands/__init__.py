"""The commands this part adds to `fedshow`."""

import typer

from fedshow.commands import (
    demo,
    doctor,
    evaluate,
    export,
    hub,
    import_concept,
    pull,
    releases,
    sample,
    verify,
)

MODULES = (demo, doctor, sample, evaluate, export, import_concept, releases, pull, hub, verify)


def register(app: typer.Typer) -> None:
    """Adds this part's commands to the program."""
    for module in MODULES:
        module.register(app)
