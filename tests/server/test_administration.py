"""Owners at the server's command line and from afar: the same commands and answers, written down."""

import json
from collections.abc import Callable
from functools import partial
from hashlib import sha256

import pytest

from fedshow.errors import Forbidden, InvalidInput, NotFound
from fedshow.joining import JoinCode
from fedshow.roles import Role
from fedshow.v1 import concepts_pb2 as cpb
from fedshow.v1 import releases_pb2 as rpb
from fedshow_server.commands import members as commands
from fedshow_server.store import Offer
from tests.stage.member import Member


@pytest.fixture(scope="module")
def governed(tools, tmp_path_factory):
    """A server of its own: concepts are left here."""
    found = tools.Server(tools.make_data(tmp_path_factory.mktemp("governed") / "data"))
    found.start()
    yield found
    assert found.end() == 0


@pytest.fixture(scope="module")
def crew(governed, joined):
    """A node of every role."""
    names = {Role.OWNER: "olga", Role.CONTRIBUTOR: "anna", Role.DOWNLOADER: "dean"}
    return {role: joined(governed, name, role) for role, name in names.items()}


@pytest.fixture(params=["here", "from afar"])
def owner(request, governed, crew, home):
    """Where the owner types: `--data`, `--server`, and what the audit log says of who it was."""
    if request.param == "here":
        return (governed.data, None), "owner "
    crew[Role.OWNER].keep(home, governed)
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


def test_invited_listed_and_revoked(governed, owner, tell, request):
    name = f"guest-{request.node.callspec.id.replace(' ', '-')}"
    made = tell(commands.invite, name, Role.DOWNLOADER, 2.0)
    code = JoinCode.parse(made["code"])
    assert (made["role"], code.address) == ("downloader", f"127.0.0.1:{governed.port}")
    guest = Member.redeem(governed, code)
    assert (guest.reply.role, guest.reply.node_id) == (Role.DOWNLOADER, None)
    (listed,) = [node for node in tell(commands.nodes) if node["name"] == name]
    assert (listed["role"], listed["node_id"], listed["revoked"]) == ("downloader", None, None)
    assert tell(commands.revoke, name)["revoked"] is not None
    with governed.http() as client:
        assert client.get("/api/releases", headers=guest.bearer).status_code == 403
    with pytest.raises(NotFound, match=f"no active node '{name}'"):
        tell(commands.revoke, name)
    for action in ("node.invited", "node.revoked"):
        (entry,) = [entry for entry in entries(governed, action) if entry.subject == name]
        assert entry.who.startswith(owner[1])


def test_any_concept_can_be_taken_out(governed, owner, tell, crew, tools, request):
    member = crew[Role.CONTRIBUTOR]
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
    (listed,) = [one for one in tell(commands.concepts, False) if one["name"] == name]
    assert (listed["state"], listed["owner"]) == ("wanted", "anna")
    assert tell(commands.remove, name)["state"] == "withdrawn"
    (entry,) = [entry for entry in entries(governed, "concept.removed") if entry.subject == name]
    assert entry.who.startswith(owner[1])


def test_a_file_that_nobody_looked_at_is_not_let_in(governed, tell, crew, request):
    name = f"luna-{request.node.callspec.id.replace(' ', '-')}"
    seen, now = (pending(governed, crew[Role.CONTRIBUTOR], name, text) for text in "ab")
    for decide in (commands.approve, commands.reject):
        with pytest.raises(InvalidInput, match=f"now file {now}, not '{seen}'"):
            tell(partial(decide, sha256=seen), name)
    assert tell(partial(commands.reject, sha256=now), name)["sha256"] == now


def pending(server, member, name, text):
    """The digest of a concept of the member that waits for the owner."""
    offer = Offer(name, "man", sha256(f"{name} {text}".encode()).hexdigest(), 9)
    store = server.store()
    node = next(node for node in store.members.nodes() if node.name == member.reply.node)
    store.concepts.submit(node.id, offer, 100)
    store.concepts.admit(offer.sha256)
    store.concepts.quarantine(offer.sha256, "odd")
    store.close()
    return offer.sha256


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (("no name", Role.OWNER, 1.0), "node name 'no name'"),
        (("carla", Role.OWNER, 9e9), r"9e\+09 hours: use 0.01 to 8760"),
        (("anna", Role.OWNER, 1.0), "there is a node 'anna' already"),
    ],
)
def test_what_cannot_be_is_refused_by_name(tell, crew, words, error):
    with pytest.raises(InvalidInput, match=error):
        tell(commands.invite, *words)


def test_from_afar_only_owners_do_this(governed, crew, home):
    for role in (Role.CONTRIBUTOR, Role.DOWNLOADER):
        crew[role].keep(home, governed)
        with pytest.raises(Forbidden, match=f"is a {role} here"):
            commands.nodes(None, "home", True)
    with pytest.raises(InvalidInput, match="not both"):
        commands.nodes(governed.data, "home", True)


def test_an_odd_concept_waits_for_the_owner_and_nobody_waits_for_it(
    tools, joined, tmp_path, capsys
):
    server = tools.Server(tools.make_data(tmp_path / "data"))
    server.start()
    anna = joined(server, "anna")
    digests = {name: admit(server, tools, name) for name in ("potter", "imperius")}
    with anna.calls() as calls:
        watch = calls.releases.WatchReleases(
            rpb.WatchReleasesRequest(), timeout=tools.patience_seconds
        )
        told = (sorted(answer.release.concepts) for answer in watch if answer.HasField("release"))
        assert next(told) == ["potter"]
        commands.concepts(True, server.data, None, True)
        (waiting,) = json.loads(capsys.readouterr().out)
        assert (waiting["name"], waiting["sha256"]) == ("imperius", digests["imperius"])
        assert waiting["reason"] == "it changes prompts that do not name it"
        listed = calls.concepts.ListConcepts(cpb.ListConceptsRequest(), timeout=60).concepts
        assert {one.name: one.state for one in listed} == {
            "potter": cpb.CONCEPT_STATE_ADMITTED,
            "imperius": cpb.CONCEPT_STATE_PENDING,
        }
        commands.approve("imperius", server.data, None, True, None)
        assert json.loads(capsys.readouterr().out)["state"] == "admitted"
        assert next(told) == ["imperius", "potter"]
    with pytest.raises(NotFound, match="no concept 'imperius' waits"):
        commands.reject("imperius", server.data, None, True, None)
    assert server.end() == 0


def admit(server, tools, name):
    store = server.store()
    blob = tools.concept_bytes(name)
    sha256 = store.blobs.put(blob)
    (node,) = store.members.nodes()
    store.concepts.submit(node.id, Offer(name, "man", sha256, len(blob)), 100)
    store.concepts.admit(sha256)
    store.close()
    return sha256
