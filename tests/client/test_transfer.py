"""Downloads against a real gRPC server: whole, resumed, damaged, interrupted."""

import json
import os
import shutil
from importlib.resources import files
from pathlib import Path
from threading import Event, Timer

import pytest

from fedshow.errors import (
    Damaged,
    FedshowError,
    Forbidden,
    InvalidInput,
    NotFound,
    RefusedRelease,
    Unreachable,
)
from fedshow.releases import Manifest, verify_release
from fedshow.transfer.backoff import Patience
from fedshow.transfer.connection import Connection
from fedshow.transfer.folder import pull_release
from fedshow.transfer.forms import LORA_FILES
from fedshow.transfer.releases import get_release, list_releases, watch_releases
from fedshow.transfer.servers import KnownServer, find_server, known_servers
from tests.client.conftest import digest
from tests.releases import concepts_json
from tests.stage.waiting import PATIENCE_SECONDS

BIG = bytes(range(256)) * 4096  # 16 chunks
FILES = {
    "fused.safetensors": BIG,
    "unet/config.json": b"{}",
    "concepts.json": concepts_json({"potter": digest(b"potter")}),
}


def pull(connection: Connection, out: Path, **options):
    options = {"patience_seconds": PATIENCE_SECONDS, **options}
    return pull_release(connection, "latest", out, **options)


def leftovers(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.startswith(".")]


def test_a_pulled_release_is_whole_and_verified(host, connection, tmp_path) -> None:
    manifest = host.publish(FILES)
    out = tmp_path / "models" / "model"
    assert pull(connection, out) == manifest
    assert verify_release(out) == manifest
    assert (out / "unet" / "config.json").read_bytes() == b"{}"
    assert leftovers(out.parent) == []


def test_progress_ends_at_all_bytes(host, connection, tmp_path) -> None:
    host.publish(FILES)
    seen = []
    pull(connection, tmp_path / "model", on_progress=lambda here, total: seen.append((here, total)))
    assert seen[-1][0] == seen[-1][1] == max(here for here, _ in seen)


def test_a_broken_stream_is_taken_up_where_it_stopped(host, connection, tmp_path) -> None:
    host.publish(FILES)
    chunks = 0

    def break_once(chunk: bytes) -> bytes:
        nonlocal chunks
        chunks += 1
        if chunks == 8:
            raise ConnectionError("cut")
        return chunk

    host.fault = break_once
    with pytest.raises(FedshowError):
        pull(connection, tmp_path / "model", patience_seconds=0)
    assert not (tmp_path / "model").exists()
    host.offsets.clear()
    pull(connection, tmp_path / "model")
    assert verify_release(tmp_path / "model")
    assert any(host.offsets)


