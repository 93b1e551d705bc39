"""`fedshow releases`: what a server has to offer."""

from typing import TYPE_CHECKING, Any

import typer

from fedshow.commands.completing import servers
from fedshow.commands.options import JSON_OPTION, WAIT_OPTION
from fedshow.commands.output import print_json, print_table, say, say_waiting

if TYPE_CHECKING:
    from fedshow.v1.releases_pb2 import Release


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("releases")(releases)


def releases(
    server: str = typer.Argument(
        autocompletion=servers, help="A joined server, by name or HOST:PORT."
    ),
    wait: float = WAIT_OPTION,
    as_json: bool = JSON_OPTION,
) -> None:
    """Lists a server's releases, newest first.

    Example: fedshow releases home --json
    """
    from fedshow.transfer.backoff import Patience, patiently
    from fedshow.transfer.connection import Connection
    from fedshow.transfer.releases import list_releases
    from fedshow.transfer.servers import find_server, home_folder

    with Connection(find_server(server, home_folder())) as connection:
        patience = Patience(wait, say_waiting)
        found = [_described(r) for r in patiently(lambda: list_releases(connection), patience)]
    if as_json:
        return print_json(found)
    if not found:
        return say("no release yet: the first one follows the first concept")
    rows = ((r["id"], r["created"][:19], _names(r)) for r in found)
    return print_table(("release", "created", "concepts"), rows)


def _names(release: dict[str, Any]) -> str:
    gone = release["withdrawn"]
    return ", ".join(f"{n} (withdrawn)" if n in gone else n for n in release["concepts"])


def _described(release: "Release") -> dict[str, Any]:
    return {
        "id": release.id,
        "created": release.created.ToJsonString(),
        "concepts": list(release.concepts),
        "withdrawn": list(release.withdrawn),
        "base_sha256": release.base_sha256,
        "manifest_sha256": release.manifest_sha256,
    }
