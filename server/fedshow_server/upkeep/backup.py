"""One file with everything that a server cannot make again, taken while it runs.

The order makes it consistent: content is never deleted and stored before the row that names it, so
a database that is copied first misses nothing that is copied after it. Flower's list of nodes
follows ours, so it comes second. What lies in PostgreSQL or S3 is not in the file.
"""

import io
import os
import re
import shutil
import sqlite3
import tarfile
import tempfile
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import IO, Literal, cast

from pydantic import BaseModel, ConfigDict
from sqlalchemy import make_url

from fedshow import __version__
from fedshow.concepts.header import Sha256
from fedshow.digests import DIGEST
from fedshow.documents import BadDocument, read_document
from fedshow.errors import Damaged, InvalidInput
from fedshow.files import BLOCK_BYTES, digest, whole_or_not, write_atomically
from fedshow.saying import OnProgress, Say, counter
from fedshow_server.folder import PRIVATE_FOLDER, DataFolder
from fedshow_server.layout import BASE, BLOBS, DATABASE, SETTINGS, SUPERLINK_DATABASE
from fedshow_server.store import Store, open_store
from fedshow_server.store.database import Database, make_engine
from fedshow_server.store.needed import check_content
from fedshow_server.store.s3 import SCHEME

LISTING = "backup.json"
CONTENT = "content, which lies in"
OWNER_ONLY = 0o600
LARGEST_LISTING_BYTES = 1 << 30
PLACE = re.compile(rb"""^[ \t]*["']?(database|store)["']?[ \t]*=""", re.MULTILINE)
"""A setting that says where something lies."""