def test_a_stream_that_ends_early_is_continued(host, connection, tmp_path) -> None:
    host.publish({"fused.safetensors": BIG})
    (sha256,) = (key for key, content in host.files.items() if content == BIG)
    host.files[sha256] = BIG[: len(BIG) // 2]

    def complete(chunk: bytes) -> bytes:
        if chunk in BIG:  # the half was read before its first chunk is sent
            host.files[sha256] = BIG
        return chunk

    host.fault = complete
    pull(connection, tmp_path / "model")
    assert verify_release(tmp_path / "model")
    assert len(BIG) // 2 in host.offsets


def test_damage_on_the_way_is_found_and_fetched_again(host, connection, tmp_path) -> None:
    host.publish(FILES)
    faults = [
        lambda chunk: chunk,
        lambda chunk: bytes(len(chunk)),
    ]  # manifest good, then zeros once
    host.fault = lambda chunk: faults.pop(0)(chunk) if faults else chunk
    pull(connection, tmp_path / "model")
    assert verify_release(tmp_path / "model")


def test_lasting_damage_is_an_error_and_leaves_no_folder(host, connection, tmp_path) -> None:
    host.publish({"fused.safetensors": BIG})
    host.fault = lambda chunk: chunk if chunk.startswith(b"{") else chunk[:-1] + b"\0"
    with pytest.raises(Damaged, match=r"fused\.safetensors"):
        pull(connection, tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_more_bytes_than_promised_are_refused(host, connection, tmp_path) -> None:
    host.publish({"fused.safetensors": BIG})
    host.fault = lambda chunk: chunk if chunk.startswith(b"{") else chunk * 3
    with pytest.raises(Damaged, match="more than the promised"):
        pull(connection, tmp_path / "model")


def test_a_manifest_of_another_release_is_refused(host, connection, tmp_path) -> None:
    host.publish(FILES)
    host.releases[0].id = "0" * 16
    with pytest.raises(Damaged, match="its manifest is that of"):
        pull(connection, tmp_path / "model")


def test_a_server_that_is_down_is_waited_for(host, connection, tmp_path) -> None:
    host.publish(FILES)
    host.stop()
    Timer(1.5, host.start).start()
    pull(connection, tmp_path / "model")
    assert verify_release(tmp_path / "model")


def test_waiting_ends(host, connection, tmp_path) -> None:
    host.stop()
    with pytest.raises(Unreachable, match="does not answer"):
        pull(connection, tmp_path / "model", patience_seconds=0.5)
    assert leftovers(tmp_path) == []


def test_a_newer_release_sends_only_what_changed(host, connection, tmp_path) -> None:
    host.publish(FILES)
    pull(connection, tmp_path / "model")
    host.sent_bytes = 0
    concepts = {name: digest(name.encode()) for name in ("potter", "hermione")}
    files = {**FILES, "concepts.json": concepts_json(concepts)}
    second = host.publish(files, names=tuple(concepts))
    pull(connection, tmp_path / "model")
    assert verify_release(tmp_path / "model") == second
    assert host.sent_bytes < 10_000


def test_a_changed_file_at_home_is_not_reused(host, connection, tmp_path) -> None:
    manifest = host.publish(FILES)
    pull(connection, tmp_path / "model")
    (tmp_path / "model" / "fused.safetensors").write_bytes(BIG[:-1] + b"!")
    pull(connection, tmp_path / "model")
    assert verify_release(tmp_path / "model") == manifest


def test_a_release_that_is_there_is_not_fetched(host, connection, tmp_path) -> None:
    host.publish(FILES)
    pull(connection, tmp_path / "model")
    host.offsets.clear()
    pull(connection, tmp_path / "model")
    assert host.offsets == []


def test_other_peoples_files_are_not_replaced(host, connection, tmp_path) -> None:
    host.publish(FILES)
    diary = tmp_path / "model" / "diary.txt"
    diary.parent.mkdir()
    diary.write_text("mine")
    with pytest.raises(InvalidInput, match=r"diary\.txt"):
        pull(connection, tmp_path / "model")
    assert diary.read_text() == "mine"


def test_a_crash_between_the_two_moves_is_undone(host, connection, tmp_path) -> None:
    host.publish(FILES)
    out = tmp_path / "model"
    pull(connection, out)
    (tmp_path / ".model.part").mkdir()
    out.rename(tmp_path / ".model.part" / "old")
    host.stop()
    with pytest.raises(Unreachable):
        pull(connection, out, patience_seconds=0)
    assert verify_release(out)


@pytest.fixture(params=["a link", "the working folder", "in a folder of others", "a mount point"])
def own_folder(request, tmp_path, monkeypatch) -> tuple[Path, Path]:
    """A folder that nobody may put another one in place of, and what to call it."""
    folder = tmp_path / "elsewhere" / "model"
    folder.mkdir(parents=True)
    if request.param == "a link":
        (tmp_path / "model").symlink_to(folder)
        return folder, tmp_path / "model"
    if request.param == "the working folder":
        monkeypatch.chdir(folder)
        return folder, Path(".")
    if request.param == "a mount point":
        monkeypatch.setattr(Path, "is_mount", lambda path: path == folder)
    else:
        monkeypatch.setattr(os, "access", lambda path, _mode: path != folder.parent)
    return folder, folder


def test_a_folder_that_must_stay_itself_is_filled(host, connection, tmp_path, own_folder) -> None:
    """Again and again, what is there being taken over, and a cut pull going on where it was."""
    folder, named = own_folder
    before = folder.stat().st_ino
    host.publish(FILES)
    host.fault = lambda _: 1 / 0
    with pytest.raises(FedshowError):
        pull(connection, named, patience_seconds=0)
    host.fault = bytes
    for names in (("potter",), ("potter",), ("dobby",)):
        listed = concepts_json({name: digest(name.encode()) for name in names})
        manifest = host.publish({**FILES, "concepts.json": listed}, names)
        assert pull(connection, named) == manifest
        assert verify_release(folder) == manifest
        assert [path.name for path in folder.parent.iterdir()] == ["model"]
        assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]
    assert named.is_symlink() == (named == tmp_path / "model")
    if named != tmp_path / "model":  # where a link leads, releases are swapped as anywhere
        assert folder.stat().st_ino == before
    assert host.sent_bytes < 2 * len(BIG)


@pytest.mark.parametrize("moves", [1, 3, 5, 6, 10])
def test_a_crash_while_a_folder_is_filled_is_mended(
    host, connection, tmp_path, monkeypatch, moves
) -> None:
    """Whichever move it comes after: a whole release lies there when the next pull has begun."""
    monkeypatch.setattr(Path, "is_mount", lambda path: path == tmp_path / "model")
    (tmp_path / "model").mkdir()
    host.publish(FILES)
    pull(connection, tmp_path / "model")
    host.publish({**FILES, "vae/config.json": b"[]"})
    done, replace = [], Path.replace

    def crash(path: Path, target: Path) -> Path:
        if path.parent.name in ("model", "tree", ".fedshow.part") and path.suffix != ".copy":
            done.append(path)
        if len(done) == moves:
            raise KeyboardInterrupt
        return replace(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", crash)
        with pytest.raises(KeyboardInterrupt):
            pull(connection, tmp_path / "model")
    host.stop()
    with pytest.raises(Unreachable):
        pull(connection, tmp_path / "model", patience_seconds=0)
    assert Manifest.read(tmp_path / "model").files
    shutil.rmtree(tmp_path / "model" / ".fedshow.part")
    assert verify_release(tmp_path / "model")


def test_the_lora_alone(host, connection, tmp_path) -> None:
    host.publish(FILES)
    pull(connection, tmp_path / "model", only=LORA_FILES)
    pull(connection, tmp_path / "model", only=LORA_FILES)
    assert {file.name for file in (tmp_path / "model").iterdir()} == LORA_FILES


@pytest.mark.parametrize(
    "path", ["pipeline.py", "unet/evil.py", "unet/weights.bin", "a.pkl", "run", ".git/hooks/x.sh"]
)
def test_code_of_the_servers_own_is_not_even_fetched(host, connection, tmp_path, path) -> None:
    host.publish({**FILES, path: b"import os"})
    with pytest.raises(RefusedRelease, match=path):
        pull(connection, tmp_path / "model")
    assert host.offsets == [0]  # the manifest
    assert not (tmp_path / "model").exists()


def test_fedshows_own_pipeline_is_taken(host, connection, tmp_path) -> None:
    own = files("fedshow.releases") / "standalone_pipeline.py"
    host.publish({**FILES, "pipeline.py": own.read_bytes()})
    pull(connection, tmp_path / "model")
    assert (tmp_path / "model" / "pipeline.py").read_bytes() == own.read_bytes()


def test_the_lora_of_a_release_with_strange_code_is_taken(host, connection, tmp_path) -> None:
    host.publish({**FILES, "pipeline.py": b"import os"})
    pull(connection, tmp_path / "model", only=LORA_FILES)
    assert {file.name for file in (tmp_path / "model").iterdir()} == LORA_FILES


def test_the_servers_errors_arrive_as_they_are(host, connection, known) -> None:
    with pytest.raises(NotFound, match="'feedbeef'"):
        get_release(connection, "feedbeef")
    stranger = known.model_copy(update={"token": "x" * 43})
    with Connection(stranger) as other, pytest.raises(Forbidden, match="no valid token"):
        list_releases(other)


def test_another_servers_certificate_is_not_trusted(host, known, certificates_of_another) -> None:
    impostor = known.model_copy(update={"ca_pem": certificates_of_another.ca.decode()})
    with Connection(impostor) as connection, pytest.raises(Unreachable):
        list_releases(connection)


def test_watching_survives_an_outage(host, connection) -> None:
    first = host.publish(FILES)
    stop, seen = Event(), []
    for release in watch_releases(connection, stop):
        seen.append(release.id)
        if len(seen) == 1:
            host.stop()
            second = host.publish(FILES, names=("potter", "hermione"))
            Timer(1.0, host.start).start()
        else:
            stop.set()
            connection.close()
    assert seen == [first.release, second.release]


def test_patience_stops_when_told() -> None:
    stop = Event()
    stop.set()
    with pytest.raises(Unreachable, match="gone"):
        Patience(None, stop=stop).wait(Unreachable("gone"))


def test_known_servers_are_found_by_name_and_address(known: KnownServer, home: Path) -> None:
    assert find_server("home", home) == find_server(known.grpc, home) == known
    assert known_servers(home) == [known]
    with pytest.raises(NotFound, match="joined: home"):
        find_server("work", home)
    record = known.folder(home) / "server.json"
    assert record.stat().st_mode & 0o077 == 0
    assert json.loads(record.read_text())["node"] == "box"
