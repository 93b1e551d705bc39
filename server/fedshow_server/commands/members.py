"""Who belongs to a server and what they brought: on this machine, or from afar as its owner's node."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from fedshow.commands.completing import servers
from fedshow.commands.options import JSON_OPTION
from fedshow.commands.output import print_json, print_table, say
from fedshow.roles import Role
from fedshow_server.commands.options import DATA_OPTION, data_folder
from fedshow_server.members.invitations import LONGEST_HOURS, SHORTEST_HOURS

if TYPE_CHECKING:
    from google.protobuf.timestamp_pb2 import Timestamp

    from fedshow.v1.admin_pb2 import Node
    from fedshow.v1.concepts_pb2 import Concept, Removal

SERVER_OPTION = typer.Option(
    None,
    "--server",
    autocompletion=servers,
    help="A joined server where this node is an owner. [default: the one here]",
)
FILE_OPTION = typer.Option(
    None,
    "--sha256",
    help="The file you looked at, as `fedshow server concepts --json` lists it. [default: any]",
)
Ask = Callable[[str, Any], Any]
"""Makes a call of AdminService, by name."""


def register(group: typer.Typer) -> None:
    """Adds the commands to `fedshow server`."""
    for command in (invite, nodes, revoke):
        group.command()(command)
    for about in (concepts, remove, approve, reject):
        group.command()(about)


def invite(
    name: str = typer.Argument(help="What the new node shall be called."),
    role: Role = typer.Option(Role.CONTRIBUTOR, help="What it may do here."),
    hours: float = typer.Option(
        24.0, min=SHORTEST_HOURS, max=LONGEST_HOURS, help="How long the code is good."
    ),
    data: Path | None = DATA_OPTION,
    server: str | None = SERVER_OPTION,
    as_json: bool = JSON_OPTION,
) -> None:
    """Prints a join code: good once, for one node, for a limited time.

    A downloader lists, watches and downloads releases; a contributor also brings concepts; an owner also
    does what these commands do, from afar.

    Example: fedshow server invite anna-laptop --role contributor
    """
    from fedshow.v1 import admin_pb2 as pb

    with _owner(data, server) as ask:
        number = pb.NodeRole.Value(f"NODE_ROLE_{role.upper()}")
        request = pb.InviteNodeRequest(name=name, role=number, hours=hours)
        code = ask("InviteNode", request).code
    if as_json:
        return print_json({"code": code, "node": name, "role": role, "hours": hours})
    say(f"good once, for {hours:g} h, for a {role}; on its machine: fedshow client join CODE")
    return print(code)


def nodes(
    data: Path | None = DATA_OPTION,
    server: str | None = SERVER_OPTION,
    as_json: bool = JSON_OPTION,
) -> None:
    """Lists the nodes that joined.

    Example: fedshow server nodes
    """
    from fedshow.v1.admin_pb2 import ListNodesRequest

    with _owner(data, server) as ask:
        found = [_node(node) for node in ask("ListNodes", ListNodesRequest()).nodes]
    if as_json:
        return print_json(found)
    head = ("name", "role", "joined", "revoked")
    return print_table(head, ([node[key] or "" for key in head] for node in found))


def revoke(
    name: str = typer.Argument(help="The node's name."),
    data: Path | None = DATA_OPTION,
    server: str | None = SERVER_OPTION,
    as_json: bool = JSON_OPTION,
) -> None:
    """Cuts a node off: its token and key are worth nothing at once; its concepts stay.

    Example: fedshow server revoke anna-laptop
    """
    from fedshow.v1.admin_pb2 import RevokeNodeRequest

    with _owner(data, server) as ask:
        node = ask("RevokeNode", RevokeNodeRequest(name=name)).node
    if as_json:
        return print_json(_node(node))
    return print(f"{name} is cut off")


def concepts(
    pending: bool = typer.Option(False, "--pending", help="Only those that wait for a decision."),
    data: Path | None = DATA_OPTION,
    server: str | None = SERVER_OPTION,
    as_json: bool = JSON_OPTION,
) -> None:
    """Lists all concepts, newest first.

    Example: fedshow server concepts --json
    """
    from fedshow.v1.admin_pb2 import ListAllConceptsRequest

    with _owner(data, server) as ask:
        found = ask("ListAllConcepts", ListAllConceptsRequest()).concepts
    listed = [_concept(concept) for concept in found]
    if pending:
        listed = [concept for concept in listed if concept["state"] == "pending"]
    if as_json:
        return print_json(listed)
    head = ("name", "class", "state", "owner", "visible to", "size_bytes", "created", "remark")
    return print_table(head, map(_row, listed))


def remove(
    name: str = typer.Argument(help="The concept's name."),
    data: Path | None = DATA_OPTION,
    server: str | None = SERVER_OPTION,
    as_json: bool = JSON_OPTION,
) -> None:
    """Takes a concept out: no release with it is the latest any more, and none follows with it.

    Example: fedshow server remove potter
    """
    _decide("RemoveConcept", name, data, server, as_json, "is out of the next release")


def approve(
    name: str = typer.Argument(help="The concept's name."),
    data: Path | None = DATA_OPTION,
    server: str | None = SERVER_OPTION,
    as_json: bool = JSON_OPTION,
    sha256: str | None = FILE_OPTION,
) -> None:
    """Lets a pending concept into the next release, whatever is odd about it.

    Example: fedshow server approve potter
    """
    _decide("ApproveConcept", name, data, server, as_json, "goes into the next release", sha256)


def reject(
    name: str = typer.Argument(help="The concept's name."),
    data: Path | None = DATA_OPTION,
    server: str | None = SERVER_OPTION,
    as_json: bool = JSON_OPTION,
    sha256: str | None = FILE_OPTION,
) -> None:
    """Refuses a pending concept for good.

    Example: fedshow server reject potter
    """
    _decide("RejectConcept", name, data, server, as_json, "is refused", sha256)


def _decide(
    call: str,
    name: str,
    data: Path | None,
    server: str | None,
    as_json: bool,
    outcome: str,
    sha256: str | None = None,
) -> None:
    """Makes the owner's call about one concept, or one file of it, and says what became of it."""
    from fedshow.v1 import admin_pb2

    request = getattr(admin_pb2, f"{call}Request")(name=name)
    if sha256 is not None:
        request.sha256 = sha256
    with _owner(data, server) as ask:
        concept = ask(call, request).concept
    if as_json:
        return print_json(_concept(concept))
    return print(f"{name} {outcome}")


