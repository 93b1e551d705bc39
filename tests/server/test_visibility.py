"""Who may have a concept: releases of just these, and nothing else to be seen on any door."""

import json
from datetime import UTC, datetime, timedelta
from functools import partial
from hashlib import sha256
from types import SimpleNamespace

import pytest

from fedshow import rpc
from fedshow.errors import InvalidInput, NotFound
from fedshow.releases import FileEntry
from fedshow.roles import Role
from fedshow.v1 import concepts_pb2 as cpb
from fedshow.v1 import releases_pb2 as rpb
from fedshow_server.commands import members as commands
from fedshow_server.releasing.due import Due, find_due
from fedshow_server.store import Offer, Removal
from tests.releases import standin_manifest

DAY = timedelta(days=1)


def digest(text):
    return sha256(text.encode()).hexdigest()


@pytest.fixture
def people(store):
    """Nodes by name."""

    def join(name):
        return store.members.join(
            store.members.invite(name, DAY), f"key {name}", hash(name) % 2**40
        )

    return {name: join(name)[0] for name in ("anna", "bob", "carl")}


def admit(store, node, name, visible_to=None):
    sha = digest(name)
    store.concepts.submit(node.id, Offer(name, "man", sha, 10, visible_to), 100)
    store.concepts.admit(sha)
    return name, sha


def publish(store, tools, *members):
    files = {"x": "".join(name for name, _ in members).encode()}
    manifest = standin_manifest(files, dict(members), tools.card.ref)
    listing = manifest.dump()
    store.releases.publish(
        manifest, FileEntry(sha256=sha256(listing).hexdigest(), size_bytes=len(listing))
    )
    return manifest


def test_with_nothing_hidden_there_is_one_release(store, tools, people, tmp_path):
    both = {admit(store, people["anna"], "potter"), admit(store, people["bob"], "dobby")}
    assert find_due(store, tmp_path) == Due((frozenset(both),))
    release = publish(store, tools, *sorted(both))
    assert not find_due(store, tmp_path)
    for viewer in (None, *people.values()):
        assert store.releases.seen_by(viewer).latest().id == release.release


def test_everybody_is_due_a_release_of_what_they_may_have(store, tools, people, tmp_path):
    potter = admit(store, people["anna"], "potter")
    dobby = admit(store, people["anna"], "dobby", frozenset({"bob"}))
    malfoy = admit(store, people["carl"], "malfoy", frozenset())
    due = find_due(store, tmp_path).releases
    assert due == (  # carl's own is for carl alone; anna and bob share theirs
        frozenset({potter}),
        *sorted((frozenset({potter, dobby}), frozenset({potter, malfoy})), key=sorted),
    )
    made = {members: publish(store, tools, *sorted(members)) for members in due}
    assert not find_due(store, tmp_path)
    general, shared, own = (
        made[frozenset(members)].release
        for members in ({potter}, {potter, dobby}, {potter, malfoy})
    )
    for name, seen in (
        ("anna", {general, shared}),
        ("bob", {general, shared}),
        ("carl", {general, own}),
    ):
        shelf = store.releases.seen_by(people[name])
        assert {release.id for release in shelf.all()} == seen
        assert shelf.latest().id == (own if name == "carl" else shared)
        for release in (general, shared, own):
            (digest_,) = (one.manifest_sha256 for one in store.releases.all() if one.id == release)
            looks = (
                partial(shelf.get, release),
                partial(shelf.by_manifest, digest_[:40]),
                partial(shelf.file_size, digest_),
            )
            for look in looks:
                if release in seen:
                    look()
                else:
                    with pytest.raises(NotFound):
                        look()
    assert [r.id for r in store.releases.seen_by(None).all()] == [general]
    store.members.revoke("carl")
    store.concepts.withdraw("potter")
    assert find_due(store, tmp_path).releases == (frozenset({dobby}),), "nobody needs carl's"


def test_what_is_shown_to_more_is_not_fused_again(store, tools, people, tmp_path):
    potter = admit(store, people["anna"], "potter")
    dobby = admit(store, people["anna"], "dobby", frozenset())
    for members in find_due(store, tmp_path).releases:
        publish(store, tools, *sorted(members))
    full = store.releases.seen_by(people["anna"]).latest()
    store.concepts.show("dobby", people["anna"].id, None)
    assert store.releases.seen_by(people["carl"]).latest() == full
    assert not find_due(store, tmp_path)
    store.concepts.show("dobby", people["anna"].id, frozenset({"bob"}))
    assert store.releases.seen_by(people["bob"]).latest() == full
    assert store.releases.seen_by(people["carl"]).latest().concepts == dict([potter])
    assert store.releases.again(dict([potter, dobby])).id == full.id
    assert store.releases.again({"potter": "0" * 64}) is None


