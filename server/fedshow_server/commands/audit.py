"""`fedshow server audit`: who did what, and whether the log still says so."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from fedshow.commands.options import JSON_OPTION
from fedshow.commands.output import print_json, print_table
from fedshow.errors import InvalidInput
from fedshow_server.commands.options import DATA_OPTION, data_folder

if TYPE_CHECKING:
    from fedshow_server.store import Entry


@dataclass(frozen=True)
class Before:
    """Options that stood before the subcommand."""

    data: Path | None
    as_json: bool


group = typer.Typer(invoke_without_command=True, suggest_commands=False)  # click does


@group.callback()
def audit(
    context: typer.Context,
    data: Path | None = DATA_OPTION,
    last: int | None = typer.Option(
        None, min=1, max=1_000_000, help="How many of the newest entries; 50 without it."
    ),
    as_json: bool = JSON_OPTION,
) -> None:
    """Lists who did what to what, when and from where, oldest first; `audit verify` checks it.

    Example: fedshow server audit --last 20
    """
    if command := context.invoked_subcommand:
        if last is not None:
            raise InvalidInput(f"--last {last} does not go with {command}: it checks the whole log")
        context.obj = Before(data, as_json)
        return None
    from fedshow_server.folder import owners_store

    with owners_store(data_folder(data)) as store:
        found = store.audit.last(last or 50)
    if as_json:
        return print_json([_entry(entry) for entry in found])
    head = ("#", "at", "who", "address", "action", "subject", "details")
    return print_table(head, map(_row, found))


@group.command()
def verify(
    context: typer.Context,
    data: Path | None = DATA_OPTION,
    head: str | None = typer.Option(
        None, help="POSITION:HASH from a log line of some day: notices a log that was cut off."
    ),
    as_json: bool = JSON_OPTION,
) -> None:
    """Checks the whole log and names the first entry that is not what was written.

    Example: fedshow server audit verify
    """
    from fedshow_server.folder import owners_store
    from fedshow_server.store import Head

    before: Before = context.obj
    data, as_json = data or before.data, as_json or before.as_json
    known = Head.parse(head) if head is not None else None
    with owners_store(data_folder(data)) as store:
        found = store.audit.verify(known)
    if as_json:
        return print_json({"entries": found.position, "head": str(found)})
    return print(f"{found.position} entries, none was changed; head {found}")


def _entry(entry: "Entry") -> dict[str, object]:
    return asdict(entry) | {"at": entry.at.isoformat()}


def _row(entry: "Entry") -> tuple[object, ...]:
    details = ", ".join(f"{key}={value}" for key, value in entry.details.items())
    at = entry.at.isoformat(" ", "seconds")
    return entry.position, at, entry.who, entry.address, entry.action, entry.subject, details
