"""The contract of every store."""

import random
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from threading import Timer

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import event, inspect, select, text
from sqlalchemy.exc import IntegrityError

from fedshow.errors import Damaged, Forbidden, InvalidInput, NotFound, Unreachable
from fedshow.releases import FileEntry, Manifest, Member, release_id
from fedshow.roles import Role
from fedshow_server.store import FolderBlobs, Offer, State, open_store
from fedshow_server.store.members import Invitation
from fedshow_server.store.migrating import REVISION, alembic_config, bring_up_to_date
from fedshow_server.store.s3 import READ_BLOCK_BYTES, S3Blobs
from fedshow_server.store.tables import metadata

DAY = timedelta(days=1)


@pytest.fixture
def anna(store):
    return store.members.join(store.members.invite("anna", DAY), "key a", 2**64 - 1)[0]


@pytest.fixture
def bob(store):
    return store.members.join(store.members.invite("bob", DAY), "key b", 7)[0]


def offer(name, file):
    return Offer(name, "man", sha256(file.encode()).hexdigest(), 10)


def manifest(card, *concepts):
    members = tuple(Member(name=c, sha256=sha256(c.encode()).hexdigest()) for c in concepts)
    return Manifest(
        release=release_id(card.ref, members, {}),
        created=datetime.now(UTC),
        base=card.ref,
        family="sd1",
        concepts=members,
        fusion={},
        files={"a/b": FileEntry(sha256=sha256(b"b").hexdigest(), size_bytes=1)},
    )


LISTING = FileEntry(sha256="0" * 64, size_bytes=5)


def test_invitation_works_once(store):
    secret = store.members.invite("anna", DAY)
    node, token = store.members.join(secret, "key", 2**64 - 1)
    assert (node.name, node.flower_id) == ("anna", 2**64 - 1)
    assert store.members.authenticate(token) == node
    with pytest.raises(Forbidden, match="used already"):
        store.members.join(secret, "other key", 3)


def test_invitation_expires(store):
    with pytest.raises(Forbidden, match="expired"):
        store.members.join(store.members.invite("anna", -DAY), "key", 3)


def test_unknown_secrets_and_tokens(store):
    with pytest.raises(Forbidden, match="not from this server"):
        store.members.invitation("x" * 43)
    with pytest.raises(Forbidden, match="not known"):
        store.members.authenticate("x" * 43)


def test_node_names_are_unique_while_active(store, anna):
    with pytest.raises(InvalidInput, match="'anna' already"):
        store.members.invite("anna", DAY)
    store.members.revoke("anna")
    assert store.members.invite("anna", DAY)


def test_reply_lost_on_the_way_can_be_had_again(store):
    secret = store.members.invite("anna", DAY)
    node, lost = store.members.join(secret, "key", 5)
    again, token = store.members.rejoin(secret, "key")
    assert again == node
    assert store.members.authenticate(token) == node
    with pytest.raises(Forbidden):
        store.members.authenticate(lost)
    assert store.members.rejoin(secret, "another key") is None
    assert store.members.rejoin("x" * 43, "key") is None


def test_roles_come_with_the_invitation(store):
    secret = store.members.invite("dean", DAY, Role.DOWNLOADER)
    assert store.members.invitation(secret) == Invitation("dean", Role.DOWNLOADER)
    node, token = store.members.join(secret, "key d", None)
    assert (node.role, node.flower_id) == (Role.DOWNLOADER, None)
    assert store.members.authenticate(token) == node
    with pytest.raises(Forbidden, match="key is not known"):
        store.members.holder("key d")
    other, _ = store.members.join(
        store.members.invite("dora", DAY, Role.DOWNLOADER), "key x", None
    )  # numbers are unique, having none is not
    assert other.flower_id is None


def test_keys_are_good_while_their_node_is(store, anna):
    assert store.members.holder("key a") == anna
    store.members.revoke("anna")
    with pytest.raises(Forbidden, match="'anna' was cut off"):
        store.members.holder("key a")
    with pytest.raises(Forbidden, match="not known"):
        store.members.holder("key z")


def test_revoked_node_is_out(store, anna):
    _, token = store.members.join(store.members.invite("eve", DAY), "key e", 9)
    store.members.revoke("eve")
    with pytest.raises(Forbidden, match="cut off"):
        store.members.authenticate(token)
    with pytest.raises(NotFound):
        store.members.revoke("eve")


