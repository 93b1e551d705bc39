"""A node as the server sees it: key, token, calls, and the client's own SuperNode program."""

import os
import signal
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from fedshow import rpc
from fedshow.children import environment
from fedshow.joining import JoinCode, JoinReply, JoinRequest
from fedshow.transfer.servers import KnownServer, save_server
from fedshow.v1.admin_pb2_grpc import AdminServiceStub
from fedshow.v1.concepts_pb2_grpc import ConceptServiceStub
from fedshow.v1.releases_pb2_grpc import ReleaseServiceStub
from fedshow.wire import CA_PATH, JOIN_PATH
from tests.stage.server import Server
from tests.stage.waiting import free_port

NOWHERE = Path(os.devnull)


@dataclass
class Member:
    """A node that joined: its key, token and outbox."""

    folder: Path
    reply: JoinReply
    ca_pem: bytes
    key: ec.EllipticCurvePrivateKey
    request: JoinRequest

    @classmethod
    def redeem(cls, server: Server, code: JoinCode, folder: Path = NOWHERE) -> "Member":
        """A new node, joined over the wire."""
        key = ec.generate_private_key(ec.SECP384R1())
        request = JoinRequest(secret=code.secret, public_key=openssh_line(key))
        with server.http() as client:
            answer = client.post(JOIN_PATH, json=request.model_dump())
            assert answer.status_code == 200, answer.text
            ca_pem = client.get(CA_PATH).content
        return cls(folder, JoinReply.model_validate_json(answer.content), ca_pem, key, request)

    @contextmanager
    def calls(self, token: str | None = None) -> Iterator[SimpleNamespace]:
        """The services, called as this node."""
        with rpc.open_channel(self.reply.grpc, self.ca_pem, token or self.reply.token) as channel:
            yield SimpleNamespace(
                concepts=ConceptServiceStub(channel),
                releases=ReleaseServiceStub(channel),
                admin=AdminServiceStub(channel),
            )

    @property
    def bearer(self) -> dict[str, str]:
        """The header that shows its token over HTTP."""
        return {"authorization": f"Bearer {self.reply.token}"}

    @property
    def private_pem(self) -> bytes:
        """Its key as Flower's programs read it."""
        secret = serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
        return self.key.private_bytes(serialization.Encoding.PEM, *secret)

    @property
    def key_header(self) -> dict[str, str]:
        """The header that names its key in calls of Flower's."""
        spki = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        pem = self.key.public_key().public_bytes(*spki)
        return {"flwr-public-key": b64encode(pem).decode()}

    def known(self, server: Server) -> KnownServer:
        """The server as this node knows it."""
        return KnownServer(
            **self.reply.model_dump(),
            name="home",
            address=server.address,
            base_source="tiny",
            ca_pem=self.ca_pem.decode(),
        )

    def keep(self, home: Path, server: Server) -> None:
        """Leaves what `fedshow client join` would have left in `home`."""
        save_server(self.known(server), home)

    @contextmanager
    def supernode(self, server: Server) -> Iterator[subprocess.Popen[bytes]]:
        """The client's own SuperNode program, online while inside."""
        self.keep_key()
        (self.folder / "ca.pem").write_bytes(self.ca_pem)
        with (self.folder / "supernode.log").open("wb") as log:
            process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "fedshow_client.supernode"),
                    *("--root-certificates", str(self.folder / "ca.pem")),
                    *("--superlink", server.address, "--port", str(free_port())),
                    *("--auth-supernode-private-key", str(self.folder / "key")),
                    *("--node-config", f'outbox="{self.outbox}"'),
                ],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env=environment({"FLWR_HOME": str(self.folder / "flwr")}),
            )
        try:
            yield process
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            assert process.stdin is not None
            process.stdin.close()

    def keep_key(self) -> None:
        """Leaves the private key in the node's folder, as `key`."""
        (self.folder / "key").write_bytes(self.private_pem)

    @property
    def outbox(self) -> Path:
        """Where the files lie that this node hands over."""
        return self.folder / "outbox"

    def put(self, blob: bytes) -> str:
        """Puts a file into the outbox and returns its digest."""
        digest = sha256(blob).hexdigest()
        self.outbox.mkdir(exist_ok=True)
        (self.outbox / f"{digest}.safetensors").write_bytes(blob)
        return digest


def openssh_line(key: ec.EllipticCurvePrivateKey) -> str:
    """The public half as Flower wants it."""
    openssh = serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    return key.public_key().public_bytes(*openssh).decode()
