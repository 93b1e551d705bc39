"""`fedshow server …`: the aggregation server and what its owner does with it."""

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from fedshow.commands.output import JSON_OPTION, print_json, print_table, say
from fedshow_server.commands import audit, backup

if TYPE_CHECKING:
    from fedshow_server.folder import DataFolder, Facts
    from fedshow_server.store import Concept, Node

group = typer.Typer(
    no_args_is_help=True, help="The aggregation server: keeps concepts, fuses them, publishes."
)

group.add_typer(audit.group, name="audit")
group.command()(backup.backup)
group.command()(backup.restore)

DATA_OPTION = audit.DATA_OPTION


def register(app: typer.Typer) -> None:
    """Adds the group."""
    app.add_typer(group, name="server")


@group.command()
def run(
    data: Path | None = DATA_OPTION,
    base: str | None = typer.Option(None, help="The base model. [default: toyworld]"),
    listen: str | None = typer.Option(
        None, help="HOST:PORT of the public HTTPS door. [default: 127.0.0.1:8443]"
    ),
    grpc_listen: str | None = typer.Option(
        None, help="HOST:PORT for gRPC. [default: the next port]"
    ),
    public_name: str | None = typer.Option(
        None, help="Host name under which clients reach this server."
    ),
    database: str | None = typer.Option(
        None, help="sqlite:///FILE or postgresql://…; best in the environment. [default: SQLite]"
    ),
    store: str | None = typer.Option(
        None, help="Where content lies: a folder, or s3://BUCKET/PREFIX. [default: in the folder]"
    ),
    quiet_seconds: float | None = typer.Option(
        None, help="Fuse when this long no concept came or went. [default: 5]"
    ),
    max_concept_bytes: int | None = typer.Option(None, help="Largest concept file taken."),
    log_format: str | None = typer.Option(
        None, help="Log lines on stderr: text, or json for machines. [default: text]"
    ),
    ray: str | None = typer.Option(
        None, help="Ray cluster that fuses: auto, HOST:PORT or ray://HOST:PORT. [default: none]"
    ),
    config: Path | None = typer.Option(
        None, help="TOML file with these settings. [default: server.toml in the folder]"
    ),
    as_json: bool = JSON_OPTION,
) -> None:
    """Runs the server in the foreground until SIGTERM or Ctrl-C.

    Example: fedshow server run --data /srv/fedshow --listen 0.0.0.0:8443 --public-name fuse.example
    """
    import asyncio

    from fedshow_server.logs import quiet_grpc, set_up_logs
    from fedshow_server.settings import load_settings

    settings = load_settings(
        config,
        data=data,
        base=base,
        listen=listen,
        grpc_listen=grpc_listen,
        public_name=public_name,
        database=database,
        store=store,
        quiet_seconds=quiet_seconds,
        max_concept_bytes=max_concept_bytes,
        log_format=log_format,
        ray=ray,
    )
    quiet_grpc()
    set_up_logs(settings.log_format, settings.log_level)
    from fedshow_server.running import serve

    asyncio.run(serve(settings, partial(_say_ready, settings.data, as_json)))


def _say_ready(data: Path, as_json: bool, facts: "Facts") -> None:
    if as_json:
        print_json({"address": facts.address, "grpc": facts.grpc, "data": data})
    else:
        print(f"ready at https://{facts.address} (gRPC {facts.grpc})")
    sys.stdout.flush()


@group.command()
def invite(
    name: str = typer.Argument(help="What the new node shall be called."),
    data: Path | None = DATA_OPTION,
    hours: float = typer.Option(24.0, min=0.01, max=24 * 365, help="How long the code is good."),
    as_json: bool = JSON_OPTION,
) -> None:
    """Prints a join code: good once, for one node, for a limited time.

    Example: fedshow server invite anna-laptop
    """
    from datetime import timedelta

    from pydantic import TypeAdapter, ValidationError

    from fedshow.errors import InvalidInput
    from fedshow.joining import JoinCode, NodeName
    from fedshow_server.certificates import fingerprint
    from fedshow_server.folder import owners_store

    folder = _folder(data)
    facts = folder.facts()
    try:
        TypeAdapter(NodeName).validate_python(name)
    except ValidationError:
        raise InvalidInput(
            f"node name {name!r}: use 1 to 63 letters, digits, '.', '_', '-', no sign in front"
        ) from None
    with owners_store(data) as store:
        secret = store.members.invite(name, timedelta(hours=hours))
    ca_sha256 = fingerprint((folder.ca / "ca.pem").read_bytes())
    described = folder.base()
    base = described.card.name if described else ""
    code = JoinCode(address=facts.address, ca_sha256=ca_sha256, secret=secret, base=base).encode()
    if as_json:
        return print_json({"code": code, "node": name, "hours": hours})
    say(f"good once, for {hours:g} h; on the other machine: fedshow client join CODE")
    return print(code)