def test_secrets_are_not_stored(store):
    secret = store.members.invite("anna", DAY)
    _, token = store.members.join(secret, "key", 5)
    with store.database.reading() as connection:
        tables = metadata.sorted_tables
        stored = str([connection.execute(select(table)).all() for table in tables])
    assert "anna" in stored
    assert secret not in stored
    assert token not in stored


def test_submitting_again_changes_nothing(store, anna):
    first = store.concepts.submit(anna.id, offer("potter", "1"))
    assert first.state is State.WANTED
    assert (first.owner, first.flower_id) == ("anna", anna.flower_id)
    store.concepts.admit(first.sha256)
    again = store.concepts.submit(anna.id, offer("potter", "1"))
    assert again.state is State.ADMITTED
    assert len(store.concepts.all()) == 1


def test_name_belongs_to_its_node(store, anna, bob):
    store.concepts.submit(anna.id, offer("potter", "1"))
    with pytest.raises(InvalidInput, match="'potter' is taken"):
        store.concepts.submit(bob.id, offer("potter", "2"))
    with pytest.raises(NotFound):
        store.concepts.withdraw("potter", bob.id)
    store.concepts.withdraw("potter", anna.id)
    assert store.concepts.submit(bob.id, offer("potter", "2")).state is State.WANTED


def test_file_is_one_concept_only(store, anna, bob):
    store.concepts.submit(anna.id, offer("potter", "1"))
    with pytest.raises(InvalidInput, match="another concept"):
        store.concepts.submit(bob.id, offer("dobby", "1"))


def test_newer_version_replaces_when_admitted(store, anna):
    old = store.concepts.submit(anna.id, offer("potter", "1"))
    store.concepts.admit(old.sha256)
    new = store.concepts.submit(anna.id, offer("potter", "2"))
    assert [c.sha256 for c in store.concepts.admitted()] == [old.sha256]
    store.concepts.admit(new.sha256)
    assert [c.sha256 for c in store.concepts.admitted()] == [new.sha256]
    assert [c.state for c in store.concepts.all()] == [State.ADMITTED, State.REPLACED]


def admitted(store, node, name, file):
    """The digest of a concept that went into the store."""
    store.concepts.submit(node.id, offer(name, file))
    store.concepts.admit(offer(name, file).sha256)
    return offer(name, file).sha256


def test_latest_never_has_a_withdrawn_concept(store, tools, anna):
    potter = admitted(store, anna, "potter", "potter")
    one = manifest(tools.card, "potter")
    store.releases.publish(one, LISTING)
    admitted(store, anna, "dobby", "dobby")
    two = manifest(tools.card, "dobby", "potter")
    store.releases.publish(two, LISTING)

    store.concepts.withdraw("dobby")
    assert store.releases.get("latest").id == one.release
    assert store.releases.last().id == two.release
    store.concepts.withdraw("potter")
    assert store.releases.latest() is None
    with pytest.raises(NotFound, match=f"{two.release} has dobby, potter, withdrawn"):
        store.releases.get("latest")
    assert store.releases.get(one.release).withdrawn == ["potter"]
    assert [r.withdrawn for r in store.releases.all()] == [["dobby", "potter"], ["potter"]]
    assert store.concepts.submit(anna.id, offer("potter", "potter")).sha256 == potter


def test_replaced_concepts_stay_in_latest_until_withdrawn(store, tools, anna):
    admitted(store, anna, "potter", "potter")
    store.releases.publish(manifest(tools.card, "potter"), LISTING)
    admitted(store, anna, "potter", "a newer file")
    assert store.releases.latest().withdrawn == []
    store.concepts.withdraw("potter")
    assert store.releases.latest() is None
    assert {concept.state for concept in store.concepts.all()} == {State.WITHDRAWN}


def test_withdrawn_stays_withdrawn(store, anna):
    found = store.concepts.submit(anna.id, offer("potter", "1"))
    store.concepts.withdraw("potter")
    store.concepts.admit(found.sha256)  # its file arrives late
    assert store.concepts.admitted() == []
    assert store.concepts.submit(anna.id, offer("potter", "1")).state is State.WITHDRAWN
    with pytest.raises(NotFound):
        store.concepts.withdraw("potter")


def test_refused_keeps_its_reason(store, anna):
    found = store.concepts.submit(anna.id, offer("potter", "1"))
    store.concepts.refuse(found.sha256, "NaN")
    store.concepts.admit(found.sha256)
    (after,) = store.concepts.all()
    assert (after.state, after.reason) == (State.REFUSED, "NaN")