class Listing(BaseModel):
    """What is in a backup: its first member."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1] = 1
    fedshow: str
    created: datetime
    files: dict[str, Sha256]
    """Everything but content, by path in the data folder."""
    blobs: tuple[Sha256, ...]
    left_out: tuple[str, ...]
    """What lies elsewhere, in words."""

    @property
    def has_content(self) -> bool:
        """Whether content came with it, and does not lie elsewhere."""
        return not any(what.startswith(CONTENT) for what in self.left_out)


def make_backup(
    folder: DataFolder, out: Path, on_bytes: OnProgress = lambda _done, _total: None
) -> Listing:
    """Writes the file, readable by the owner only. Raises InvalidInput, Damaged."""
    if out.exists():
        raise InvalidInput(f"{out} exists already: choose another name")
    facts = folder.facts()
    folder.check_database()
    with folder.workplace("backup") as work:
        files, left_out = _copies(folder, facts.database, work)
        blobs = []
        if _is_elsewhere(facts.store):
            left_out.append(f"{CONTENT} {facts.store}")
        else:
            copied = f"sqlite:///{files[DATABASE]}" if DATABASE in files else facts.database
            blobs = _blobs_for(copied, Path(facts.store or folder.blobs))
        listing = Listing(
            fedshow=__version__,
            created=datetime.now(UTC),
            files={name: digest(path) for name, path in files.items()},
            blobs=tuple(sorted(path.name for path in blobs)),
            left_out=tuple(left_out),
        )
        with whole_or_not(out) as file, tarfile.open(fileobj=file, mode="w") as tar:
            _add(
                tar,
                LISTING,
                io.BytesIO(content := listing.model_dump_json().encode()),
                len(content),
            )
            total = sum(path.stat().st_size for path in (*files.values(), *blobs))
            count = counter(total, on_bytes)
            for name, path in files.items():
                _add_file(tar, name, path, listing.files[name], count)
            for path in blobs:
                _add_file(tar, _blob_name(path.name), path, path.name, count)
    return listing


def restore_backup(
    file: Path,
    target: Path,
    say: Say,
    on_bytes: OnProgress = lambda _done, _total: None,
) -> Listing:
    """Makes the data folder `target` out of a backup, whole or not at all. Raises InvalidInput, Damaged."""
    if target.exists() and any(target.iterdir()):
        raise InvalidInput(f"{target} is not empty: restore into a new folder")
    target.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}-"))
    try:
        listing = _extract(file, work, on_bytes)
        DataFolder(work).make()
        _check_database(work, listing, say)
        _forget_places(work / SETTINGS, listing, say)
        if target.exists():
            target.rmdir()
        work.rename(target)
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise
    return listing


def _copies(folder: DataFolder, database: str, work: Path) -> tuple[dict[str, Path], list[str]]:
    """Files by their name in the backup, those that are written to copied to `work` first."""
    files: dict[str, Path] = {}
    left_out: list[str] = []
    url = make_url(database)
    if url.get_backend_name() == "sqlite" and url.database:
        files[DATABASE] = _copy_sqlite(Path(url.database), work / "database")
    else:
        left_out.append(f"the database, which lies in {url.get_backend_name()} at {url.host}")
    if folder.superlink_database.is_file():
        files[SUPERLINK_DATABASE] = _copy_sqlite(folder.superlink_database, work / "flower")
    for path in (*sorted(folder.ca.iterdir()), folder.path / BASE, folder.path / SETTINGS):
        if path.is_file():
            files[path.relative_to(folder.path).as_posix()] = path
    return files, left_out


def _copy_sqlite(source: Path, target: Path) -> Path:
    """The database as it is at one moment, whoever writes to it meanwhile."""
    with (
        closing(sqlite3.connect(source, timeout=60)) as live,
        closing(sqlite3.connect(target)) as copy,
    ):
        live.backup(copy)
    return target


def _is_elsewhere(store: str | None) -> bool:
    return store is not None and store.startswith(SCHEME)


def _blobs_for(database_url: str, folder: Path) -> list[Path]:
    """All content in the folder. Raises Damaged when it lacks some that the database names."""
    found = sorted(path for path in folder.glob("??/*") if DIGEST.fullmatch(path.name))
    database = Database(make_engine(database_url))
    try:
        check_content(database, {path.name for path in found}, f"{folder}")
    finally:
        database.close()
    return found


def _blob_name(name: str) -> str:
    return f"{BLOBS}/{name[:2]}/{name}"


def _add(
    tar: tarfile.TarFile, name: str, content: IO[bytes] | io.BufferedIOBase, size: int
) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, OWNER_ONLY
    tar.addfile(member, cast(IO[bytes], content))


def _add_file(
    tar: tarfile.TarFile, name: str, path: Path, expected: str, count: Callable[[int], None]
) -> None:
    """Adds the file; raises Damaged when it is not what its digest says."""
    with path.open("rb") as file:
        hashed = _Hashed(file, count)
        _add(tar, name, hashed, os.fstat(file.fileno()).st_size)
    if hashed.found.hexdigest() != expected:
        raise Damaged(f"{path}: is not what its sha256 {expected[:12]}… says; nothing was written")


class _Hashed(io.BufferedIOBase):
    """A file that is hashed and counted while it is read."""

    def __init__(self, file: IO[bytes], count: Callable[[int], None]) -> None:
        self._file, self._count = file, count
        self.found = sha256()

    def readable(self) -> bool:
        """Yes."""
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        """The next bytes."""
        block = self._file.read(-1 if size is None else size)
        self.found.update(block)
        self._count(len(block))
        return block


def _extract(file: Path, work: Path, on_bytes: OnProgress) -> Listing:
    """Writes every member below `work`, each checked; raises Damaged unless all are there."""
    try:
        with tarfile.open(file, "r:") as tar:
            listing = _listing(tar, file)
            count = counter(file.stat().st_size, on_bytes)
            missing = listing.files | {_blob_name(name): name for name in listing.blobs}
            while member := tar.next():
                if (expected := missing.pop(member.name, None)) is None:
                    raise Damaged(f"backup {file}: {member.name[:80]!r} is not in its listing")
                content = tar.extractfile(member)
                if content is None:
                    raise Damaged(f"backup {file}: {member.name} is no file")
                _write(content, work / member.name, expected, count)
    except FileNotFoundError:
        raise InvalidInput(f"backup {file} does not exist") from None
    except IsADirectoryError:
        raise InvalidInput(f"backup {file} is a folder; name the file in it") from None
    except (tarfile.TarError, EOFError) as error:
        raise Damaged(f"backup {file}: {error}") from None
    if missing:
        raise Damaged(f"backup {file}: {len(missing)} files are missing, {min(missing)} is one")
    return listing


def _listing(tar: tarfile.TarFile, file: Path) -> Listing:
    member = tar.next()
    content = tar.extractfile(member) if member and member.name == LISTING else None
    if member is None or content is None or member.size > LARGEST_LISTING_BYTES:
        raise Damaged(f"{file} is no backup of a fedshow server: it does not begin with {LISTING}")
    try:
        return read_document(Listing, content.read())
    except BadDocument as error:
        raise Damaged(f"backup {file}: {LISTING}: {error}") from None


def _write(content: IO[bytes], path: Path, expected: str, count: Callable[[int], None]) -> None:
    if ".." in path.parts:
        raise Damaged(f"{path.name}: a way out of the folder")
    path.parent.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
    found = sha256()
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, OWNER_ONLY), "wb") as out:
        while block := content.read(BLOCK_BYTES):
            found.update(block)
            out.write(block)
            count(len(block))
        out.flush()
        os.fsync(out.fileno())
    if found.hexdigest() != expected:
        raise Damaged(f"backup: {path.name} is damaged")


def _check_database(work: Path, listing: Listing, say: Say) -> None:
    """Opens the restored database, which brings it up to date, and walks its audit log."""
    if DATABASE not in listing.files:
        return
    store: Store = open_store(f"sqlite:///{work / DATABASE}", work / BLOBS)
    try:
        if listing.has_content:
            check_content(store.database, set(listing.blobs), "the backup")
        say(f"audit log: {store.audit.verify().position} entries, none was changed")
    finally:
        store.close()


def _forget_places(file: Path, listing: Listing, say: Say) -> None:
    """Takes those places out of the settings whose content is restored: it lies in the new folder now."""
    came = {b"database": DATABASE in listing.files, b"store": listing.has_content}

    def forgotten(found: re.Match[bytes]) -> bytes:
        if not came[found[1]]:
            return found[0]
        say(
            f"{file.name}: {found[1].decode()} is commented out: what lay there is in the new folder"
        )
        return b"# " + found[0]

    if file.is_file():
        write_atomically(file, PLACE.sub(forgotten, file.read_bytes()))
