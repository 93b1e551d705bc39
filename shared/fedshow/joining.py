"""How a node joins a server: the code that a person passes on, and the one call that redeems it."""

import base64
import ipaddress
import re
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    TypeAdapter,
    ValidationError,
)

from fedshow.concepts.header import BaseName, Sha256
from fedshow.documents import read_document
from fedshow.errors import InvalidInput
from fedshow.families.card import BaseCard
from fedshow.releases.signing import PublicKey
from fedshow.roles import Role

PREFIX = "fedshow-join:"
EVERYBODY = "everybody"
"""Stands for all nodes where concepts are shown to some."""
ME = "me"
"""Stands for the node that brings a concept, and no other."""
MAX_CODE_LENGTH = 1024

HOST_LABEL = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
LONGEST_HOST = 253
LARGEST_PORT = 65535


def check_address(address: str) -> str:
    """The address itself, when it is HOST:PORT. Raises ValueError."""
    host, _, port = address.rpartition(":")
    if inner := re.fullmatch(r"\[([0-9A-Fa-f:]+)\]", host):
        ipaddress.IPv6Address(inner[1])
    elif len(host) > LONGEST_HOST or not all(map(HOST_LABEL.fullmatch, host.split("."))):
        raise ValueError("must be HOST:PORT")
    if not re.fullmatch("[1-9][0-9]{0,4}", port) or int(port) > LARGEST_PORT:
        raise ValueError(f"must be HOST:PORT, with a port from 1 to {LARGEST_PORT}")
    return address


Address = Annotated[str, AfterValidator(check_address)]
"""HOST:PORT."""

NodeName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]
Secret = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{43}$")]
"""256 random bits, base64url without padding."""


class JoinCode(BaseModel):
    """Where a server is, how to recognise it, and a secret that works once."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    address: Address = Field(alias="a")
    ca_sha256: Sha256 = Field(alias="f")
    """Digest of the DER form of the server's certificate authority."""
    secret: Secret = Field(alias="s")
    base: BaseName | Literal[""] = Field(default="", alias="b")
    """The base's public name, so that whoever lacks it learns so before the secret is spent."""

    def encode(self) -> str:
        """The code as people pass it on: one word."""
        content = self.model_dump_json(by_alias=True).encode()
        return PREFIX + base64.urlsafe_b64encode(content).decode().rstrip("=")

    @classmethod
    def parse(cls, text: str) -> Self:
        """The code in `text`; raises InvalidInput."""
        word = text.strip()
        if not word.startswith(PREFIX) or len(word) > MAX_CODE_LENGTH:
            raise InvalidInput(f"{word[:24]!r} is no join code: it starts with {PREFIX!r}")
        body = word.removeprefix(PREFIX)
        try:
            content = base64.b64decode(body + "=" * (-len(body) % 4), altchars=b"-_", validate=True)
            return read_document(cls, content)
        except ValueError:  # also what is no base64
            raise InvalidInput("this join code is incomplete: copy the whole line") from None


class JoinRequest(BaseModel):
    """JSON body of the POST to JOIN_PATH."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    secret: Secret
    public_key: str = Field(pattern=r"^ecdsa-sha2-nistp384 [A-Za-z0-9+/=]{64,512}$")
    """The node's new key as one OpenSSH line without a comment; its private half stays at home.

    Whoever brings concepts hands them over with it; a downloader's is only what a repeated join is
    recognised by.
    """


class JoinReply(BaseModel):
    """What a node needs from then on; the token is told this once."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    server: NodeName
    """The server's public name; fit for a folder's name."""
    node: NodeName
    """The node's name here, as the invitation gave it."""
    role: Role = Role.CONTRIBUTOR
    node_id: int | None
    """Flower's number for the node's key; None: Flower does not know a downloader."""
    token: Secret
    """Goes with every gRPC call as metadata `authorization: Bearer TOKEN`."""
    grpc: Address
    base: BaseCard
    signing_key: PublicKey | None = None
    """What the server's releases are signed with; None: its fedshow did not sign yet."""


def check_node_name(name: str) -> str:
    """The name, if a node can have it. Raises InvalidInput."""
    if name in (EVERYBODY, ME):
        raise InvalidInput(f"node name {name!r} has a meaning of its own: choose another")
    try:
        return TypeAdapter(NodeName).validate_python(name)
    except ValidationError:
        raise InvalidInput(
            f"node name {name[:80]!r}: use 1 to 63 letters, digits, '.', '_', '-', no sign in front"
        ) from None
