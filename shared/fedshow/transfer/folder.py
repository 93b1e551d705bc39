"""A release as a folder: fetched beside its place, moved there when all of it is right."""

import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from threading import Event

from fedshow.errors import Damaged, FedshowError, InvalidInput, RefusedRelease
from fedshow.files import digest
from fedshow.releases import Manifest, verify_release
from fedshow.releases.contents import check_contents
from fedshow.releases.file_names import MANIFEST, SIGNATURE
from fedshow.releases.manifest import BESIDE
from fedshow.releases.signing import check_manifest
from fedshow.saying import OnProgress, counter
from fedshow.transfer.backoff import OnWait, Patience, patiently
from fedshow.transfer.connection import Connection
from fedshow.transfer.download import download_file
from fedshow.transfer.releases import get_release
from fedshow.transfer.staging import INSIDE, new_tree, put, staged
from fedshow.v1.releases_pb2 import Release, ReleaseFile


def pull_release(
    connection: Connection,
    release: str,
    out: Path,
    *,
    only: frozenset[str] | None = None,
    patience_seconds: float | None = None,
    on_wait: OnWait | None = None,
    on_progress: OnProgress = lambda _here, _all: None,
    stop: Event | None = None,
    others: Iterable[Path] = (),
) -> Manifest:
    """Puts a release into the folder `out` and returns its manifest; every byte is verified.

    `only` takes some of its files. What a release in `out`, or in one of the `others`, already has
    is not sent again. An interrupted pull goes on where it stopped; `stop` ends its waiting.
    Raises RefusedRelease, before any other file is sent, when the server did not sign the release
    or a wanted file could run code that is not fedshow's own.
    """
    out = out.resolve()
    patience = Patience(patience_seconds, on_wait, stop)
    with staged(out) as staging:
        _check_replaceable(out, only or frozenset())
        found = patiently(lambda: get_release(connection, release), patience)
        patience.progressed()
        if only is None and (manifest := _already_there(out, found, on_progress)):
            return manifest
        manifest = _fetch_manifest(connection, found, staging, patience)
        wanted = _wanted(found, manifest, only)
        _reuse(wanted, staging, out)
        for folder in others:
            _borrow(wanted, staging, folder)
        _seed(wanted, manifest, staging, out)
        _fetch(connection, wanted, manifest, staging, patience, on_progress)
        put(_assemble(wanted, staging), out, staging)
    return manifest


def _check_replaceable(out: Path, expected: frozenset[str]) -> None:
    """Raises InvalidInput when replacing `out` would lose something that is not a release's."""
    if not out.exists():
        return
    if not out.is_dir():
        raise InvalidInput(f"{out} is a file; -o needs a folder")
    files = (file.relative_to(out) for file in out.rglob("*") if not file.is_dir())
    found = {file.as_posix() for file in files if file.parts[0] != INSIDE}
    if MANIFEST in found:
        try:
            expected |= {*BESIDE, *Manifest.read(out).files}
        except Damaged as error:
            raise InvalidInput(f"{out} holds something else ({error}); choose another") from None
    if extra := sorted(found - expected):
        raise InvalidInput(
            f"{out} holds {extra[0]!r}, which is no part of a release; choose another"
        )


def _already_there(out: Path, wanted: Release, on_progress: OnProgress) -> Manifest | None:
    """The manifest of what lies in `out`, when that is the release down to its signature."""
    listed = {file.path: file.sha256 for file in wanted.files if file.path in BESIDE}
    beside = {path: out / path for path in BESIDE if (out / path).is_file()}
    if listed != {path: digest(file) for path, file in beside.items()}:
        return None
    try:
        return verify_release(out, on_progress)
    except (Damaged, RefusedRelease):
        return None


def _fetch_manifest(
    connection: Connection, release: Release, staging: Path, patience: Patience
) -> Manifest:
    """The release's manifest, when the server signed it, and its list of files says the same."""
    listed = {file.path: file for file in release.files if file.path in BESIDE}
    if MANIFEST not in listed or listed[MANIFEST].sha256 != release.manifest_sha256:
        raise Damaged(f"release {release.id}: no {MANIFEST} with the promised digest")
    for file in listed.values():
        if not (staging / file.sha256).exists():
            download_file(connection, file, staging / file.sha256, patience)
    found = {path: (staging / file.sha256).read_bytes() for path, file in listed.items()}
    check_manifest(found[MANIFEST], found.get(SIGNATURE), connection.server.signing_key)
    manifest = Manifest.parse(found[MANIFEST])
    if not manifest.release == manifest.content_id == release.id:
        raise Damaged(f"release {release.id}: its manifest is that of {manifest.content_id}")
    return manifest


