"""Joining a server with a code: pin its certificate authority, make a key, redeem the secret."""

import hmac
import shutil
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from tempfile import mkdtemp

import httpx
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_ssh_private_key,
)
from pydantic import TypeAdapter, ValidationError

from fedshow import rpc
from fedshow.documents import BadDocument, read_document
from fedshow.errors import FedshowError, Forbidden, InvalidInput, Unreachable
from fedshow.families.locating import anywhere, is_public
from fedshow.files import write_atomically
from fedshow.joining import JoinCode, JoinReply, JoinRequest, NodeName
from fedshow.transfer.backoff import Patience, patiently
from fedshow.transfer.servers import (
    KnownServer,
    known_servers,
    private_folder,
    save_server,
)
from fedshow.wire import CA_PATH, JOIN_PATH, MAX_CA_BYTES

TIMEOUT_SECONDS = 20.0
REGISTERING_SECONDS = 90.0
"""The server asks Flower to take in the new key, which starts a program there."""
KEY_NAME = "key"


def join(
    code_text: str,
    home: Path,
    patience: Patience,
    *,
    name: str | None = None,
    base_source: str | None = None,
) -> KnownServer:
    """The server that the code leads to, remembered under `home`.

    Raises InvalidInput (no code, or a base that has to come with `base_source`), Forbidden (spent,
    expired, or another server than the code names), Unreachable. After a cut or a crash the same
    call goes on where it stopped, with the same key.
    """
    code = JoinCode.parse(code_text)
    _check_name(name)
    if code.base or base_source:
        source_of(code.base, base_source)  # now: the code is good only once
    ca_pem = patiently(lambda: fetch_ca(code), patience)
    if any(known.name == name and known.ca_pem != ca_pem for known in known_servers(home)):
        raise InvalidInput(f"another server is called {name!r} here; choose another --as")
    patience.progressed()
    pending = private_folder(home / "joining" / sha256(code.secret.encode()).hexdigest()[:16])
    request = JoinRequest(secret=code.secret, public_key=make_key(pending / KEY_NAME))
    with _joined_already(ca_pem, home):
        reply = patiently(lambda: _redeem(code, request, ca_pem), patience)
    server = KnownServer(
        **reply.model_dump(),
        name=name or _free_name(reply.server, ca_pem, home),
        address=code.address,
        base_source=source_of(reply.base.name, base_source),
        ca_pem=ca_pem,
    )
    _keep(server, pending, home)
    return server


def source_of(base: str, given: str | None) -> str:
    """What tuning opens for a server's base of this name: what the user gave, or else the name.

    Raises InvalidInput when nothing was given for a base that is not public.
    """
    if given is not None:
        return anywhere(given)
    if not is_public(base):
        raise InvalidInput(
            f"the server's base ({base!r}) is a folder of its owner's: get a copy of it and join "
            "with --base FOLDER; the code stays good"
        )
    return base


def _keep(server: KnownServer, pending: Path, home: Path) -> None:
    """Puts the server's whole folder in place at once; the pending key goes last.

    Whenever this is cut off, the same code with the same key can be redeemed again.
    """
    ready, target = server.folder(pending), server.folder(home)
    private_folder(ready)
    for file in (KEY_NAME, f"{KEY_NAME}.pub"):
        write_atomically(ready / file, (pending / file).read_bytes())
    save_server(server, pending)
    private_folder(home)
    private_folder(target.parent)
    if target.exists():
        target.replace(Path(mkdtemp(dir=pending)) / "old")
    ready.replace(target)
    shutil.rmtree(pending)


def _check_name(name: str | None) -> None:
    """Raises InvalidInput before the one-time code is spent on a name that cannot be a folder's."""
    try:
        TypeAdapter(NodeName | None).validate_python(name)
    except ValidationError:
        raise InvalidInput(
            f"server name {name!r}: use 1 to 63 of letters, digits, '.', '_' and '-'"
        ) from None


