"""The keys that nodes hand over with: as they are told when joining, and as Flower's calls show them."""

from base64 import b64decode

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_public_key,
    load_ssh_public_key,
)

from fedshow.errors import Forbidden, InvalidInput

FLOWERS_HEADER = "flwr-public-key"
"""Base64 of the key in PEM; the SuperLink checks that the caller has its private half."""
CURVE = "secp384r1"


def checked_key(line: str) -> str:
    """The OpenSSH line as it is always written. Raises InvalidInput."""
    try:
        key = load_ssh_public_key(line.encode())
    except (ValueError, UnsupportedAlgorithm):
        raise InvalidInput("public_key is not an OpenSSH key") from None
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name != CURVE:
        raise InvalidInput("public_key must be of type ecdsa-sha2-nistp384")
    return _line(key)


def shown_key(header: str | None) -> str:
    """The key that a call of Flower's shows, as an OpenSSH line. Raises Forbidden."""
    try:
        key = load_pem_public_key(b64decode(header or "", validate=True))
    except (ValueError, UnsupportedAlgorithm):
        raise Forbidden("this call needs a node's key: join the server first") from None
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name != CURVE:
        raise Forbidden("this is no key of a node: join the server first")
    return _line(key)


def _line(key: ec.EllipticCurvePublicKey) -> str:
    return key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
