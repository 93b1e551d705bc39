"""The life of concepts on a real server: offered, collected by Flower, fused, told, downloaded."""

import json
import queue
import runpy
import signal
import threading
from hashlib import sha256
from pathlib import Path

import grpc
import pytest

from fedshow import rpc
from fedshow.commands import releases as commands
from fedshow.commands.pull import pull
from fedshow.errors import BaseMismatch, Damaged, Forbidden, InvalidInput, NotFound
from fedshow.releases import FileEntry, Manifest, verify_release
from fedshow.releases.signing import signer_of
from fedshow.transfer.forms import Form
from fedshow.transfer.servers import KnownServer, save_server
from fedshow.v1 import concepts_pb2 as cpb
from fedshow.v1 import releases_pb2 as rpb
from fedshow_server.releasing.publishing import publish
from fedshow_server.releasing.signing import open_signer
from fedshow_server.store import Offer
from tests.releases import standin_manifest
from tests.stage.server import STANDIN


@pytest.fixture(scope="module")
def own_server(tools, tmp_path_factory):
    """A server that this module stops, kills and starts; its first fusion fails."""
    folder = tmp_path_factory.mktemp("life")
    mark = folder / "failed"
    found = tools.Server(
        tools.make_data(folder / "data"), environment={"FEDSHOW_STANDIN_FAILS": str(mark)}
    )
    found.start()
    yield found
    assert found.end() == 0


def submit(calls, tools, blob, **changes):
    header = json.loads(
        json.loads(blob[8 : 8 + int.from_bytes(blob[:8], "little")])["__metadata__"]["fedshow"]
    )
    values = {
        "name": header["name"],
        "class_word": header["class"],
        "sha256": sha256(blob).hexdigest(),
        "size_bytes": len(blob),
        "base_sha256": tools.card.sha256,
    }
    with rpc.typed_errors():
        request = cpb.SubmitConceptRequest(**(values | changes))
        return calls.concepts.SubmitConcept(request, timeout=60, wait_for_ready=True).concept


def states(calls):
    with rpc.typed_errors():
        answer = calls.concepts.ListConcepts(cpb.ListConceptsRequest(), timeout=60)
    return {concept.sha256: concept for concept in answer.concepts}


def listed(calls):
    return calls.releases.ListReleases(rpb.ListReleasesRequest(), timeout=60).releases


def watch(calls):
    """Releases as they are told."""
    heard = queue.Queue()

    def listen():
        try:
            for answer in calls.releases.WatchReleases(rpb.WatchReleasesRequest()):
                if answer.HasField("release"):
                    heard.put(answer.release)
        except grpc.RpcError:
            heard.put(None)

    threading.Thread(target=listen, daemon=True).start()
    return heard


def download(calls, digest, offset=0, length=0):
    with rpc.typed_errors():
        request = rpb.DownloadFileRequest(sha256=digest, offset_bytes=offset, length_bytes=length)
        return b"".join(answer.chunk for answer in calls.releases.DownloadFile(request, timeout=60))


