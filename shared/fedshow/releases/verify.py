"""Checking a release folder against its manifest."""

from pathlib import Path

from fedshow.errors import Damaged
from fedshow.files import digest
from fedshow.releases.manifest import FILE_NAME, Manifest, release_id


def verify_release(folder: Path) -> Manifest:
    """The manifest of `folder`, when every file is there with the promised bytes and no other is.

    Raises Damaged naming the first file that is missing, changed or not listed.
    """
    manifest = Manifest.read(folder)
    expected = release_id(manifest.base, manifest.concepts, dict(manifest.fusion))
    if manifest.release != expected:
        raise Damaged(
            f"release id {manifest.release} does not follow from its content ({expected})"
        )
    for path, entry in manifest.files.items():
        _verify_file(folder / path, path, entry.sha256, entry.size_bytes)
    for found in sorted(folder.rglob("*")):
        path = found.relative_to(folder).as_posix()
        if found.is_file() and path != FILE_NAME and path not in manifest.files:
            raise Damaged(f"{path} is not part of the release")
    return manifest


def _verify_file(file: Path, path: str, sha256: str, size_bytes: int) -> None:
    if not file.is_file():
        raise Damaged(f"{path} is missing")
    if (size := file.stat().st_size) != size_bytes:
        raise Damaged(f"{path}: {size} bytes, must be {size_bytes}")
    if (found := digest(file)) != sha256:
        raise Damaged(f"{path}: sha256 {found[:12]}…, must be {sha256[:12]}…")
