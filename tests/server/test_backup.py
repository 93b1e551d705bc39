"""A backup of a running server, restored elsewhere: its clients notice nothing."""

import io
import json
import signal
import subprocess
import sys
import tarfile
import threading
from datetime import timedelta
from hashlib import sha256
from types import SimpleNamespace

import pytest

from fedshow import rpc
from fedshow.errors import Damaged, InvalidInput
from fedshow.v1 import concepts_pb2 as cpb
from fedshow.v1 import releases_pb2 as rpb
from fedshow_server.folder import DataFolder, Facts
from fedshow_server.settings import load_settings
from fedshow_server.store import Offer
from fedshow_server.upkeep import backup
from fedshow_server.upkeep.backup import make_backup, restore_backup
from tests.stage.publishing import put_release

FILES = {"unet/weights.safetensors": bytes(range(256)) * 8000, "README.md": b"# a release"}


def fedshow(*words):
    program = (sys.executable, "-m", "fedshow.cli", "server", *map(str, words))
    return subprocess.run(program, capture_output=True, text=True, timeout=240)


def downloaded(calls, release):
    """Path to digest of what came."""
    with rpc.typed_errors():
        request = rpb.GetReleaseRequest(release=release)
        files = calls.releases.GetRelease(request, timeout=60).release.files
        return {file.path: file.sha256 for file in files if came(calls, file) == file.sha256}


def came(calls, file):
    asked = rpb.DownloadFileRequest(sha256=file.sha256)
    parts = calls.releases.DownloadFile(asked, timeout=60)
    return sha256(b"".join(part.chunk for part in parts)).hexdigest()


@pytest.mark.slow
def test_restored_server_is_the_same_to_its_clients(tools, joined, tmp_path):
    first = tools.Server(tools.make_data(tmp_path / "data"))
    first.start()
    anna = joined(first, "anna")
    release = put_release(first, "potter", FILES).release

    done = threading.Event()

    def keep_writing():
        store = first.store()
        while not done.wait(0.02):
            store.members.invite("bob", timedelta(hours=1))
        store.close()

    writing = threading.Thread(target=keep_writing)
    writing.start()
    try:
        made = fedshow("backup", tmp_path / "backup.tar", "--data", first.data, "--json")
    finally:
        done.set()
        writing.join()
    assert made.returncode == 0, made.stderr
    assert json.loads(made.stdout)["left_out"] == []
    assert (tmp_path / "backup.tar").stat().st_mode & 0o777 == 0o600
    first.end(signal.SIGKILL)

    restored = fedshow("restore", tmp_path / "backup.tar", "--data", tmp_path / "new")
    assert restored.returncode == 0, restored.stderr
    assert "none was changed" in restored.stderr
    second = tools.Server(tmp_path / "new", port=first.port, grpc_port=first.grpc_port)
    second.start()
    with anna.calls() as calls:  # the same token, the same authority
        assert set(downloaded(calls, release)) >= set(FILES)
        blob = tools.concept_bytes("dobby", "monster")
        digest = anna.put(blob)
        with anna.supernode(second), rpc.typed_errors():  # Flower knows its key, too
            request = cpb.SubmitConceptRequest(
                name="dobby",
                class_word="monster",
                sha256=digest,
                size_bytes=len(blob),
                base_sha256=tools.card.sha256,
            )
            calls.concepts.SubmitConcept(request, timeout=60)
            tools.eventually(lambda: second.store_state(digest) == "admitted")
    store = second.store()
    actions = [entry.action for entry in store.audit.last(100_000)]
    assert "server.backed_up" in actions
    store.audit.verify()
    store.close()
    assert second.end() == 0
    again = fedshow("restore", tmp_path / "backup.tar", "--data", tmp_path / "new")
    assert again.returncode == 2
    assert "not empty" in again.stderr


@pytest.fixture
def folder(tools, tmp_path):
    """The data of a server that ran, with one file of content."""
    found = DataFolder(tools.make_data(tmp_path / "data"))
    found.keep_facts(
        Facts(name="x", address="x:1", grpc="x:2", database=f"sqlite:///{found.path}/fedshow.db")
    )
    (found.ca / "ca.pem").write_bytes(b"authority")
    store = found.open_store()
    store.members.invite("anna", timedelta(days=1))
    store.blobs.put(b"content")
    store.close()
    return found


def test_progress_is_told_up_to_the_last_byte(folder, tmp_path):
    written: list[tuple[int, int]] = []
    read: list[tuple[int, int]] = []
    make_backup(folder, tmp_path / "b.tar", lambda *told: written.append(told))
    restore_backup(tmp_path / "b.tar", tmp_path / "new", print, lambda *told: read.append(told))
    done, total = written[-1]
    assert done == total > len(b"content")
    assert read[-1][0] == total, "what was written is what is read"
    assert read[-1][1] == (tmp_path / "b.tar").stat().st_size
    for told in (written, read):
        assert told == sorted(told)