def test_life_of_concepts(own_server, joined, tools, tmp_path, monkeypatch, capsys):
    anna, bob = joined(own_server, "anna"), joined(own_server, "bob")
    potter = tools.concept_bytes("potter")
    lying = tools.concept_bytes("dobby", "monster", seed=1)
    digest, refused = anna.put(potter), anna.put(lying)

    # offered while its node is not online; then the server dies without a word
    with anna.calls() as calls:
        assert submit(calls, tools, potter).state == cpb.CONCEPT_STATE_WANTED
        assert submit(calls, tools, potter).state == cpb.CONCEPT_STATE_WANTED
        submit(calls, tools, lying, class_word="man")
    own_server.end(signal.SIGKILL)
    own_server.start()

    with anna.supernode(own_server), anna.calls() as calls, bob.calls() as bobs:
        heard = watch(bobs)
        tools.eventually(lambda: states(calls)[digest].state == cpb.CONCEPT_STATE_ADMITTED)
        tools.eventually(lambda: states(calls)[refused].state == cpb.CONCEPT_STATE_REFUSED)
        assert "submitted was 'dobby' (man)" in states(calls)[refused].reason
        first = heard.get(
            timeout=tools.patience_seconds
        )  # the first fusion failed and was tried again
        assert Path(own_server.environment["FEDSHOW_STANDIN_FAILS"]).exists()
        assert list(first.concepts) == ["potter"]
        _check_downloads(bobs, first, tmp_path)
        assert signer_of(tmp_path / "release") == bob.reply.signing_key

        assert submit(calls, tools, potter).state == cpb.CONCEPT_STATE_ADMITTED
        with pytest.raises(InvalidInput, match="'potter' is taken"):
            submit(bobs, tools, tools.concept_bytes("potter", seed=9))

        # a second node joins in after the SuperLink died, a second release follows
        own_server.kill_superlink()
        malfoy = tools.concept_bytes("malfoy", seed=2)
        bob.put(malfoy)
        with bob.supernode(own_server):
            submit(bobs, tools, malfoy)
            second = heard.get(timeout=tools.patience_seconds)
        assert sorted(second.concepts) == ["malfoy", "potter"]

        # a watch that begins now hears the newest at once; withdrawing leads back to the first
        late = watch(calls)
        assert late.get(timeout=tools.patience_seconds).id == second.id
        bobs.concepts.WithdrawConcept(cpb.WithdrawConceptRequest(name="malfoy"), timeout=60)
        for ears in (heard, late):
            assert ears.get(timeout=tools.patience_seconds).id == first.id
        tools.eventually(lambda: [one.id for one in listed(calls)] == [first.id, second.id])
        assert not any(release.files for release in listed(calls))
        assert [list(release.withdrawn) for release in listed(calls)] == [[], ["malfoy"]]

        # with the last one withdrawn there is no latest, and a new watch hears nothing of the old
        calls.concepts.WithdrawConcept(cpb.WithdrawConceptRequest(name="potter"), timeout=60)
        with pytest.raises(NotFound, match="has potter, withdrawn since"), rpc.typed_errors():
            calls.releases.GetRelease(rpb.GetReleaseRequest(release="latest"), timeout=60)
        with rpc.typed_errors():
            request = rpb.GetReleaseRequest(release=first.id)
            kept = calls.releases.GetRelease(request, timeout=60).release
        assert list(kept.withdrawn) == ["potter"]
    _check_what_users_see(own_server, anna, tmp_path, monkeypatch, capsys)


def _check_what_users_see(server, member, tmp_path, monkeypatch, capsys):
    """The commands, when every release has a concept that was withdrawn."""
    known = KnownServer(
        **member.reply.model_dump(),
        name="home",
        address=f"127.0.0.1:{server.port}",
        base_source="tiny",
        ca_pem=member.ca_pem.decode(),
    )
    save_server(known, tmp_path / "home")
    monkeypatch.setenv("FEDSHOW_HOME", str(tmp_path / "home"))
    commands.releases("home", 30.0, False)
    assert "malfoy (withdrawn), potter (withdrawn)" in capsys.readouterr().out
    with pytest.raises(NotFound, match="no release is the latest now"):
        pull("home", tmp_path / "out", Form.diffusers, 30.0, False)
    assert not (tmp_path / "out").exists()