def test_what_was_admitted_can_be_refused_after_all(store, anna):
    digest = admitted(store, anna, "potter", "1")
    waiting = store.concepts.submit(anna.id, offer("dobby", "2"))
    for sha in (digest, waiting.sha256):
        store.concepts.refuse_admitted(sha, "draws nothing")
    assert [c.state for c in store.concepts.all()] == [State.WANTED, State.REFUSED]
    assert store.concepts.admitted() == []


def test_odd_concepts_wait_for_the_owner(store, anna, bob):
    for name in ("potter", "dobby"):
        found = store.concepts.submit(anna.id, offer(name, name))
        store.concepts.admit(found.sha256)
        store.concepts.quarantine(found.sha256, "odd")
        store.concepts.quarantine(found.sha256, "odd")  # changes nothing
    assert store.concepts.admitted() == []
    with pytest.raises(InvalidInput, match="taken"):
        store.concepts.submit(bob.id, offer("potter", "other"))
    approved, rejected = store.concepts.approve("potter"), store.concepts.reject("dobby")
    assert (approved.state, approved.approved, approved.reason) == (State.ADMITTED, True, "")
    assert (rejected.state, rejected.reason) == (
        State.REFUSED,
        "rejected by the server's owner: odd",
    )
    assert [concept.name for concept in store.concepts.admitted()] == ["potter"]
    with pytest.raises(NotFound, match="no concept 'potter' waits"):
        store.concepts.approve("potter")
    actions = [entry.action for entry in store.audit.last(50)]
    assert actions.count("concept.pending") == 2
    assert {"concept.approved", "concept.rejected"} <= set(actions)


def test_a_newer_one_takes_the_place_of_a_pending_one(store, anna):
    old, new = (offer("potter", text) for text in ("old", "new"))
    store.concepts.submit(anna.id, old)
    store.concepts.admit(old.sha256)
    store.concepts.quarantine(old.sha256, "odd")
    store.concepts.submit(anna.id, new)
    store.concepts.admit(new.sha256)
    with pytest.raises(NotFound):
        store.concepts.approve("potter")
    store.concepts.quarantine(new.sha256, "odd")
    assert store.concepts.withdraw("potter", anna.id).state is State.WITHDRAWN


def test_revoked_nodes_are_not_asked(store, anna):
    store.concepts.submit(anna.id, offer("potter", "1"))
    assert len(store.concepts.wanted()) == 1
    store.members.revoke("anna")
    assert store.concepts.wanted() == []


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


def test_blobs_are_known_by_content(store, tmp_path):
    digest = store.blobs.put(b"content")
    assert digest == sha256(b"content").hexdigest() == store.blobs.put(b"content")
    with store.blobs.open(digest) as file:
        file.seek(3)
        assert file.read() == b"tent"
    assert store.blobs.has(digest)
    assert not store.blobs.has("0" * 64)
    for bad in ("0" * 64, "../../etc/passwd", ""):
        with pytest.raises(NotFound):
            store.blobs.open(bad)


def test_damaged_file_is_not_kept(store, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"content")
    with pytest.raises(Damaged):
        store.blobs.put_file(path, "0" * 64)
    assert not store.blobs.has("0" * 64)
    store.blobs.put_file(path, sha256(b"content").hexdigest())
    assert store.blobs.has(sha256(b"content").hexdigest())
    assert not list(tmp_path.rglob(".incoming-*"))