def test_a_smaller_release_is_not_the_latest_of_who_may_have_more(store, tools, people, tmp_path):
    potter, dobby = admit(store, people["anna"], "potter"), admit(store, people["bob"], "dobby")
    both = publish(store, tools, potter, dobby)
    store.concepts.show("dobby", people["bob"].id, frozenset())
    due = find_due(store, tmp_path).releases
    assert due == (frozenset({potter}), frozenset({potter, dobby}))
    publish(store, tools, potter)
    assert store.releases.again(dict(due[1])).id == both.release
    assert store.releases.seen_by(people["bob"]).latest().id == both.release
    assert store.releases.seen_by(people["carl"]).latest().concepts == dict([potter])
    assert not find_due(store, tmp_path)


def test_only_its_node_shows_a_concept(store, people):
    admit(store, people["anna"], "potter", frozenset({"bob"}))
    with pytest.raises(NotFound, match="no concept 'potter' of this node"):
        store.concepts.show("potter", people["bob"].id, None)
    seen = {name: store.concepts.seen_by(node) for name, node in people.items()}
    assert {name: len(found) for name, found in seen.items()} == {"anna": 1, "bob": 1, "carl": 0}
    again = store.concepts.submit(
        people["anna"].id, Offer("potter", "man", digest("potter"), 10, None), 100
    )
    assert again.visible_to == {"bob"}, "an offer that is repeated changes nothing"


def test_what_becomes_of_a_concept_before_and_after_is_its_nodes_own_affair(store, people):
    name, sha = admit(store, people["anna"], "potter")
    store.concepts.submit(people["anna"].id, Offer("dobby", "elf", digest("dobby"), 10), 100)
    store.concepts.refuse(digest("dobby"), "odd")

    def names(node):
        return [concept.name for concept in store.concepts.seen_by(node)]

    assert names(people["bob"]) == ["potter"]
    store.concepts.quarantine(sha, "odd, too")
    assert names(people["bob"]) == []
    store.concepts.approve(name)
    store.concepts.withdraw(name, people["anna"].id)
    assert names(people["bob"]) == []
    assert names(people["anna"]) == ["dobby", "potter"]


def test_earlier_versions_are_hidden_with_the_newest(store, tools, people):
    potter = admit(store, people["anna"], "potter")
    old = publish(store, tools, potter)
    sha = digest("newer")
    store.concepts.submit(people["anna"].id, Offer("potter", "man", sha, 10), 100)
    store.concepts.admit(sha)
    store.concepts.show("potter", people["anna"].id, frozenset())
    assert store.releases.seen_by(people["bob"]).all() == []
    assert store.releases.seen_by(people["anna"]).get(old.release)


def test_receipts_are_kept_once(store, people):
    name, sha = admit(store, people["anna"], "potter")
    store.concepts.withdraw(name, people["anna"].id)
    receipt = Removal(sha, 3, digest("rest"), 1e-9, datetime.now(UTC))
    store.concepts.removed(receipt)
    store.concepts.removed(receipt)
    (concept,) = store.concepts.all()
    assert (concept.removal.remaining, concept.removal.largest_difference) == (3, 1e-9)
    forgotten = [entry for entry in store.audit.last(50) if entry.action == "concept.forgotten"]
    assert [entry.subject for entry in forgotten] == ["potter"]


@pytest.fixture(scope="module")
def own_server(tools, tmp_path_factory):
    """A server with an open concept and one that anna shows to bob."""
    found = tools.Server(tools.make_data(tmp_path_factory.mktemp("seen") / "data"))
    found.start()
    yield found
    assert found.end() == 0


def bring(server, tools, member, name, visible_to=None):
    """Admits a concept of the member, as if it had been handed over."""
    store = server.store()
    blob = tools.concept_bytes(name)
    sha = store.blobs.put(blob)
    node = next(node for node in store.members.nodes() if node.name == member.reply.node)
    store.concepts.submit(node.id, Offer(name, "man", sha, len(blob), visible_to), 100)
    store.concepts.admit(sha)
    store.close()
    return sha


def next_with(watch, *names):
    """The release of just these, once it is told."""
    for answer in watch:
        if sorted(answer.release.concepts) == sorted(names):
            return answer.release
    raise AssertionError("the watch ended")


