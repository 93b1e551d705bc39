"""A real server in its own process, members of it, and small concept files."""

import os
import queue
import signal
import ssl
import subprocess
import sys
import threading
import time
from base64 import b64encode
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import httpx
import numpy as np
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from safetensors.numpy import save

from fedshow import __version__, rpc
from fedshow.concepts import ConceptHeader, words_of
from fedshow.families.card import BaseCard
from fedshow.joining import JoinCode, JoinReply, JoinRequest
from fedshow.roles import Role
from fedshow.transfer.servers import KnownServer, save_server
from fedshow.v1.admin_pb2_grpc import AdminServiceStub
from fedshow.v1.concepts_pb2_grpc import ConceptServiceStub
from fedshow.v1.releases_pb2_grpc import ReleaseServiceStub
from fedshow.wire import CA_PATH, JOIN_PATH
from fedshow_server.certificates import fingerprint
from fedshow_server.folder import DataFolder, DescribedBase
from fedshow_server.store import open_store
from tests.server.backends import _s3_server, postgres, s3  # noqa: F401  # fixtures

STANDIN = Path(__file__).parent / "standin"
CARD = BaseCard(
    name="tiny", sha256="ab" * 32, family="sd1", slots=2, token_dim=4, layers={"unet.a": (3, 5)}
)
PATIENT = {  # all tests come from one address
    "FEDSHOW_SERVER_JOINS_PER_MINUTE": "1000000",
    "FEDSHOW_SERVER_WRONG_TOKENS_PER_MINUTE": "1000000",
    "FEDSHOW_SERVER_CALLS_PER_MINUTE": "1000000",
}
NOWHERE = Path(os.devnull)
PATIENCE_SECONDS = 240  # bounds a hang; a busy machine is no failure


def concept_bytes(
    name: str, class_word: str = "man", seed: int = 0, size: float = 1.0, **changes: object
) -> bytes:
    """A concept file that fits CARD; a huge `size` of its adapter makes it a poisoned one."""
    random = np.random.default_rng(seed)
    header = ConceptHeader(
        family="sd1",
        base=CARD.ref,
        name=name,
        class_word=class_word,
        words=words_of(name),
        slots=2,
        rank=2,
        alpha=2.0,
        created=datetime(2026, 1, 1, tzinfo=UTC),
        fedshow=__version__,
    ).model_copy(update=changes)
    tensors = {
        "unet.a.lora_A.weight": size * random.standard_normal((2, 3)).astype(np.float32),
        "unet.a.lora_B.weight": random.standard_normal((5, 2)).astype(np.float32),
        **{f"tokens.{word}": np.ones((2, 4), np.float32) for word in words_of(name)},
    }
    return save(tensors, metadata={"fedshow": header.dump()})


def make_data(path: Path) -> Path:
    """A data folder that knows its base already."""
    folder = DataFolder(path)
    folder.make()
    folder.keep_base(DescribedBase(base="tiny", fedshow=__version__, card=CARD))
    return path


def free_port() -> int:
    """A port that nobody uses now."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def eventually(check, seconds: float = PATIENCE_SECONDS):
    """What `check` returns, once it is true."""
    until = time.monotonic() + seconds
    while not (found := check()):
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.2)
    return found


@dataclass
class Server:
    """`fedshow server run` as a process; can be killed and started again."""

    data: Path
    environment: dict[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    grpc_port: int = field(default_factory=free_port)
    process: subprocess.Popen | None = None

    def start(self) -> None:
        """Starts it and waits until it says that it is ready."""
        log = (self.data / "server.log").open("ab")
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "fedshow.cli", "server", "run", "--json"),
                *("--data", str(self.data), "--base", "tiny", "--quiet-seconds", "0.5"),
                *("--listen", f"127.0.0.1:{self.port}"),
                *("--grpc-listen", f"127.0.0.1:{self.grpc_port}"),
            ],
            stdout=subprocess.PIPE,
            stderr=log,
            env=os.environ | {"PYTHONPATH": str(STANDIN)} | PATIENT | self.environment,
        )
        log.close()
        assert "{" in _first_line(self.process), (self.data / "server.log").read_text()

    def end(self, number: int = signal.SIGTERM) -> int:
        """Sends the signal and waits for the end."""
        assert self.process is not None
        self.process.send_signal(number)
        status = self.process.wait(PATIENCE_SECONDS)
        self.process.stdout.close()
        return status

    def store(self):
        """The server's store, opened beside it."""
        return DataFolder(self.data).open_store()

    def store_state(self, sha256: str) -> str:
        """What became of a concept."""
        store = self.store()
        (state,) = (str(found.state) for found in store.concepts.all() if found.sha256 == sha256)
        store.close()
        return state

    def kill_superlink(self) -> None:
        """SIGKILL for the SuperLink, and nothing else."""
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
                if parent == self.process.pid and b"superlink" in (folder / "cmdline").read_bytes():
                    os.kill(int(folder.name), signal.SIGKILL)
            except (FileNotFoundError, ProcessLookupError):
                continue

    def invite(self, name: str, role: Role = Role.CONTRIBUTOR) -> JoinCode:
        """A join code for a node of that name."""
        store = self.store()
        secret = store.members.invite(name, timedelta(hours=1), role)
        store.close()
        ca_sha256 = fingerprint((self.data / "ca" / "ca.pem").read_bytes())
        return JoinCode(address=f"127.0.0.1:{self.port}", ca_sha256=ca_sha256, secret=secret)

    def revoke(self, name: str) -> None:
        """Cuts a node off, as the owner's command does."""
        store = self.store()
        store.members.revoke(name)
        store.close()

    @contextmanager
    def http(self):
        """An HTTP client that trusts this server only."""
        trust = ssl.create_default_context(cafile=str(self.data / "ca" / "ca.pem"))
        with httpx.Client(
            base_url=f"https://127.0.0.1:{self.port}", verify=trust, timeout=PATIENCE_SECONDS
        ) as client:
            yield client


