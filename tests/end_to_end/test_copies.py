"""A daemon's copy of the newest release, from a real server: there soon after, gone when withdrawn."""

from hashlib import sha256
from pathlib import Path

from fedshow.releases import verify_release
from fedshow.releases.signing import signer_of
from fedshow.transfer.servers import known_servers
from fedshow_server.releasing.signing import open_signer
from fedshow_server.store import Offer
from tests.end_to_end.conftest import wait_for
from tests.releases import concepts_json, standin_manifest

CONTENT = b"potter"


def admit(federation) -> str:
    """A concept of the only node, as if it had been handed over; gives its digest."""
    store = federation.data.open_store()
    digest = sha256(CONTENT).hexdigest()
    (node,) = store.members.nodes()
    store.concepts.submit(node.id, Offer("potter", "man", digest, len(CONTENT)), 100)
    store.concepts.admit(digest)
    store.close()
    return digest


def write_release(folder: Path, concepts: dict[str, str], card) -> str:
    """A release of nothing but noise; gives its id."""
    weights = b"".join(sha256(bytes([n])).digest() * 4096 for n in range(20))
    files = {"fused.safetensors": weights, "concepts.json": concepts_json(concepts)}
    manifest = standin_manifest(files, concepts, card.ref)
    folder.mkdir()
    for path, content in {**files, "manifest.json": manifest.dump()}.items():
        (folder / path).write_bytes(content)
    return manifest.release


def test_a_copy_comes_with_a_release_and_goes_with_its_withdrawal(
    federation, card, tmp_path: Path
) -> None:
    home = federation.home("alice")
    federation.join("alice", federation.invite("alice"))
    release = write_release(tmp_path / "release", {"potter": admit(federation)}, card)
    daemon = federation.run_client("alice", FEDSHOW_CLIENT_KEEP_RELEASE="diffusers")
    federation.publish(tmp_path / "release")

    def server():
        return federation.status("alice")["servers"][0]

    wait_for(lambda: (server()["kept"] or {}).get("release") == release, federation.logs)
    copy = Path(server()["kept"]["folder"])
    assert verify_release(copy).release == release
    (known,) = known_servers(home)
    assert signer_of(copy) == known.signing_key == open_signer(federation.data.ca).public_key

    federation.call("server", "remove", "potter", "--data", str(federation.data.path))
    wait_for(lambda: server()["withdrawn"] and not copy.exists(), federation.logs)
    assert server()["release"] is None
    federation.end_process(daemon)