def test_every_door_shows_a_node_what_it_may_have(own_server, joined, tools, home, capsys):
    anna, bob = joined(own_server, "anna"), joined(own_server, "bob", Role.DOWNLOADER)
    carl = joined(own_server, "carl", Role.DOWNLOADER)
    bring(own_server, tools, anna, "potter")
    bring(own_server, tools, anna, "dobby", frozenset({"bob"}))
    bound = {"timeout": tools.patience_seconds}
    with anna.calls() as annas, bob.calls() as bobs, carl.calls() as carls, rpc.typed_errors():
        watches = SimpleNamespace(
            bob=bobs.releases.WatchReleases(rpb.WatchReleasesRequest(), **bound),
            carl=carls.releases.WatchReleases(rpb.WatchReleasesRequest(), **bound),
        )
        both, general = next_with(watches.bob, "potter", "dobby"), next_with(watches.carl, "potter")
        secret = bobs.releases.GetRelease(rpb.GetReleaseRequest(release=both.id), **bound).release
        weights = next(file for file in secret.files if file.path == "fused.safetensors")

        listed = carls.releases.ListReleases(rpb.ListReleasesRequest(), **bound).releases
        assert [release.id for release in listed] == [general.id]
        concepts = carls.concepts.ListConcepts(cpb.ListConceptsRequest(), **bound).concepts
        assert [concept.name for concept in concepts] == ["potter"]
        for request in (
            lambda: carls.releases.GetRelease(rpb.GetReleaseRequest(release=both.id), **bound),
            lambda: next(
                carls.releases.DownloadFile(rpb.DownloadFileRequest(sha256=weights.sha256), **bound)
            ),
        ):
            with pytest.raises(NotFound), rpc.typed_errors():
                request()
        told = bobs.concepts.ListConcepts(cpb.ListConceptsRequest(), **bound).concepts
        assert not any(concept.HasField("visible") for concept in told), (
            "bob need not know who else"
        )
        mine = annas.concepts.ListConcepts(cpb.ListConceptsRequest(), **bound).concepts
        assert {c.name: list(c.visible.nodes) for c in mine} == {"potter": [], "dobby": ["bob"]}

        commit = both.manifest_sha256[:40]
        with own_server.http() as client:
            for url in (
                "/api/concepts/dobby",
                f"/api/releases/{both.id}",
                f"/releases/{both.id}/fused.safetensors",
                f"/api/models/fedshow/{both.id}",
                f"/api/models/fedshow/latest/revision/{commit}",
                f"/api/models/fedshow/{both.id}/tree/main",
                f"/fedshow/{both.id}/resolve/main/README.md",
                f"/fedshow/latest/resolve/{commit}/README.md",
            ):
                assert client.get(url, headers=bob.bearer).status_code == 200
                assert client.get(url, headers=carl.bearer).status_code == 404
            for member, release in ((bob, both), (carl, general)):
                latest = client.get("/api/latest", headers=member.bearer).json()
                said = json.loads(latest["statement"])["manifest_sha256"]
                assert said == release.manifest_sha256
                model = client.get("/api/models/fedshow/latest", headers=member.bearer).json()
                assert model["sha"] == release.manifest_sha256[:40]
            found = client.get("/api/concepts", headers=carl.bearer).json()["concepts"]
            assert [concept["name"] for concept in found] == ["potter"]
            found = client.get("/api/releases", headers=carl.bearer).json()
            assert [release["id"] for release in found] == [general.id]

        # shown to everybody, the very release that bob has becomes everybody's; then it is anna's alone
        annas.concepts.ShowConcept(cpb.ShowConceptRequest(name="dobby"), **bound)
        assert next_with(watches.carl, "potter", "dobby").id == both.id
        shown = cpb.ShowConceptRequest(name="dobby", visible=cpb.Visibility())
        annas.concepts.ShowConcept(shown, **bound)
        for watch in (watches.bob, watches.carl):
            assert next_with(watch, "potter").id == general.id
        shown.visible.nodes.append("no name")
        with pytest.raises(InvalidInput, match="node name 'no name'"), rpc.typed_errors():
            annas.concepts.ShowConcept(shown, **bound)

    _check_withdrawal(own_server, anna, joined(own_server, "dora"), general, tools, capsys)


def _check_withdrawal(server, anna, stranger, general, tools, capsys):
    """Only its node takes a concept back; it leaves the statistics, and the receipt is shown."""
    bound = {"timeout": tools.patience_seconds}
    bring(server, tools, anna, "malfoy")
    request = cpb.WithdrawConceptRequest(name="potter")
    with anna.calls() as calls, stranger.calls() as others:
        watch = others.releases.WatchReleases(rpb.WatchReleasesRequest(), **bound)
        before = next_with(watch, "potter", "malfoy")
        with pytest.raises(NotFound), rpc.typed_errors():
            others.concepts.WithdrawConcept(request, **bound)
        calls.concepts.WithdrawConcept(request, **bound)
        assert next_with(watch, "malfoy").id not in (general.id, before.id)
        listed = others.releases.ListReleases(rpb.ListReleasesRequest(), **bound).releases
        assert {r.id: list(r.withdrawn) for r in listed}[before.id] == ["potter"]

    def receipt():
        commands.concepts(False, server.data, None, True)
        found = {concept["name"]: concept for concept in json.loads(capsys.readouterr().out)}
        return found["potter"]["removal"]

    assert tools.eventually(receipt)["largest_difference"] == 1e-9
    commands.concepts(False, server.data, None, False)
    assert "out of the statistics; differs by 1.0e-09" in capsys.readouterr().out
