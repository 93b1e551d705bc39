"""Owners at the server's command line and from afar: the same commands and answers, written down."""

import json
from collections.abc import Callable

import pytest

from fedshow.errors import Forbidden, InvalidInput, NotFound
from fedshow.joining import JoinCode
from fedshow.roles import Role
from fedshow.v1 import concepts_pb2 as cpb
from fedshow_server.commands import members as commands
from tests.server.conftest import Member


@pytest.fixture(params=["here", "from afar"])
def owner(request, server, everybody, home):
    """Where the owner types: `--data`, `--server`, and what the audit log says of who it was."""
    if request.param == "here":
        return (server.data, None), "owner "
    everybody[Role.OWNER].keep(home, server)
    return (None, "home"), "node olga"


@pytest.fixture
def tell(owner, capsys) -> Callable:
    """Runs a command as the owner; gives its answer."""

    def run(command, *words):
        command(*words, *owner[0], True)
        return json.loads(capsys.readouterr().out)

    return run


def entries(server, action):
    store = server.store()
    found = [entry for entry in store.audit.last(200) if entry.action == action]
    store.close()
    return found


def test_invited_listed_and_revoked(server, owner, tell, request):
    name = f"guest-{request.node.callspec.id.replace(' ', '-')}"
    made = tell(commands.invite, name, Role.DOWNLOADER, 2.0)
    code = JoinCode.parse(made["code"])
    assert (made["role"], code.address) == ("downloader", f"127.0.0.1:{server.port}")
    guest = Member.redeem(server, code)
    assert (guest.reply.role, guest.reply.node_id) == (Role.DOWNLOADER, None)
    (listed,) = [node for node in tell(commands.nodes) if node["name"] == name]
    assert (listed["role"], listed["node_id"], listed["revoked"]) == ("downloader", None, None)
    assert tell(commands.revoke, name)["revoked"] is not None
    with server.http() as client:
        assert client.get("/api/releases", headers=guest.bearer).status_code == 403
    with pytest.raises(NotFound, match=f"no active node '{name}'"):
        tell(commands.revoke, name)
    for action in ("node.invited", "node.revoked"):
        (entry,) = [entry for entry in entries(server, action) if entry.subject == name]
        assert entry.who.startswith(owner[1])


def test_any_concept_can_be_taken_out(server, owner, tell, everybody, tools, request):
    member = everybody[Role.CONTRIBUTOR]
    name = f"dobby-{request.node.callspec.id.replace(' ', '-')}"
    blob = tools.concept_bytes(name)
    with member.calls() as calls:
        wanted = cpb.SubmitConceptRequest(
            name=name,
            class_word="man",
            sha256=member.put(blob),
            size_bytes=len(blob),
            base_sha256=tools.card.sha256,
        )
        calls.concepts.SubmitConcept(wanted, timeout=60)
    (listed,) = [one for one in tell(commands.concepts) if one["name"] == name]
    assert (listed["state"], listed["owner"]) == ("wanted", "anna")
    assert tell(commands.remove, name)["state"] == "withdrawn"
    (entry,) = [entry for entry in entries(server, "concept.removed") if entry.subject == name]
    assert entry.who.startswith(owner[1])


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (("no name", Role.OWNER, 1.0), "node name 'no name'"),
        (("carla", Role.OWNER, 9e9), r"9e\+09 hours: use 0.01 to 8760"),
        (("anna", Role.OWNER, 1.0), "there is a node 'anna' already"),
    ],
)
def test_what_cannot_be_is_refused_by_name(tell, member, words, error):
    with pytest.raises(InvalidInput, match=error):
        tell(commands.invite, *words)


def test_from_afar_only_owners_do_this(server, everybody, home):
    for role in (Role.CONTRIBUTOR, Role.DOWNLOADER):
        everybody[role].keep(home, server)
        with pytest.raises(Forbidden, match=f"is a {role} here"):
            commands.nodes(None, "home", True)
    with pytest.raises(InvalidInput, match="not both"):
        commands.nodes(server.data, "home", True)
