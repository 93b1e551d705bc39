"""What a server says of its latest release: signed, of today, and never older than before."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from fedshow.documents import BadDocument, read_document
from fedshow.errors import RefusedRelease
from fedshow.files import write_atomically
from fedshow.releases.signing import LATEST, Latest, Signature
from fedshow.transfer.servers import KnownServer, home_folder
from fedshow.v1.releases_pb2 import Release, SignedLatest

GOOD_FOR = timedelta(days=1)
"""Older words may be kept back and shown again by somebody in between; clocks differ by less."""

OVERTAKING = timedelta(minutes=1)
"""An answer that was slower than a later one is no old news."""

RECORD = "latest.json"


def check_latest(server: KnownServer, release: Release | None, signed: SignedLatest) -> None:
    """Raises RefusedRelease unless the server itself says, now, that `release` is its latest.

    None stands for no release. What is accepted is remembered: nothing older is, from then on.
    Servers that were joined before they had a key are taken at their word.
    """
    if server.signing_key is None:
        return
    latest = _believed(server, signed)
    _check_age(server, latest)
    if latest.manifest_sha256 != (release and release.manifest_sha256):
        raise RefusedRelease(f"{server.name} signed that another release is its latest")
    if latest.said > (_last_said(_record(server)) or latest.said - OVERTAKING):
        write_atomically(_record(server), latest.model_dump_json().encode())


def _believed(server: KnownServer, signed: SignedLatest) -> Latest:
    if not signed.signature:
        raise RefusedRelease(f"{server.name} does not sign which release is its latest")
    signature = Signature.parse(signed.signature)
    if signature.key != server.signing_key:
        raise RefusedRelease(
            f"signature: by key {signature.key}, that of {server.name} is {server.signing_key}"
        )
    signature.check(LATEST, signed.statement, f"what {server.name} says of its latest release")
    try:
        return read_document(Latest, signed.statement)
    except BadDocument as error:
        raise RefusedRelease(f"{server.name} speaks of releases in another way: {error}") from None


def _check_age(server: KnownServer, latest: Latest) -> None:
    now = datetime.now(UTC)
    if abs(now - latest.said) > GOOD_FOR:
        raise RefusedRelease(
            f"{server.name} said at {latest.said:%Y-%m-%d %H:%M} UTC what its latest release is, and "
            f"now is {now:%Y-%m-%d %H:%M}: old news, or a clock is wrong"
        )
    seen = _last_said(_record(server))
    if seen and latest.said < seen - OVERTAKING:
        raise RefusedRelease(
            f"{server.name}: its latest release of {latest.said:%Y-%m-%d %H:%M:%S} UTC is shown "
            f"again; it was heard of at {seen:%H:%M:%S} what came after"
        )


def _last_said(record: Path) -> datetime | None:
    try:
        return read_document(Latest, record.read_bytes()).said
    except (OSError, BadDocument):
        return None


def _record(server: KnownServer) -> Path:
    return server.folder(home_folder()) / RECORD
