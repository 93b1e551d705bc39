"""Who vouches for a release: a server signs each manifest, and what its latest release is.

A manifest names the digest of everything else, so that one signature covers a release whole.
"""

from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from fedshow.concepts.header import Sha256
from fedshow.documents import BadDocument, Moment, read_document
from fedshow.errors import Damaged, RefusedRelease
from fedshow.releases import file_names

MANIFEST = b"fedshow release manifest\0"
LATEST = b"fedshow latest release\0"
"""What is signed begins with one of these: no signature is good for anything else."""

PublicKey = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
"""A server's Ed25519 key, raw, in hexadecimal digits."""


class Signature(BaseModel):
    """A signature and whose it is: the content of manifest.sig."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    key: PublicKey
    signature: str = Field(pattern=r"^[0-9a-f]{128}$")

    @classmethod
    def parse(cls, content: bytes) -> Self:
        """The signature in `content`; raises RefusedRelease."""
        try:
            return read_document(cls, content)
        except BadDocument as error:
            raise RefusedRelease(f"signature: {file_names.SIGNATURE}: {error}") from None

    def check(self, purpose: bytes, content: bytes, what: str) -> None:
        """Raises RefusedRelease, calling the content `what`, unless the signature is that of it."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        try:
            key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(self.key))
            key.verify(bytes.fromhex(self.signature), purpose + content)
        except (InvalidSignature, ValueError):
            raise RefusedRelease(f"signature: not that of {what}, by key {self.key}") from None


class Latest(BaseModel):
    """What a server says, signed: which release is its latest."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    manifest_sha256: Sha256 | None
    """Digest of its manifest.json; None: no release is the latest now."""
    said: Moment
    """When; a server never says anything older than what it said before."""


def check_manifest(content: bytes, signature: bytes | None, key: PublicKey | None) -> None:
    """Raises RefusedRelease unless the manifest is signed, and by `key`; None knows no key."""
    if key is None:
        return
    if signature is None:
        raise RefusedRelease(f"signature: there is none; the server signs with key {key}")
    found = Signature.parse(signature)
    if found.key != key:
        raise RefusedRelease(f"signature: by key {found.key}, the server's is {key}")
    found.check(MANIFEST, content, "this manifest")


def signer_of(folder: Path) -> PublicKey | None:
    """The key that a release folder's manifest is signed with; None when it is not signed.

    Raises RefusedRelease when what should be the signature is not, Damaged when there is nothing signed.
    """
    file, manifest = folder / file_names.SIGNATURE, folder / file_names.MANIFEST
    if not file.is_file():
        return None
    if not manifest.is_file():
        raise Damaged(f"{file_names.MANIFEST} is missing")
    found = Signature.parse(file.read_bytes())
    found.check(MANIFEST, manifest.read_bytes(), "this manifest")
    return found.key
