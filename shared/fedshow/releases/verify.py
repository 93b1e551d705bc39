"""Checking a release folder against its manifest."""

from pathlib import Path

from fedshow.documents import read_json
from fedshow.errors import Damaged
from fedshow.files import digest
from fedshow.releases.contents import check_contents
from fedshow.releases.file_names import CONCEPTS
from fedshow.releases.manifest import BESIDE, FileEntry, Manifest
from fedshow.saying import OnProgress, counter

HUB_NOTES = ".cache/huggingface/"
"""What `hf download --local-dir` leaves beside the files that it brings; nothing loads from there."""


def verify_release(folder: Path, on_progress: OnProgress = lambda _done, _all: None) -> Manifest:
    """The manifest of `folder`, when every file is there with the promised bytes and no other is.

    Raises Damaged naming the first file that is missing, changed or not listed, or a concept that
    is not the manifest's, RefusedRelease naming a file that no release may hold. Who signed the
    manifest, `fedshow.releases.signing` tells.
    """
    manifest = Manifest.read(folder)
    if manifest.release != manifest.content_id:
        raise Damaged(
            f"release id {manifest.release} does not follow from its content ({manifest.content_id})"
        )
    check_contents(manifest.files)
    for path, entry in manifest.files.items():
        check_size(folder / path, path, entry)
    _check_digests(folder, manifest, on_progress)
    for found in sorted(folder.rglob("*")):
        path = found.relative_to(folder).as_posix()
        listed = path in BESIDE or path in manifest.files or path.startswith(HUB_NOTES)
        if found.is_file() and not listed:
            raise Damaged(f"{path} is not part of the release")
    check_concepts(folder, manifest)
    return manifest


def check_size(file: Path, path: str, entry: FileEntry) -> None:
    """Raises Damaged, naming the `path` in the release, when the file is missing or cut short."""
    if not file.is_file():
        raise Damaged(f"{path} is missing")
    if (size := file.stat().st_size) != entry.size_bytes:
        raise Damaged(f"{path}: {size} bytes, must be {entry.size_bytes}")


def _check_digests(folder: Path, manifest: Manifest, on_progress: OnProgress) -> None:
    count = counter(sum(entry.size_bytes for entry in manifest.files.values()), on_progress)
    for path, entry in manifest.files.items():
        if (found := digest(folder / path, count)) != entry.sha256:
            raise Damaged(f"{path}: sha256 {found[:12]}…, must be {entry.sha256[:12]}…")


def check_concepts(folder: Path, manifest: Manifest) -> None:
    """Raises Damaged unless concepts.json, which people read, says what the manifest does."""
    if CONCEPTS not in manifest.files:
        return
    promised = {member.name: member.sha256 for member in manifest.concepts}
    try:
        listed = read_json((folder / CONCEPTS).read_bytes())
        told = [(str(concept["name"]), concept["sha256"]) for concept in listed]
    except (ValueError, KeyError, TypeError) as error:
        raise Damaged(f"concepts: {CONCEPTS} is no list of concepts: {error!s:.200}") from None
    found = dict(told)
    if len(found) < len(told):
        raise Damaged(f"concepts: {CONCEPTS} tells of one concept twice")
    for name in sorted(found.keys() | promised.keys()):
        if found.get(name) != promised.get(name):
            raise Damaged(
                f"concepts: {name:.80} is {found.get(name)!s:.80} in {CONCEPTS}, {promised.get(name)} in the "
                "manifest"
            )