def test_everything_is_there_again(folder, tmp_path):
    (folder.path / "server.toml").write_text("quiet_seconds = 7\n")
    make_backup(folder, tmp_path / "b.tar")
    restore_backup(tmp_path / "b.tar", tmp_path / "new", print)
    new = DataFolder(tmp_path / "new")
    assert (new.ca / "ca.pem").read_bytes() == b"authority"
    assert (new.path / "server.toml").read_text() == "quiet_seconds = 7\n"
    assert new.base() == folder.base()
    assert new.path.stat().st_mode & 0o777 == 0o700
    new.keep_facts(
        Facts(name="x", address="x:1", grpc="x:2", database=f"sqlite:///{new.path}/fedshow.db")
    )
    store = new.open_store()
    assert store.audit.verify().position == 1
    with store.blobs.open(sha256(b"content").hexdigest()) as file:
        assert file.read() == b"content"
    store.close()


def test_damaged_content_is_not_backed_up_silently(folder, tmp_path):
    (path,) = folder.blobs.glob("??/*")
    path.write_bytes(b"c0ntent")
    with pytest.raises(Damaged, match=path.name):
        make_backup(folder, tmp_path / "b.tar")
    assert not list(tmp_path.glob("*b.tar*"))


def test_a_restored_server_uses_what_was_restored(tools, tmp_path):
    """Whatever places its settings name; other settings stay."""
    found, elsewhere = DataFolder(tools.make_data(tmp_path / "data")), tmp_path / "elsewhere"
    elsewhere.mkdir()
    (found.path / "server.toml").write_text(
        f'database = "sqlite:///{elsewhere}/f.db"\nquiet_seconds = 7\n'
        f' "store"= "{elsewhere}/content" # the large disk\n'
    )
    settings = load_settings(data=found.path)
    database, content = settings.database_url, settings.store
    found.keep_facts(Facts(name="x", address="x:1", grpc="x:2", database=database, store=content))
    store = found.open_store()
    store.blobs.put(b"content")
    store.close()
    make_backup(found, tmp_path / "b.tar")
    said = []
    restore_backup(tmp_path / "b.tar", tmp_path / "new", said.append)
    new = load_settings(data=tmp_path / "new")
    assert new.database_url == f"sqlite:///{tmp_path}/new/fedshow.db"
    assert new.store_url == f"{tmp_path}/new/blobs"
    assert new.quiet_seconds == 7
    assert [line.split(" is ")[0] for line in said[1:]] == [
        "server.toml: database",
        "server.toml: store",
    ]


def test_places_that_are_not_in_the_backup_stay(tools, s3, tmp_path):
    found, content = DataFolder(tools.make_data(tmp_path / "data")), s3.new_prefix()
    (found.path / "server.toml").write_text(f'store = "{content}"\n')
    found.keep_facts(
        Facts(
            name="x",
            address="x:1",
            grpc="x:2",
            database=f"sqlite:///{found.path}/fedshow.db",
            store=content,
        )
    )
    found.open_store().close()
    make_backup(found, tmp_path / "b.tar")
    restore_backup(tmp_path / "b.tar", tmp_path / "new", print)
    assert load_settings(data=tmp_path / "new").store_url == content


@pytest.fixture
def lacking(folder):
    """The digest of a concept that is in, and whose content is not."""
    store = folder.open_store()
    digest = sha256(b"potter").hexdigest()
    node, _ = store.members.join(store.members.invite("bert", timedelta(days=1)), "key", 1)
    store.concepts.submit(node.id, Offer("potter", "man", digest, 6), 100)
    store.concepts.admit(digest)
    store.close()
    return digest


def test_a_backup_without_content_that_is_needed_is_none(folder, lacking, tmp_path):
    with pytest.raises(Damaged, match=rf"blobs lacks .*{lacking} \(concept potter\)$"):
        make_backup(folder, tmp_path / "b.tar")
    assert not list(tmp_path.glob("*b.tar*"))
    store = folder.open_store()
    store.blobs.put(b"potter")
    store.close()
    make_backup(folder, tmp_path / "b.tar")


def test_files_of_releases_are_needed_too(folder, tmp_path):
    server = SimpleNamespace(store=folder.open_store, data=folder.path)
    release = put_release(server, "potter", {"README.md": b"# a release"})
    make_backup(folder, tmp_path / "b.tar")
    readme = release.files["README.md"].sha256
    (folder.blobs / readme[:2] / readme).unlink()
    with pytest.raises(Damaged, match=rf"{readme} \(README.md of {release.release}\)$"):
        make_backup(folder, tmp_path / "c.tar")


def test_a_backup_of_earlier_that_lacks_content_is_not_restored(
    folder, lacking, tmp_path, monkeypatch
):
    monkeypatch.setattr(backup, "check_content", lambda *_: None)
    make_backup(folder, tmp_path / "b.tar")
    monkeypatch.undo()
    with pytest.raises(Damaged, match=rf"the backup lacks .*{lacking}"):
        restore_backup(tmp_path / "b.tar", tmp_path / "new", print)
    assert not (tmp_path / "new").exists()