def test_large_files_are_read_from_anywhere(store, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(content := random.Random(1).randbytes(12_000_000))  # several parts and ranges
    store.blobs.put_file(path, digest := sha256(content).hexdigest())
    with store.blobs.open(digest) as file:
        for offset in (11_999_000, 4_999_990, 0):
            file.seek(offset)
            assert file.read(1000) == content[offset : offset + 1000]
        file.seek(0)
        assert sha256(file.read()).hexdigest() == digest


def test_content_that_goes_away_while_it_is_read_is_said_to_be_gone(s3):
    """Not an error of ours: whoever downloads may try again."""
    import s3fs

    url = s3.new_prefix()
    blobs = S3Blobs(url)
    digest = blobs.put(bytes(3 * READ_BLOCK_BYTES))
    with blobs.open(digest) as file:
        assert file.read(10) == bytes(10)
        file.seek(2 * READ_BLOCK_BYTES)
        s3fs.S3FileSystem().rm(url.removeprefix("s3://"), recursive=True)
        with pytest.raises((NotFound, Unreachable)):
            file.read(10)


def test_store_of_content_is_checked_before_it_is_used(store, s3, tmp_path):
    store.blobs.check()
    with pytest.raises(InvalidInput, match="s3://no-such-bucket/x"):
        S3Blobs("s3://no-such-bucket/x").check()
    (tmp_path / "file").touch()
    with pytest.raises(InvalidInput, match="file/blobs"):
        FolderBlobs(tmp_path / "file" / "blobs").check()


def test_two_writers_never_see_each_others_halves(store, anna, bob):
    """Of several nodes that want one name at once, one gets it."""

    def want(number):
        node = (anna, bob)[number % 2]
        try:
            return store.concepts.submit(node.id, offer("potter", f"{node.name}")).owner
        except InvalidInput:
            return None

    with ThreadPoolExecutor(8) as pool:
        owners = set(pool.map(want, range(24)))
    assert len(owners - {None}) == 1


def test_database_that_is_restarted(postgres, tmp_path):
    """A connection that was lost is made anew; a transaction it was lost in says so."""
    store = open_store(postgres.new_database(), tmp_path / "blobs")
    store.members.invite("anna", DAY)
    postgres.stop()
    starting = Timer(1.0, postgres.start)
    starting.start()
    assert store.members.invite("bob", DAY)  # waits for it
    starting.join()

    def interrupted():
        with store.database.writing() as connection:
            connection.execute(text("DELETE FROM invites"))
            postgres.stop()
            postgres.start()
            connection.execute(text("SELECT 1"))

    with pytest.raises(Unreachable, match="database"):
        interrupted()
    with store.database.reading() as connection:
        assert connection.scalar(text("SELECT count(*) FROM invites")) == 2
    store.close()


def test_sqlite_is_told_what_we_rely_on(tmp_path):
    store = open_store(f"sqlite:///{tmp_path / 'x.db'}", tmp_path)
    with store.database.reading() as connection:
        asked = ("journal_mode", "foreign_keys", "synchronous", "busy_timeout")
        found = [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in asked]
    assert found == ["wal", 1, 2, 30_000]
    store.close()


def test_database_that_cannot_be_opened(tmp_path):
    nobody = "postgresql://x:secret@127.0.0.1:1/x"
    for url in (
        f"sqlite:///{tmp_path}/no/folder/x.db",
        "no url",
        "nodriver://a:secret@h/x",
        nobody,
    ):
        with pytest.raises(InvalidInput, match="database") as refused:
            open_store(url, tmp_path)
        assert "secret" not in str(refused.value)


def test_other_schema_version_is_refused(store, tmp_path):
    with store.database.writing() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '999'"))
        with pytest.raises(InvalidInput, match="schema version 999"):
            bring_up_to_date(connection)


def test_migrations_lead_to_the_tables_that_are_used(store):
    """Nobody changed a table without a migration."""
    with store.database.writing() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
        script = ScriptDirectory.from_config(alembic_config(connection))
        assert script.get_current_head() == REVISION


def test_migrations_keep_what_there_is(store, anna):
    """Also what others refer to: SQLite makes a table anew to change it."""
    store.concepts.submit(anna.id, offer("potter", "1"))
    with store.database.changing_tables() as connection:
        command.downgrade(alembic_config(connection), "0002")
    with store.database.changing_tables() as connection:
        bring_up_to_date(connection)
    assert store.members.nodes() == [anna]
    assert [concept.owner for concept in store.concepts.all()] == ["anna"]
    with pytest.raises(IntegrityError):
        store.concepts.submit(99, offer("dobby", "2"))


def test_database_from_before_migrations_is_taken_over(tmp_path):
    url = f"sqlite:///{tmp_path / 'x.db'}"
    store = open_store(url, tmp_path)
    store.members.invite("anna", DAY)
    with store.database.writing() as connection:
        command.downgrade(alembic_config(connection), "0001")
        connection.execute(text("DROP TABLE alembic_version"))
        connection.execute(text("CREATE TABLE schema (version INTEGER PRIMARY KEY)"))
        connection.execute(text("INSERT INTO schema VALUES (1)"))
    store.close()
    store = open_store(url, tmp_path)
    with store.database.reading() as connection:
        assert connection.scalar(text("SELECT node_name FROM invites")) == "anna"
        assert "schema" not in inspect(connection).get_table_names()
        assert connection.scalar(text("SELECT version_num FROM alembic_version")) == REVISION
    store.close()