def _first_line(process: subprocess.Popen) -> str:
    lines: queue.Queue[str] = queue.Queue()
    threading.Thread(
        target=lambda: lines.put(process.stdout.readline().decode()), daemon=True
    ).start()
    return lines.get(timeout=PATIENCE_SECONDS)


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
    def calls(self, token: str | None = None):
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
    def key_header(self) -> dict[str, str]:
        """The header that names its key in calls of Flower's."""
        spki = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        pem = self.key.public_key().public_bytes(*spki)
        return {"flwr-public-key": b64encode(pem).decode()}

    def keep(self, home: Path, server: "Server") -> None:
        """Leaves what `fedshow client join` would have left in `home`."""
        save_server(
            KnownServer(
                **self.reply.model_dump(),
                name="home",
                address=f"127.0.0.1:{server.port}",
                base_source="tiny",
                ca_pem=self.ca_pem.decode(),
            ),
            home,
        )

    @contextmanager
    def supernode(self, server: Server):
        """The client's own SuperNode program, online while inside."""
        secret = serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
        pem = self.key.private_bytes(serialization.Encoding.PEM, *secret)
        (self.folder / "key").write_bytes(pem)
        (self.folder / "ca.pem").write_bytes(self.ca_pem)
        with (self.folder / "supernode.log").open("wb") as log:
            process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "fedshow_client.supernode"),
                    *("--root-certificates", str(self.folder / "ca.pem")),
                    *("--superlink", f"127.0.0.1:{server.port}", "--port", str(free_port())),
                    *("--auth-supernode-private-key", str(self.folder / "key")),
                    *("--node-config", f'outbox="{self.outbox}"'),
                ],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env=_environment(self.folder),
            )
        try:
            yield process
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            process.stdin.close()

    @property
    def outbox(self) -> Path:
        """Where the files lie that this node hands over."""
        return self.folder / "outbox"

    def put(self, blob: bytes) -> str:
        """Puts a file into the outbox and returns its digest."""
        from hashlib import sha256

        digest = sha256(blob).hexdigest()
        self.outbox.mkdir(exist_ok=True)
        (self.outbox / f"{digest}.safetensors").write_bytes(blob)
        return digest


def _environment(folder: Path) -> dict[str, str]:
    programs = str(Path(sys.executable).parent)
    return os.environ | {
        "FLWR_HOME": str(folder / "flwr"),
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
    }


def openssh_line(key: ec.EllipticCurvePrivateKey) -> str:
    """The public half as Flower wants it."""
    openssh = serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    return key.public_key().public_bytes(*openssh).decode()


@pytest.fixture(scope="session")
def tools():
    """What tests build servers, nodes and files with."""
    return SimpleNamespace(
        card=CARD,
        concept_bytes=concept_bytes,
        make_data=make_data,
        free_port=free_port,
        eventually=eventually,
        patience_seconds=PATIENCE_SECONDS,
        Server=Server,
        openssh_line=openssh_line,
    )


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """A running server, shared by the tests that do not stop it."""
    found = Server(make_data(tmp_path_factory.mktemp("server") / "data"))
    found.start()
    yield found
    assert found.end() == 0


@pytest.fixture(scope="session")
def joined(tmp_path_factory):
    """A function that makes a new member of a server."""
    return lambda server, name, role=Role.CONTRIBUTOR: Member.redeem(
        server, server.invite(name, role), tmp_path_factory.mktemp(name)
    )


@pytest.fixture(scope="session")
def member(server, joined):
    """A node of the shared server."""
    return joined(server, "anna")


@pytest.fixture(scope="session")
def everybody(server, member, joined):
    """A node of every role."""
    return {
        Role.OWNER: joined(server, "olga", Role.OWNER),
        Role.CONTRIBUTOR: member,
        Role.DOWNLOADER: joined(server, "dean", Role.DOWNLOADER),
    }


@pytest.fixture(scope="session")
def useless_tokens(server, joined):
    """Tokens that were never good, or are no more."""
    revoked, rejoined = joined(server, "rita", Role.OWNER), joined(server, "rory", Role.OWNER)
    server.revoke("rita")
    with server.http() as client:
        assert client.post(JOIN_PATH, json=rejoined.request.model_dump()).is_success
    return {"wrong": "x" * 43, "revoked": revoked.reply.token, "replaced": rejoined.reply.token}


@pytest.fixture(params=["sqlite", "postgres", "s3"])
def store(request, tmp_path):
    """An empty store of every kind there is: each database, each place for content."""
    database, content = f"sqlite:///{tmp_path / 'fedshow.db'}", tmp_path / "blobs"
    if request.param == "postgres":
        database = request.getfixturevalue("postgres").new_database()
    if request.param == "s3":
        content = request.getfixturevalue("s3").new_prefix()
    found = open_store(database, content)
    yield found
    found.close()
