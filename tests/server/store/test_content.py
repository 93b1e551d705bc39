"""Content known by its digest: the contract of every place for it."""

import random
from hashlib import sha256

import pytest

from fedshow.errors import Damaged, InvalidInput, NotFound, Unreachable
from fedshow_server.store import FolderBlobs
from fedshow_server.store.s3 import READ_BLOCK_BYTES, S3Blobs


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
