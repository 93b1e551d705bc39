"""Damage costs the piece that it hit, wherever it happens, and nothing is sent twice without need."""

from hashlib import sha256
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedshow.errors import Damaged, FedshowError
from fedshow.releases import FileEntry, Manifest, verify_release
from fedshow.releases.manifest import PIECE_BYTES, list_files
from fedshow.transfer import part
from fedshow.transfer.backoff import Patience
from fedshow.transfer.download import download_file
from fedshow.transfer.folder import pull_release
from fedshow.transfer.part import DAMAGED_TRIES, PartFile
from fedshow.v1.releases_pb2 import ReleaseFile
from tests.client.conftest import CHUNK_BYTES
from tests.stage.waiting import PATIENCE_SECONDS

BIG = Random(5).randbytes(5 * PIECE_BYTES + 123_457)
NAME = "unet/weights.safetensors"
SMALL_CHANGE = 64 << 10
"""More than manifests and the like take."""


def pull(connection, out: Path, **options):
    return pull_release(
        connection, "latest", out, **{"patience_seconds": PATIENCE_SECONDS, **options}
    )


@pytest.fixture
def wire(host):
    """What goes over the wire; `damage` is of positions in BIG, each spoilt once."""

    class Wire:
        damage: frozenset[int] = frozenset()
        cut_at = len(BIG) + 1
        for_ever = False

        def __call__(self, chunk: bytes) -> bytes:
            at = BIG.find(chunk)
            if at < 0:
                return chunk
            if at <= self.cut_at < at + len(chunk):
                self.cut_at = len(BIG) + 1
                raise ConnectionError("cut")
            hit = {position for position in self.damage if at <= position < at + len(chunk)}
            if not self.for_ever:
                self.damage = self.damage - hit
            return bytes(b ^ (at + n in hit) for n, b in enumerate(chunk)) if hit else chunk

    host.fault = Wire()
    return host.fault


@pytest.fixture
def release(host, wire) -> Manifest:
    return host.publish({NAME: BIG, "README.md": b"# a release"})


def flip(file: Path, position: int) -> None:
    with file.open("r+b") as opened:
        opened.seek(position)
        (old,) = opened.read(1)
        opened.seek(position)
        opened.write(bytes([old ^ 1]))


def piece_of(position: int) -> int:
    return position // PIECE_BYTES * PIECE_BYTES


@pytest.mark.parametrize("position", [0, PIECE_BYTES - 1, 3 * PIECE_BYTES + 7, len(BIG) - 1])
def test_damage_on_the_wire_costs_one_piece(
    host, connection, wire, release, tmp_path, position
) -> None:
    wire.damage = frozenset({position})
    seen: list[tuple[int, int]] = []
    pull(connection, tmp_path / "model", on_progress=lambda *now: seen.append(now))
    assert verify_release(tmp_path / "model") == release
    assert len(BIG) < host.sent_bytes <= len(BIG) + PIECE_BYTES + SMALL_CHANGE
    assert piece_of(position) in host.offsets
    assert seen[-1][0] == seen[-1][1] == max(here for here, _ in seen)


@pytest.mark.parametrize("position", [5, 2 * PIECE_BYTES, len(BIG) - 1])
def test_damage_in_the_folder_costs_one_piece(
    host, connection, release, tmp_path, position
) -> None:
    out = tmp_path / "model"
    pull(connection, out)
    flip(out / NAME, position)
    with pytest.raises(Damaged):
        verify_release(out)
    host.sent_bytes = 0
    pull(connection, out)
    assert verify_release(out) == release
    assert host.sent_bytes <= PIECE_BYTES + SMALL_CHANGE


def test_damage_in_what_came_before_a_cut_costs_one_piece(
    host, connection, wire, release, tmp_path
) -> None:
    cut = 4 * PIECE_BYTES + 3 * CHUNK_BYTES
    wire.cut_at = cut
    with pytest.raises(FedshowError):
        pull(connection, tmp_path / "model", patience_seconds=0)
    (lying,) = (tmp_path / ".model.part").glob("*.part")
    assert lying.stat().st_size == cut
    flip(lying, PIECE_BYTES + 17)
    host.sent_bytes, host.offsets = 0, []
    pull(connection, tmp_path / "model")
    assert verify_release(tmp_path / "model") == release
    assert PIECE_BYTES in host.offsets
    assert host.sent_bytes <= len(BIG) - 4 * PIECE_BYTES + PIECE_BYTES + SMALL_CHANGE


def test_a_cut_inside_of_a_piece_loses_no_byte(host, connection, wire, release, tmp_path) -> None:
    """Or an uplink that breaks every few seconds would never bring a whole piece."""
    wire.cut_at = cut = 2 * PIECE_BYTES + 5 * CHUNK_BYTES
    with pytest.raises(FedshowError):
        pull(connection, tmp_path / "model", patience_seconds=0)
    host.offsets.clear()
    pull(connection, tmp_path / "model")
    assert cut in host.offsets
    assert verify_release(tmp_path / "model") == release