def _check_downloads(calls, release, tmp_path):
    with rpc.typed_errors():
        request = rpb.GetReleaseRequest(release=release.id[:8])
        found = calls.releases.GetRelease(request, timeout=60).release
    assert {file.path for file in found.files} > {"manifest.json", "unet/weights.safetensors"}
    for file in found.files:
        whole = download(calls, file.sha256)
        assert (sha256(whole).hexdigest(), len(whole)) == (file.sha256, file.size_bytes)
        for offset in {1, file.size_bytes // 2, file.size_bytes - 1, file.size_bytes}:
            assert download(calls, file.sha256, offset) == whole[offset:]
        if file.size_bytes > 4:
            assert download(calls, file.sha256, 1, 3) == whole[1:4]
            with pytest.raises(InvalidInput, match="length"):
                download(calls, file.sha256, file.size_bytes - 1, 2)
        with pytest.raises(InvalidInput, match="offset"):
            download(calls, file.sha256, file.size_bytes + 1)
        target = tmp_path / "release" / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(whole)
    assert verify_release(tmp_path / "release").release == release.id
    manifest = Manifest.read(tmp_path / "release")
    for stranger in (manifest.concepts[0].sha256, "0" * 64, "../x"):  # concepts stay inside
        with pytest.raises(NotFound):
            download(calls, stranger)


def test_offers_are_checked(server, member, tools):
    blob = tools.concept_bytes("winky")
    with member.calls() as calls:
        for change, error, words in (
            ({"name": "No"}, InvalidInput, "concept name 'No'"),
            ({"class_word": ""}, InvalidInput, "class ''"),
            ({"sha256": "x"}, InvalidInput, "sha256 'x'"),
            ({"size_bytes": 0}, InvalidInput, "0 bytes"),
            ({"size_bytes": 2**63}, InvalidInput, "the limit here is"),
            ({"base_sha256": "cd" * 32}, BaseMismatch, "cdcdcdcdcdcd"),
        ):
            with pytest.raises(error, match=words):
                submit(calls, tools, blob, **change)
        assert states(calls) == {}


def test_start_fuses_what_was_admitted_before_and_refuses_what_cannot_be(own_server, tools, joined):
    """One poisoned concept must not keep the others from their release."""
    cora = joined(own_server, "cora")
    own_server.end(signal.SIGKILL)
    blobs = {
        "winky": tools.concept_bytes("winky", seed=3),
        "nagini": tools.concept_bytes("nagini", size=1e30),  # admitted before there was a limit
        "voldemort": tools.concept_bytes("voldemort"),  # passes every check
        "hedwig": tools.concept_bytes("hedwig"),  # damaged on the disk
    }
    store = own_server.store()
    node = next(node for node in store.members.nodes() if node.name == "cora")
    for name, blob in blobs.items():
        digest = store.blobs.put(blob)
        store.concepts.submit(node.id, Offer(name, "man", digest, len(blob)), 100)
        store.concepts.admit(digest)
    lost = sha256(blobs["hedwig"]).hexdigest()
    (own_server.data / "blobs" / lost[:2] / lost).write_bytes(b"x" * len(blobs["hedwig"]))
    store.close()
    own_server.start()
    with cora.calls() as calls:
        heard = watch(calls)
        assert list(heard.get(timeout=tools.patience_seconds).concepts) == ["winky"]
        found = {c.name: c for c in states(calls).values()}
    for name, words in (
        ("nagini", "limit 1000"),
        ("voldemort", "NaN or infinity"),
        ("hedwig", "was promised"),
    ):
        assert found[name].state == cpb.CONCEPT_STATE_REFUSED
        assert words in found[name].reason


def publish_large(server, tools):
    """Puts a release with a file that takes a while to read; returns the file's digest."""
    blob = bytes(64 << 20)
    store = server.store()
    digest = store.blobs.put(blob)
    file = FileEntry(sha256=digest, size_bytes=len(blob))
    manifest = standin_manifest({}, {"luna": "1" * 64}, tools.card.ref).model_copy(
        update={"files": {"x": file}}
    )
    store.releases.publish(manifest, FileEntry(sha256="0" * 64, size_bytes=1))
    store.close()
    return digest


def test_streams_of_a_revoked_node_end(own_server, tools, joined):
    """What is under way ends as well: a watch that waits, and a download in the midst of a file."""
    digest = publish_large(own_server, tools)
    lucius, dora = joined(own_server, "lucius"), joined(own_server, "dora")
    with lucius.calls() as calls, dora.calls() as doras:
        bound = {"timeout": tools.patience_seconds}
        watching = calls.releases.WatchReleases(rpb.WatchReleasesRequest(), **bound)
        next(watching)
        loading = calls.releases.DownloadFile(rpb.DownloadFileRequest(sha256=digest), **bound)
        next(loading)
        other = doras.releases.WatchReleases(rpb.WatchReleasesRequest())
        next(other)
        own_server.revoke("lucius")
        for stream in (watching, loading):
            with pytest.raises(Forbidden, match="cut off"), rpc.typed_errors():
                for _ in stream:
                    pass
        assert other.is_active()


def test_damaged_folder_is_not_published(store, tools, tmp_path):
    fuse = runpy.run_path(str(STANDIN / "standin_fusion.py"))["fuse_to_folder"]
    concept = tmp_path / "potter.safetensors"
    concept.write_bytes(tools.concept_bytes("potter"))
    fuse("tiny", [concept], tmp_path / "out")
    (tmp_path / "out" / "fused.safetensors").write_bytes(b"x")
    with pytest.raises(Damaged):
        publish(store, tmp_path / "out", open_signer(tmp_path))
    assert store.releases.latest() is None


def test_publishing_again_changes_nothing(store, tools, tmp_path):
    fuse = runpy.run_path(str(STANDIN / "standin_fusion.py"))["fuse_to_folder"]
    concept = tmp_path / "potter.safetensors"
    concept.write_bytes(tools.concept_bytes("potter"))
    manifest = fuse("tiny", [concept], tmp_path / "out")
    signer = open_signer(tmp_path)
    assert publish(store, tmp_path / "out", signer) == (manifest, True)
    before = store.releases.latest()
    fuse("tiny", [concept], tmp_path / "other")  # the same release, other bytes
    assert publish(store, tmp_path / "other", signer)[1] is False
    assert store.releases.latest() == before
    for entry in store.releases.files(before.id).values():
        assert store.blobs.has(entry.sha256)