@contextmanager
def _owner(data: Path | None, server: str | None) -> Iterator[Ask]:
    """The owner's calls, on the server of this data folder, or on a joined one. Raises InvalidInput."""
    from fedshow.errors import InvalidInput

    if server is not None and data is not None:
        raise InvalidInput("give --data for a server on this machine, or --server, not both")
    with _from_afar(server) if server is not None else _here(data) as ask:
        yield ask


@contextmanager
def _here(data: Path | None) -> Iterator[Ask]:
    from fedshow_server.folder import owners_store
    from fedshow_server.services.administration import Administration

    folder = data_folder(data)
    with owners_store(folder) as store:
        administration = Administration(store, folder)
        yield lambda call, request: getattr(administration, call)(request)


@contextmanager
def _from_afar(server: str) -> Iterator[Ask]:
    from fedshow.transfer.connection import Connection
    from fedshow.transfer.servers import find_server, home_folder

    with Connection(find_server(server, home_folder())) as connection:
        yield lambda call, request: connection.call(getattr(connection.admin, call), request)


def _row(concept: dict[str, Any]) -> tuple[object, ...]:
    named, removal = concept["visible_to"], concept["removal"]
    visible = "everybody" if named is None else " ".join(named) or "its node"
    remark = concept["reason"]
    if removal:
        remark = f"out of the statistics; differs by {removal['largest_difference']:.1e}"
    keys = ("name", "class", "state", "owner"), ("size_bytes", "created")
    first, second = ([concept[key] for key in each] for each in keys)
    return (*first, visible, *second, remark)


def _concept(concept: "Concept") -> dict[str, Any]:
    from fedshow.v1.concepts_pb2 import ConceptState

    return {
        "name": concept.name,
        "class": concept.class_word,
        "state": ConceptState.Name(concept.state).removeprefix("CONCEPT_STATE_").lower(),
        "owner": concept.owner,
        "size_bytes": concept.size_bytes,
        "created": _moment(concept.created),
        "reason": concept.reason,
        "sha256": concept.sha256,
        "visible_to": list(concept.visible.nodes) if concept.HasField("visible") else None,
        "removal": _removal(concept.removal) if concept.HasField("removal") else None,
    }


def _removal(found: "Removal") -> dict[str, Any]:
    return {
        "at": _moment(found.at),
        "remaining": found.remaining,
        "remaining_sha256": found.remaining_sha256,
        "largest_difference": found.largest_difference,
    }


def _node(node: "Node") -> dict[str, Any]:
    from fedshow.v1.admin_pb2 import NodeRole

    return {
        "name": node.name,
        "role": NodeRole.Name(node.role).removeprefix("NODE_ROLE_").lower(),
        "node_id": node.node_id or None,
        "joined": _moment(node.joined),
        "revoked": _moment(node.revoked) if node.HasField("revoked") else None,
    }


def _moment(found: "Timestamp") -> str:
    return found.ToDatetime(UTC).isoformat(timespec="seconds")