def test_a_piece_that_is_always_wrong_is_given_up(
    host, connection, wire, release, tmp_path
) -> None:
    wire.damage, wire.for_ever = frozenset({2 * PIECE_BYTES + 1}), True
    words = f"{NAME}: bytes {2 * PIECE_BYTES} to {3 * PIECE_BYTES} came wrong {DAMAGED_TRIES} times"
    with pytest.raises(Damaged, match=words):
        pull(connection, tmp_path / "model")
    assert not (tmp_path / "model").exists()
    assert host.sent_bytes <= len(BIG) + DAMAGED_TRIES * PIECE_BYTES + SMALL_CHANGE


def test_a_change_in_a_file_costs_its_pieces(host, connection, release, tmp_path) -> None:
    pull(connection, tmp_path / "model")
    changed = BIG[:-1] + b"?"
    second = host.publish({NAME: changed}, names=("potter", "hermione"))
    host.sent_bytes = 0
    pull(connection, tmp_path / "model")
    assert verify_release(tmp_path / "model") == second
    assert host.sent_bytes <= PIECE_BYTES + SMALL_CHANGE


def listed(content: bytes, **changes: object) -> ReleaseFile:
    return ReleaseFile(
        **{
            "path": "x",
            "size_bytes": len(content),
            "sha256": sha256(content).hexdigest(),
            **changes,
        }
    )


def digests(content: bytes, size: int) -> bytes:
    pieces = (content[at : at + size] for at in range(0, len(content), size))
    return b"".join(sha256(piece).digest() for piece in pieces)


@given(
    content=st.binary(min_size=1, max_size=70),
    lying=st.binary(max_size=80),
    kept=st.integers(0, 80),
    spoilt=st.lists(st.integers(0, 200), max_size=4),
    steps=st.lists(st.integers(1, 30), min_size=1, max_size=9),
)
def test_whatever_lies_there_the_file_comes_out_right(
    tmp_path_factory, content, lying, kept, spoilt, steps
) -> None:
    """Any bytes before, any cuts and a few spoilt bytes on the way; pieces of eight bytes."""
    target = tmp_path_factory.mktemp("part") / "file"
    old = content[:kept] + lying[kept:]
    target.with_name("file.part").write_bytes(old)
    sent = 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(part, "PIECE_BYTES", 8)
        patch.setattr(part, "DAMAGED_TRIES", 9)
        with PartFile(target, listed(content), digests(content, 8)) as found:
            while run := found.missing():
                step = steps[sent % len(steps)]
                block = bytearray(content[run[0] : min(run[1], run[0] + step)])
                for position in [p for p in spoilt if sent <= p < sent + len(block)]:
                    block[position - sent] ^= 1
                sent += len(block)
                found.append(bytes(block), run[1])
                assert 0 <= found.here() <= len(content)
            assert found.here() == len(content)
            found.finish()
    assert target.read_bytes() == content
    right = sum(content[at : at + 8] == old[at : at + 8] for at in range(0, len(content), 8))
    assert sent <= len(content) - 8 * (right - 1) + 8 * len(spoilt)


def test_pieces_of_another_file_are_no_file(host, connection, tmp_path) -> None:
    """The digest of the whole decides, also when the manifest contradicts itself."""
    want = listed(BIG, sha256=sha256(b"another").hexdigest())
    host.files[want.sha256] = BIG
    with pytest.raises(Damaged, match="another file than was promised"):
        download_file(
            connection, want, tmp_path / "x", Patience(5.0), digests=digests(BIG, PIECE_BYTES)
        )
    assert not (tmp_path / "x").exists()


def test_no_bytes_with_the_digest_of_some(host, connection, tmp_path) -> None:
    with pytest.raises(Damaged, match="no bytes are promised"):
        download_file(connection, listed(b"x", size_bytes=0), tmp_path / "x", Patience(5.0))


def test_an_empty_file(connection, tmp_path) -> None:
    download_file(connection, listed(b""), tmp_path / "x", Patience(5.0))
    assert (tmp_path / "x").read_bytes() == b""


def test_a_manifest_knows_pieces_of_larger_files_only(tmp_path) -> None:
    for name, content in (("big", BIG), ("one", BIG[:PIECE_BYTES]), ("none", b"")):
        (tmp_path / name).write_bytes(content)
    files, pieces = list_files(tmp_path)
    assert files == {
        name: FileEntry(sha256=sha256(content).hexdigest(), size_bytes=len(content))
        for name, content in (("big", BIG), ("one", BIG[:PIECE_BYTES]), ("none", b""))
    }
    assert pieces == {"big": digests(BIG, PIECE_BYTES)}


def test_a_manifest_with_pieces_is_read_as_it_was_written(release) -> None:
    assert Manifest.parse(release.dump()) == release
    for path, broken in ((NAME, release.pieces[NAME][:-1]), ("none", b"x" * 32)):
        wrong = release.model_copy(update={"pieces": {path: broken}})
        with pytest.raises(Damaged, match=f"pieces of '{path}'"):
            Manifest.parse(wrong.dump())