def test_backup_never_takes_another_files_place(folder, tmp_path):
    (tmp_path / "b.tar").write_bytes(b"mine")
    with pytest.raises(InvalidInput, match="exists already"):
        make_backup(folder, tmp_path / "b.tar")
    assert (tmp_path / "b.tar").read_bytes() == b"mine"


def test_what_can_be_no_backup_is_told_before_anything_is_done(call, folder, tmp_path):
    code, _, err = call("server", "restore", tmp_path, "--data", tmp_path / "new")
    assert (code, "is a folder; name the file in it" in err) == (2, True), err
    code, _, err = call("server", "backup", tmp_path, "--data", folder.path)
    assert (code, "is a folder; name a file in it" in err) == (2, True), err
    assert not (tmp_path / "new").exists()
    code, _, err = call(
        "server", "backup", tmp_path / "not" / "yet" / "b.tar", "--data", folder.path
    )
    assert (code, err) == (0, "")


@pytest.mark.parametrize("place", [0.1, 0.5, 0.9])
def test_damaged_backup_leaves_nothing_behind(folder, tmp_path, place):
    make_backup(folder, file := tmp_path / "b.tar")
    with tarfile.open(file) as tar:
        ends = [member.offset_data + member.size for member in tar]
    content = bytearray(file.read_bytes()[: ends[-1]])
    content[int(place * (len(content) - 1))] ^= 1
    cut = content[: int(place * len(content))]
    for broken in (cut, b"", b"no tar at all", b"x" * 20000):
        file.write_bytes(broken)
        with pytest.raises(Damaged, match=r"b\.tar"):
            restore_backup(file, tmp_path / "new", print)
    file.write_bytes(content)
    try:
        restore_backup(file, tmp_path / "new", print)
    except Damaged:
        assert not (tmp_path / "new").exists()
    else:  # padding or a time in a tar header: nothing that is restored
        assert (tmp_path / "new" / "ca" / "ca.pem").read_bytes() == b"authority"
    assert not list(tmp_path.glob(".new-*"))


def forged(file, *members):
    with tarfile.open(file, "w") as tar:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


def test_nothing_is_written_outside_of_the_folder(tmp_path):
    evil = "../evil"
    listing = {
        "fedshow": "1",
        "created": "2026-01-01T00:00:00Z",
        "files": {evil: sha256(b"x").hexdigest()},
        "blobs": [],
        "left_out": [],
    }
    forged(tmp_path / "b.tar", ("backup.json", json.dumps(listing).encode()), (evil, b"x"))
    with pytest.raises(Damaged):
        restore_backup(tmp_path / "b.tar", tmp_path / "in" / "new", print)
    assert not list(tmp_path.rglob("evil"))
    listing["files"] = {}
    forged(tmp_path / "b.tar", ("backup.json", json.dumps(listing).encode()), ("more", b"x"))
    with pytest.raises(Damaged, match="'more' is not in its listing"):
        restore_backup(tmp_path / "b.tar", tmp_path / "new", print)


def test_what_lies_elsewhere_is_said(tools, postgres, s3, tmp_path):
    found = DataFolder(tools.make_data(tmp_path / "data"))
    database, content = postgres.new_database(), s3.new_prefix()
    found.keep_facts(Facts(name="x", address="x:1", grpc="x:2", database=database, store=content))
    listing = make_backup(found, tmp_path / "b.tar")
    assert "postgresql" in listing.left_out[0]
    assert content in listing.left_out[1]
    assert listing.blobs == ()
    restore_backup(tmp_path / "b.tar", tmp_path / "new", print)
    assert DataFolder(tmp_path / "new").base() == found.base()


def test_postgresql_comes_back_from_its_own_dump(tools, postgres, tmp_path):
    """The dump first, then the backup: whatever the dump names is there, what came later is not."""
    found = DataFolder(tools.make_data(tmp_path / "data"))
    database, again = postgres.new_database(), postgres.new_database()
    found.keep_facts(Facts(name="x", address="x:1", grpc="x:2", database=database))
    store = found.open_store()
    store.members.invite("anna", timedelta(days=1))
    digest = store.blobs.put(b"content")
    dump = postgres.dump(database)
    store.members.invite("bert", timedelta(days=1))
    store.close()
    make_backup(found, tmp_path / "b.tar")

    postgres.restore(dump, again)
    restore_backup(tmp_path / "b.tar", tmp_path / "new", print)
    new = DataFolder(tmp_path / "new")
    new.keep_facts(Facts(name="x", address="x:1", grpc="x:2", database=again))
    store = new.open_store()
    assert store.audit.verify().position == 1
    assert [entry.subject for entry in store.audit.last(9)] == ["anna"]
    with store.blobs.open(digest) as file:
        assert file.read() == b"content"
    store.close()