def fetch_ca(code: JoinCode) -> str:
    """The server's certificate authority as PEM, when it is the one that the code names."""
    try:
        # nothing is believed before the fingerprint fits, and nothing secret is sent
        with httpx.Client(verify=False, timeout=TIMEOUT_SECONDS) as client:  # noqa: S501
            reply = client.get(f"https://{code.address}{CA_PATH}")
    except httpx.HTTPError as error:
        raise _silent(code.address, error) from error
    try:
        certificate = x509.load_pem_x509_certificate(reply.content[:MAX_CA_BYTES])
    except ValueError:
        raise FedshowError(f"{code.address} is no fedshow server ({reply.status_code})") from None
    found = sha256(certificate.public_bytes(Encoding.DER)).hexdigest()
    if not hmac.compare_digest(found, code.ca_sha256):
        raise Forbidden(
            f"{code.address} is not the server that the join code names: its certificate authority "
            f"has fingerprint {found[:16]}…, the code says {code.ca_sha256[:16]}…"
        ).then("ask its owner for a new code")
    return certificate.public_bytes(Encoding.PEM).decode()


def make_key(path: Path) -> str:
    """The public half, as one OpenSSH line, of the P-384 key at `path`; made if it is not there."""
    if path.exists():
        private = load_ssh_private_key(path.read_bytes(), password=None)
        assert isinstance(private, ec.EllipticCurvePrivateKey)
    else:
        private = ec.generate_private_key(ec.SECP384R1())
        secret = private.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
        write_atomically(path, secret)
    public = private.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    write_atomically(path.with_name(f"{path.name}.pub"), public)
    return public.decode()


def _redeem(code: JoinCode, request: JoinRequest, ca_pem: str) -> JoinReply:
    trust = ssl.create_default_context(cadata=ca_pem)
    trust.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        with httpx.Client(verify=trust, timeout=REGISTERING_SECONDS) as client:
            reply = client.post(f"https://{code.address}{JOIN_PATH}", json=request.model_dump())
    except httpx.HTTPError as error:
        raise _silent(code.address, error) from error
    if reply.status_code != httpx.codes.OK:
        raise _refusal(code.address, reply)
    try:
        return read_document(JoinReply, reply.content)
    except BadDocument as error:
        raise FedshowError(
            f"{code.address} speaks another version of fedshow ({error.where})"
        ) from None


def _silent(address: str, error: httpx.HTTPError) -> Unreachable:
    says = f"{address} does not answer: {error}"
    return Unreachable(says).then(f"fedshow doctor --server {address}")


def _refusal(address: str, reply: httpx.Response) -> FedshowError:
    """The server's own error; for anything else, what its status means."""
    try:
        body = reply.json()
        return rpc.error_of(str(body["reason"]), str(body["message"]))
    except (ValueError, KeyError, TypeError):
        pass
    if reply.status_code >= httpx.codes.INTERNAL_SERVER_ERROR:
        return Unreachable(f"{address} answers {reply.status_code}")
    return Forbidden(f"{address} refuses this join code ({reply.status_code})")


@contextmanager
def _joined_already(ca_pem: str, home: Path) -> Iterator[None]:
    """Adds to a refusal inside the block that this very server is joined here, if it is."""
    try:
        yield
    except Forbidden as error:
        for server in known_servers(home):
            if server.ca_pem == ca_pem:
                raise Forbidden(f"{error}; it is joined here already, as {server.name!r}") from None
        raise


def _free_name(wanted: str, ca_pem: str, home: Path) -> str:
    """The server's name, with a number when another server has it here."""
    others = {server.name for server in known_servers(home) if server.ca_pem != ca_pem}
    names = (wanted, *(f"{wanted[:60]}-{number}" for number in range(2, 99)))
    for name in names:
        if name not in others:
            return name
    raise InvalidInput(f"too many servers are called {wanted!r} here; choose a name with --as")
