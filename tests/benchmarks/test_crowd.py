"""The crowd of the federation's benchmark, small: what goes wrong with a client or a download is counted."""

from pathlib import Path

import pytest

from benchmarks.federating import crowd
from benchmarks.federating.concepts import concept_file
from benchmarks.federating.downloads import measure_downloads
from benchmarks.federating.size import Size
from fedshow.files import write_atomically
from fedshow_server.folder import DataFolder
from fedshow_server.releasing.publishing import publish
from fedshow_server.releasing.signing import open_signer
from tests.releases import standin_manifest
from tests.stage.concepts import CARD, make_data
from tests.stage.member import Member
from tests.stage.server import Server

BROKEN = 2


def test_a_crowd_is_taken_in_fused_and_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sometimes_poisoned(number: int, card: object) -> bytes:
        return concept_file(number, card, size=1e3 if number == BROKEN else 0.02)

    monkeypatch.setattr(crowd, "concept_file", sometimes_poisoned)
    found = crowd.measure(tmp_path, Size(clients=3, downloads=2))
    assert (found["joined"], found["clients"], found["fused"]) == (3, 2, 2)
    (left,) = found["left_out"]
    assert left.startswith("noise-aaac: refused")
    assert (found["downloads"], found["downloads_verified"]) == (2, 2)
    assert found["downloads_failed"] == []
    assert found["aborts"] >= 2
    assert found["server_peak_megabytes"] >= found["megabytes_fusing"]
    assert {"server", "superlink", "serverapp", "fusing"} <= found["megabytes_by_process"].keys()


def test_a_download_that_is_not_right_is_not_verified(tmp_path: Path) -> None:
    server = Server(make_data(tmp_path / "data"))
    server.start()
    try:
        member = Member.redeem(server, server.invite("anna"))
        release = _publish(server, tmp_path / "release")
        good = member.known(server)
        other_key = good.model_copy(update={"signing_key": "A" * len(good.signing_key or "")})
        found = measure_downloads([good, other_key, good], release, tmp_path / "out", seed=1)
    finally:
        server.end()
    assert (found["downloads"], found["downloads_verified"]) == (3, 2)
    (failed,) = found["downloads_failed"]
    assert failed.startswith("1: RefusedRelease")


def _publish(server: Server, folder: Path) -> str:
    files = {"fused.safetensors": bytes(range(256)) * 5000, "README.md": b"a release"}
    manifest = standin_manifest(files, {"potter": "ab" * 32}, CARD.ref)
    folder.mkdir()
    for path, content in {**files, "manifest.json": manifest.dump()}.items():
        write_atomically(folder / path, content)
    data = DataFolder(server.data)
    store = data.open_store()
    publish(store, folder, open_signer(data.ca))
    store.close()
    return manifest.release