@group.command()
def key(data: Path | None = DATA_OPTION, as_json: bool = JSON_OPTION) -> None:
    """Prints the public key that releases are signed with, for `fedshow verify --key`.

    Example: fedshow server key
    """
    from fedshow_server.signing import open_signer

    folder = _folder(data)
    folder.facts()  # or there would be a new key wherever somebody asks
    public_key = open_signer(folder.ca).public_key
    if as_json:
        return print_json({"key": public_key})
    return print(public_key)


@group.command()
def concepts(data: Path | None = DATA_OPTION, as_json: bool = JSON_OPTION) -> None:
    """Lists all concepts, newest first.

    Example: fedshow server concepts --json
    """
    from fedshow_server.folder import owners_store

    with owners_store(data) as store:
        found = [_concept(concept) for concept in store.concepts.all()]
    if as_json:
        return print_json(found)
    head = ("name", "class", "state", "owner", "size_bytes", "created", "reason")
    return print_table(head, ([concept[key] for key in head] for concept in found))


@group.command()
def remove(
    name: str = typer.Argument(help="The concept's name."),
    data: Path | None = DATA_OPTION,
    as_json: bool = JSON_OPTION,
) -> None:
    """Takes a concept out: no release with it is the latest any more, and none follows with it.

    Example: fedshow server remove potter
    """
    from fedshow.concepts import check_name
    from fedshow_server.folder import owners_store

    with owners_store(data) as store:
        concept = store.concepts.withdraw(check_name(name))
    if as_json:
        return print_json(_concept(concept))
    return print(f"{name} is out of the next release")


@group.command()
def nodes(data: Path | None = DATA_OPTION, as_json: bool = JSON_OPTION) -> None:
    """Lists the nodes that joined.

    Example: fedshow server nodes
    """
    from fedshow_server.folder import owners_store

    with owners_store(data) as store:
        found = [_node(node) for node in store.members.nodes()]
    if as_json:
        return print_json(found)
    head = ("name", "joined", "revoked")
    return print_table(head, ([node[key] or "" for key in head] for node in found))


@group.command()
def revoke(
    name: str = typer.Argument(help="The node's name."),
    data: Path | None = DATA_OPTION,
    as_json: bool = JSON_OPTION,
) -> None:
    """Cuts a node off: its token is worth nothing at once; its concepts stay.

    Example: fedshow server revoke anna-laptop
    """
    from fedshow_server.folder import owners_store

    with owners_store(data) as store:
        node = store.members.revoke(name)
    if as_json:
        return print_json(_node(node))
    return print(f"{name} is cut off")


def _folder(data: Path | None) -> "DataFolder":
    from fedshow_server.folder import DataFolder
    from fedshow_server.settings import load_settings

    return DataFolder(load_settings(data=data).data)


def _concept(concept: "Concept") -> dict[str, object]:
    return {
        "name": concept.name,
        "class": concept.class_word,
        "state": str(concept.state),
        "owner": concept.owner,
        "size_bytes": concept.size_bytes,
        "created": concept.created.isoformat(timespec="seconds"),
        "reason": concept.reason,
        "sha256": concept.sha256,
    }


def _node(node: "Node") -> dict[str, object]:
    return {
        "name": node.name,
        "node_id": node.flower_id,
        "joined": node.joined.isoformat(timespec="seconds"),
        "revoked": node.revoked and node.revoked.isoformat(timespec="seconds"),
    }