def _wanted(
    release: Release, manifest: Manifest, only: frozenset[str] | None
) -> dict[str, ReleaseFile]:
    """The files to have, by path: the manifest decides what they are."""
    files = {
        path: ReleaseFile(path=path, size_bytes=entry.size_bytes, sha256=entry.sha256)
        for path, entry in manifest.files.items()
        if only is None or path in only
    }
    check_contents({path: manifest.files[path] for path in files})
    if only is not None and (missing := sorted(only - set(files))):
        raise FedshowError(f"release {release.id} has no {missing[0]}")
    if only is None:
        files |= {file.path: file for file in release.files if file.path in BESIDE}
    return files


def _reuse(wanted: dict[str, ReleaseFile], staging: Path, folder: Path) -> None:
    """Takes over files that lie in a release folder with the very bytes wanted."""
    digests = {file.sha256 for file in wanted.values()}
    for path, sha256 in _listed(folder) or _places(wanted):
        target = staging / sha256
        source = folder / path
        if sha256 not in digests or target.exists() or not source.is_file():
            continue
        if digest(source) == sha256:
            _copy(source, target)


def _borrow(wanted: dict[str, ReleaseFile], staging: Path, folder: Path) -> None:
    """Copies files out of a folder that somebody else may replace at any moment."""
    digests = {file.sha256 for file in wanted.values()}
    for path, sha256 in _listed(folder) or _places(wanted):
        source, copied = folder / path, staging / f"{sha256}.copy"
        if sha256 not in digests or (staging / sha256).exists():
            continue
        with suppress(OSError):
            shutil.copyfile(source, copied)
            if digest(copied) == sha256:
                copied.replace(staging / sha256)
        copied.unlink(missing_ok=True)


def _places(wanted: dict[str, ReleaseFile]) -> list[tuple[str, str]]:
    return [(path, file.sha256) for path, file in wanted.items()]


def _seed(wanted: dict[str, ReleaseFile], manifest: Manifest, staging: Path, folder: Path) -> None:
    """Begins with what lies in the place of a file now, if it may be nearly that file.

    So that a file with a damaged byte costs one piece. `_fetch` looks at every piece.
    """
    for path in manifest.pieces.keys() & wanted.keys():
        source, target = folder / path, staging / wanted[path].sha256
        part = target.with_name(f"{target.name}.part")
        if target.exists() or part.exists() or not source.is_file():
            continue
        size = source.stat().st_size
        if size == wanted[path].size_bytes and size < shutil.disk_usage(staging).free:
            shutil.copyfile(source, part)


def _listed(folder: Path) -> list[tuple[str, str]]:
    try:
        return [(path, entry.sha256) for path, entry in Manifest.read(folder).files.items()]
    except Damaged:
        return []


def _copy(source: Path, target: Path) -> None:
    """A copy that shares its bytes with `source` where the file system can; whole or not at all."""
    unfinished = target.with_name(f"{target.name}.copy")
    unfinished.unlink(missing_ok=True)
    try:
        unfinished.hardlink_to(source)
    except OSError:
        shutil.copyfile(source, unfinished)
    unfinished.replace(target)


def _fetch(
    connection: Connection,
    wanted: dict[str, ReleaseFile],
    manifest: Manifest,
    staging: Path,
    patience: Patience,
    on_progress: OnProgress,
) -> None:
    by_digest = {file.sha256: file for file in wanted.values()}
    total = sum(file.size_bytes for file in by_digest.values())
    missing = {
        sha256: file for sha256, file in by_digest.items() if not (staging / sha256).exists()
    }
    here = total - sum(file.size_bytes for file in missing.values())
    _check_space(staging, total - here)

    arrived = counter(total, on_progress)
    arrived(here)
    for sha256, file in missing.items():
        pieces = manifest.pieces.get(file.path, b"")
        download_file(connection, file, staging / sha256, patience, arrived, pieces)


def _check_space(staging: Path, needed_bytes: int) -> None:
    parts = sum(file.stat().st_size for file in staging.glob("*.part"))
    free_bytes = shutil.disk_usage(staging).free
    if needed_bytes - parts > free_bytes:
        raise FedshowError(f"{staging.parent}: {needed_bytes} bytes needed, {free_bytes} are free")


def _assemble(wanted: dict[str, ReleaseFile], staging: Path) -> Path:
    tree = new_tree(staging)
    for path, file in wanted.items():
        target = tree / path
        target.parent.mkdir(parents=True, exist_ok=True)
        _copy(staging / file.sha256, target)
    return tree
