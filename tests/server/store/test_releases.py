"""Releases, the latest of them, and the runs that bring concepts: the contract of every store."""

from hashlib import sha256

import pytest
from sqlalchemy import event
from sqlalchemy.exc import IntegrityError

from fedshow.errors import InvalidInput, NotFound
from tests.server.store.making import LISTING, manifest


def test_release_is_published_once(store, tools):
    first = manifest(tools.card, "potter")
    assert store.releases.latest() is None
    assert store.releases.publish(first, LISTING)
    assert not store.releases.publish(first, LISTING)
    (found,) = store.releases.all()
    files = store.releases.files(found.id)
    assert files == {**first.files, "manifest.json": LISTING}
    assert store.releases.file(found.id, "a/b") == files["a/b"]
    for release, path in ((found.id, "a/c"), (found.id, "%"), ("0" * 16, "a/b")):
        with pytest.raises(NotFound):
            store.releases.file(release, path)
    assert found.concepts == {"potter": sha256(b"potter").hexdigest()}
    assert found.manifest_sha256 == LISTING.sha256
    assert found.created == first.created


def test_known_release_can_become_the_latest_again(store, tools):
    one, two = manifest(tools.card, "potter"), manifest(tools.card, "dobby", "potter")
    for release in (one, two, one):
        assert store.releases.publish(release, LISTING)
    assert [r.id for r in store.releases.all()] == [one.release, two.release]


def test_releases_are_found_by_prefix(store, tools):
    release = manifest(tools.card, "potter")
    with pytest.raises(NotFound, match="no release yet"):
        store.releases.get("latest")
    store.releases.publish(release, LISTING)
    for reference in ("latest", release.release, release.release[:8]):
        assert store.releases.get(reference).id == release.release
    for bad in ("", "abc", "%" * 8, "f" * 17):
        with pytest.raises(InvalidInput):
            store.releases.get(bad)
    with pytest.raises(NotFound):
        store.releases.get("0" * 16)
    assert store.releases.by_manifest(LISTING.sha256[:40]).id == release.release
    with pytest.raises(NotFound):
        store.releases.by_manifest("f" * 40)


def test_a_list_of_releases_reads_no_files(store, tools):
    """However many releases there are, and however many files they have."""
    for names in (["a"], ["a", "b"], ["a", "b", "c"]):
        store.releases.publish(manifest(tools.card, *names), LISTING)
    said: list[str] = []
    engine = store.database._engine
    event.listen(engine, "before_cursor_execute", lambda *seen: said.append(seen[2]))
    found = store.releases.all()
    assert [sorted(release.concepts) for release in found] == [["a", "b", "c"], ["a", "b"], ["a"]]
    assert not [statement for statement in said if "release_files" in statement]
    assert len([statement for statement in said if "SELECT" in statement]) == 2


def test_only_files_of_releases_have_a_size(store, tools):
    store.releases.publish(manifest(tools.card, "potter"), LISTING)
    assert store.releases.file_size(LISTING.sha256) == 5
    with pytest.raises(NotFound):
        store.releases.file_size("1" * 64)


def test_half_a_release_is_never_seen(store, tools):
    release = manifest(tools.card, "potter")
    broken = release.model_copy(update={"concepts": release.concepts * 2})
    with pytest.raises(IntegrityError):  # after its first rows are written
        store.releases.publish(broken, LISTING)
    assert store.releases.latest() is None
    assert store.releases.publish(release, LISTING)


def test_runs_beat_and_end(store):
    assert store.runs.last_beat(2**64 - 1) is None
    store.runs.beat(2**64 - 1)
    store.runs.beat(2**64 - 1)
    assert store.runs.last_beat(2**64 - 1) is not None
    assert not store.runs.has_ended(2**64 - 1)
    store.runs.end(2**64 - 1)
    assert store.runs.has_ended(2**64 - 1)
