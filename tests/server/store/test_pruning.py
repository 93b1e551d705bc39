"""What is deleted for good, and what never is."""

import json
from datetime import timedelta
from hashlib import sha256

import pytest

from fedshow.errors import NotFound, Unreachable
from fedshow.releases import FileEntry
from fedshow_server.folder import DataFolder, Facts
from fedshow_server.upkeep.pruning import find_prunable, prune
from tests.releases import standin_manifest
from tests.server.store.making import admitted
from tests.stage.concepts import CARD

OLD = timedelta(days=-1)
"""Older than tomorrow: every release."""


def keep(store, content):
    store.blobs.put(content)
    return content


def publish(store, *names, **files):
    """A release of these concepts, whose content is their name, with a file that all releases share."""
    contents = {"vae": b"shared", "fused": f"fused {names}".encode(), **files}
    members = {name: sha256(name.encode()).hexdigest() for name in names}
    manifest = standin_manifest(contents, members, CARD.ref)
    for content in (*contents.values(), listing := manifest.dump()):
        store.blobs.put(content)
    entry = FileEntry(sha256=sha256(listing).hexdigest(), size_bytes=len(listing))
    store.releases.publish(manifest, entry, has=store.blobs.has)
    return store.releases.get(manifest.release)


def concept(store, node, name):
    store.blobs.put(name.encode())
    return admitted(store, node, name, name)


def has(store, content):
    return store.blobs.has(sha256(content).hexdigest())


@pytest.fixture
def folder(tmp_path):
    found = DataFolder(tmp_path / "data")
    found.make()
    return found


def test_what_was_withdrawn_goes_with_its_releases_and_nothing_else(store, anna, folder):
    for name in ("potter", "dobby"):
        concept(store, anna, name)
    both = publish(store, "potter", "dobby")
    drawing = store.drawings.add(anna, both.id, "{}", 1, 4).id
    (folder.drawings / drawing).mkdir(parents=True)
    assert find_prunable(store).releases == find_prunable(store).concepts == ()
    store.concepts.withdraw("dobby")
    left = publish(store, "potter")
    found = find_prunable(store)
    assert [one.id for one in found.releases] == [both.id]
    assert [one.name for one in found.concepts] == ["dobby"]
    listing, fused = (store.releases.file(both.id, path) for path in ("manifest.json", "fused"))
    freed = prune(store, folder, found)
    assert freed.files == 3
    assert freed.bytes == fused.size_bytes + listing.size_bytes + 10  # as its offer said
    assert not any(store.blobs.has(file.sha256) for file in (fused, listing))
    assert [has(store, one) for one in (b"shared", b"potter", b"dobby")] == [True, True, False]
    assert store.releases.all() == [left] == [store.releases.seen_by(None).latest()]
    with pytest.raises(NotFound):
        store.releases.get(both.id)
    assert (store.drawings.of(anna), list(folder.drawings.iterdir())) == ([], [])
    said = [(entry.action, entry.subject) for entry in store.audit.last(2)]
    assert said == [("release.deleted", both.id), ("concept.deleted", "dobby")]
    store.audit.verify()
    assert prune(store, folder, found).files == 0, "twice is as good as once"


def test_old_releases_go_unless_they_are_somebodys_latest(store, anna, bob, folder):
    concept(store, anna, "potter")
    first = publish(store, "potter")
    concept(store, anna, "dobby")
    second = publish(store, "potter", "dobby")
    assert find_prunable(store, timedelta(days=1)).releases == ()
    assert [one.id for one in find_prunable(store, OLD).releases] == [first.id]
    store.concepts.show("dobby", anna.id, frozenset())  # then the first is bob's latest
    assert find_prunable(store, OLD).releases == ()
    store.concepts.show("dobby", anna.id, None)
    found = find_prunable(store, OLD)
    store.releases.again(first.concepts)
    assert prune(store, folder, found).files == 0, "it was made the latest meanwhile"
    assert store.releases.seen_by(bob).latest().id == first.id
    assert {one.id for one in store.releases.all()} == {first.id, second.id}


def test_what_waits_or_is_to_come_is_kept(store, anna, folder):
    concept(store, anna, "potter")
    store.concepts.quarantine(sha256(b"potter").hexdigest(), "odd")
    waiting = store.concepts.all()
    assert find_prunable(store).concepts == ()
    for one in waiting:  # as if it had been out when it was looked for
        assert store.pruning.concept(one).files == 0
    assert has(store, b"potter")


def test_a_release_whose_files_are_deleted_while_it_is_stored_is_not_published(store):
    manifest = standin_manifest({"x": b"x"}, {"potter": "0" * 64}, CARD.ref)
    listing = keep(store, manifest.dump())
    entry = FileEntry(sha256=sha256(listing).hexdigest(), size_bytes=len(listing))
    store.blobs.put(b"x")
    store.blobs.delete(sha256(b"x").hexdigest())
    with pytest.raises(Unreachable, match="x was deleted from the store just now"):
        store.releases.publish(manifest, entry, has=store.blobs.has)
    assert store.releases.all() == []
    store.blobs.put(b"x")
    assert store.releases.publish(manifest, entry, has=store.blobs.has)


def test_deleting_what_is_not_there_is_no_error(store):
    store.blobs.delete("0" * 64)
    with pytest.raises(NotFound):
        store.blobs.delete("../x")


def test_the_owner_looks_first_and_deletes_then(call, tmp_path, folder):
    url = f"sqlite:///{folder.path}/fedshow.db"
    folder.keep_facts(Facts(name="x", address="x:1", grpc="x:2", database=url))
    store = folder.open_store()
    node, _ = store.members.join(store.members.invite("anna", timedelta(days=1)), "key", 7)
    concept(store, node, "potter")
    release = publish(store, "potter")
    store.concepts.withdraw("potter")
    code, out, _ = call("server", "prune", "--data", folder.path, "--dry-run")
    assert (code, has(store, b"potter")) == (0, True)
    assert out.splitlines()[:2] == [
        f"release {release.id}, of {release.created:%Y-%m-%d}, with potter",
        "file of potter, withdrawn, 10 bytes",
    ]
    code, out, _ = call("server", "prune", "--data", folder.path, "--json")
    said = json.loads(out)
    assert (code, said["releases"], said["concepts"], said["files"]) == (
        0,
        [release.id],
        ["potter"],
        4,
    )
    assert not has(store, b"potter")
    assert store.audit.last(1)[0].who.startswith("owner ")
    store.close()
    assert call("server", "prune", "--data", folder.path)[1] == "0 files deleted, 0 bytes\n"
