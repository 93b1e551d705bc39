"""The server's signing key: releases are its word, and so is which of them is the latest."""

import logging
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from fedshow.errors import InvalidInput
from fedshow.files import write_atomically
from fedshow.releases.signing import LATEST, MANIFEST, Latest, Signature
from fedshow.transfer.latest import GOOD_FOR
from fedshow_server.store import Release

log = logging.getLogger(__name__)

FILE_NAME = "signing.key"
OWNER_ONLY = 0o600
TICK = timedelta(microseconds=1)
NEVER = datetime.min.replace(tzinfo=UTC)
SAID = "said/latest"
"""Below the key's folder: a moment after all that was said. Backups, which must find files at rest, leave
folders in there out."""
AHEAD = timedelta(minutes=1)
"""It is written so much ahead, or it would be written with every answer."""


class Signer:
    """Signs with one key; what it says of the latest release is never older than before.

    Nor is it after a restart, by what the file `record` keeps.
    """

    def __init__(
        self,
        key: Ed25519PrivateKey,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        record: Path | None = None,
    ) -> None:
        self._key = key
        self._now = now
        self._record = record
        self._said = self._kept = _kept(record, now()) if record else NEVER
        self.public_key = key.public_key().public_bytes_raw().hex()

    def sign_manifest(self, content: bytes) -> bytes:
        """The content of the file that goes beside a manifest.json."""
        return self._sign(MANIFEST, content).model_dump_json().encode()

    def say_latest(self, release: Release | None) -> tuple[bytes, bytes]:
        """What is the latest release now, and the signature of these very bytes."""
        self._said = max(self._now(), self._said + TICK)
        if self._record and self._said > self._kept:
            self._keep(self._record, self._said + AHEAD)
        latest = Latest(manifest_sha256=release and release.manifest_sha256, said=self._said)
        content = latest.model_dump_json().encode()
        return content, self._sign(LATEST, content).model_dump_json().encode()

    def _keep(self, record: Path, moment: datetime) -> None:
        try:
            write_atomically(record, moment.isoformat().encode())
        except OSError as error:  # a full disk keeps nobody from the news
            log.warning("%s cannot be written: %s", record, error)
        else:
            self._kept = moment

    def _sign(self, purpose: bytes, content: bytes) -> Signature:
        found = self._key.sign(purpose + content)
        return Signature(key=self.public_key, signature=found.hex())


def open_signer(folder: Path) -> Signer:
    """The signer with the key in `folder`, which is made when there is none. Raises InvalidInput."""
    path = folder / FILE_NAME
    if not path.is_file():
        _make(path)
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise InvalidInput(f"signing key {path}: {error!s:.200}; put its backup there") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise InvalidInput(f"signing key {path} is none of Ed25519; put its backup there")
    return Signer(key, record=folder / SAID)


def _kept(record: Path, now: datetime) -> datetime:
    """What the record says; words of more than a day ahead were believed by nobody."""
    try:
        kept = datetime.fromisoformat(record.read_text())
        return kept if kept - now <= GOOD_FOR else NEVER
    except (OSError, ValueError, TypeError):
        return NEVER


def _make(path: Path) -> None:
    """Whole or not at all: clients trust this key for ever."""
    pem = Ed25519PrivateKey.generate().private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    handle = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, OWNER_ONLY)
    with os.fdopen(handle, "wb") as file:
        file.write(pem)
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(unfinished, path)  # unlike a rename, leaves the key that another process made
    except FileExistsError:
        pass
    finally:
        unfinished.unlink()
