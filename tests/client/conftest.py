# ruff: noqa: N802, ARG002  # the contract names the methods of its services
"""A home with its queue, a few images, and a small real gRPC server with releases."""

import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save

from fedshow import rpc
from fedshow.concepts import BaseRef, ConceptHeader, words_of
from fedshow.errors import FedshowError, Forbidden, NotFound
from fedshow.families.card import BaseCard
from fedshow.releases import Manifest
from fedshow.transfer.connection import Connection
from fedshow.transfer.servers import KnownServer, save_server
from fedshow.v1 import concepts_pb2, releases_pb2
from fedshow.v1.concepts_pb2_grpc import (
    ConceptServiceServicer,
    add_ConceptServiceServicer_to_server,
)
from fedshow.v1.releases_pb2_grpc import (
    ReleaseServiceServicer,
    add_ReleaseServiceServicer_to_server,
)
from fedshow_client.home import Home
from fedshow_client.queue import Queue
from fedshow_server.releasing.signing import Signer
from tests.client.stand_in import stand_in  # noqa: F401  # a fixture
from tests.releases import standin_manifest
from tests.stage.certificates import Certificates, make_certificates
from tests.stage.waiting import PATIENCE_SECONDS, free_port

TOKEN = "t" * 43
CHUNK_BYTES = 64 << 10


@dataclass
class ReleaseHost(ReleaseServiceServicer, ConceptServiceServicer):
    """The services, with content and faults that a test sets."""

    certificates: Certificates
    port: int = field(default_factory=free_port)
    files: dict[str, bytes] = field(default_factory=dict)
    releases: list[releases_pb2.Release] = field(default_factory=list)
    concepts: dict[str, concepts_pb2.Concept] = field(default_factory=dict)
    offsets: list[int] = field(default_factory=list)
    sent_bytes: int = 0
    fault: Callable[[bytes], bytes] = bytes
    """Applied to every chunk before it is sent; may raise."""
    signer: Signer | None = None
    """Signs what is published from then on."""
    say: Callable[[releases_pb2.Release | None], tuple[bytes, bytes]] | None = None
    """What is said of the latest release, and its signature, instead of the signer's own words."""
    refusals: dict[str, FedshowError] = field(default_factory=dict)
    """What is answered to whoever offers or withdraws a concept of this name."""
    _server: Any = None

    def publish(self, files: dict[str, bytes], names: tuple[str, ...] = ("potter",)) -> Manifest:
        """A new release with these files, told to watchers at their next look."""
        concepts = {name: digest(name.encode()) for name in names}
        base = BaseRef(name="toyworld", sha256="b" * 64)
        manifest = standin_manifest(files, concepts, base)
        everything = {**files, "manifest.json": manifest.dump()}
        if self.signer:
            everything["manifest.sig"] = self.signer.sign_manifest(manifest.dump())
        self.files |= {digest(content): content for content in everything.values()}
        self.releases.insert(0, _release(manifest, everything))
        return manifest

    def start(self) -> None:
        """Listens, each time on the same port."""
        self._server = grpc.server(ThreadPoolExecutor(8))
        add_ReleaseServiceServicer_to_server(self, self._server)
        add_ConceptServiceServicer_to_server(self, self._server)
        own = self.certificates
        credentials = grpc.ssl_server_credentials([(own.key, own.server)])
        self._server.add_secure_port(f"127.0.0.1:{self.port}", credentials)
        self._server.start()

    def stop(self) -> None:
        if self._server:
            self._server.stop(0).wait(10)
            self._server = None

    def ListReleases(self, request: Any, context: Any) -> Any:
        self._check(context)
        return releases_pb2.ListReleasesResponse(releases=self.releases)

    def GetRelease(self, request: Any, context: Any) -> Any:
        self._check(context)
        for release in self.releases:
            if request.release in ("latest", release.id):
                return releases_pb2.GetReleaseResponse(
                    release=release, latest=self._latest(release)
                )
        return _abort(context, NotFound(f"no release {request.release!r}"))

    def WatchReleases(self, request: Any, context: Any) -> Iterator[Any]:
        self._check(context)
        release = next(iter(self.releases), None)
        yield releases_pb2.WatchReleasesResponse(release=release, latest=self._latest(release))

    def _latest(self, release: releases_pb2.Release | None) -> releases_pb2.SignedLatest | None:
        say = self.say or (self.signer and self.signer.say_latest)
        if say is None:
            return None
        statement, signature = say(release)
        return releases_pb2.SignedLatest(statement=statement, signature=signature)

    def DownloadFile(self, request: Any, context: Any) -> Iterator[Any]:
        self._check(context)
        self.offsets.append(request.offset_bytes)
        end = request.offset_bytes + request.length_bytes if request.length_bytes else None
        content = self.files[request.sha256][request.offset_bytes : end]
        for start in range(0, len(content), CHUNK_BYTES):
            chunk = self.fault(content[start : start + CHUNK_BYTES])
            self.sent_bytes += len(chunk)
            yield releases_pb2.DownloadFileResponse(chunk=chunk)

    def ListConcepts(self, request: Any, context: Any) -> Any:
        self._check(context)
        return concepts_pb2.ListConceptsResponse(concepts=self.concepts.values())

    def SubmitConcept(self, request: Any, context: Any) -> Any:
        self._check(context)
        if request.name in self.refusals:
            return _abort(context, self.refusals[request.name])
        concept = concepts_pb2.Concept(
            name=request.name,
            class_word=request.class_word,
            sha256=request.sha256,
            size_bytes=request.size_bytes,
            owner="box",
            state=concepts_pb2.CONCEPT_STATE_WANTED,
            visible=request.visible if request.HasField("visible") else None,
        )
        self.concepts[request.name] = concept
        return concepts_pb2.SubmitConceptResponse(concept=concept)

    def WithdrawConcept(self, request: Any, context: Any) -> Any:
        self._check(context)
        if request.name in self.refusals:
            return _abort(context, self.refusals[request.name])
        if request.name not in self.concepts:
            return _abort(context, NotFound(f"no concept {request.name!r}"))
        self.concepts[request.name].state = concepts_pb2.CONCEPT_STATE_WITHDRAWN
        return concepts_pb2.WithdrawConceptResponse(concept=self.concepts[request.name])

    def ShowConcept(self, request: Any, context: Any) -> Any:
        self._check(context)
        concept = self.concepts[request.name]
        concept.ClearField("visible")
        if request.HasField("visible"):
            concept.visible.CopyFrom(request.visible)
        return concepts_pb2.ShowConceptResponse(concept=concept)

    def _check(self, context: Any) -> None:
        shown = dict(context.invocation_metadata()).get("authorization")
        if shown != f"Bearer {TOKEN}":
            _abort(context, Forbidden("no valid token"))


def _abort(context: Any, error: FedshowError) -> Any:
    status = rpc.rpc_status.to_status(rpc.status_of(error))
    context.set_trailing_metadata(status.trailing_metadata)
    return context.abort(status.code, status.details)


def _release(manifest: Manifest, files: dict[str, bytes]) -> releases_pb2.Release:
    listed = [
        releases_pb2.ReleaseFile(path=path, size_bytes=len(content), sha256=digest(content))
        for path, content in files.items()
    ]
    return releases_pb2.Release(
        id=manifest.release,
        base_sha256=manifest.base.sha256,
        concepts=[member.name for member in manifest.concepts],
        manifest_sha256=digest(files["manifest.json"]),
        files=listed,
    )


def digest(content: bytes) -> str:
    return sha256(content).hexdigest()


def wait_for(condition: Callable[[], object], seconds: float = PATIENCE_SECONDS) -> None:
    """Returns once the condition is true; fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


@pytest.fixture
def place(home: Path) -> Home:
    """The places in this test's home."""
    return Home(home)


@pytest.fixture
def queue(place: Home) -> Iterator[Queue]:
    """This home's queue."""
    with Queue(place.database) as opened:
        yield opened


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder of three images."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(3):
        Image.new("RGB", (64, 64), (80 * number, 9, 9)).save(folder / f"{number}.png")
    return folder


@pytest.fixture(scope="session")
def certificates() -> Certificates:
    return make_certificates()


@pytest.fixture
def host(certificates: Certificates) -> Iterator[ReleaseHost]:
    """A running server."""
    server = ReleaseHost(certificates)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def small_card() -> BaseCard:
    """A base with one layer in each part."""
    layers = {"unet.mid.to_q": (8, 8), "text_encoder.text_model.q": (4, 4)}
    return BaseCard(
        name="toyworld", sha256="b" * 64, family="sd1", slots=4, token_dim=4, layers=layers
    )


@pytest.fixture
def known(host: ReleaseHost, home: Path, small_card: BaseCard) -> KnownServer:
    """The running server, joined."""
    server = KnownServer(
        server="home",
        name="home",
        node="box",
        node_id=1,
        token=TOKEN,
        grpc=f"127.0.0.1:{host.port}",
        address="127.0.0.1:1",
        base=small_card,
        base_source="toyworld",
        ca_pem=host.certificates.ca.decode(),
    )
    save_server(server, home)
    return server


@pytest.fixture
def connection(known: KnownServer) -> Iterator[Connection]:
    with Connection(known) as opened:
        yield opened


@pytest.fixture(scope="session")
def certificates_of_another() -> Certificates:
    return make_certificates()


@pytest.fixture
def concept_blob(small_card: BaseCard) -> Callable[..., bytes]:
    """Makes a concept file that fits the card."""

    def make(
        name: str = "potter",
        class_word: str = "man",
        base_sha256: str = "",
        metrics: Mapping[str, float] | None = None,
    ) -> bytes:
        header = ConceptHeader(
            family=small_card.family,
            base=BaseRef(name=small_card.name, sha256=base_sha256 or small_card.sha256),
            name=name,
            class_word=class_word,
            words=words_of(name),
            slots=small_card.slots,
            rank=2,
            alpha=2,
            metrics=dict(metrics or {}),
            created=datetime.now(UTC),
            fedshow="0.1.0",
        )
        shapes = {
            f"tokens.{word}": (small_card.slots, small_card.token_dim) for word in header.words
        }
        for layer, (d_in, d_out) in small_card.layers.items():
            shapes |= {f"{layer}.lora_A.weight": (2, d_in), f"{layer}.lora_B.weight": (d_out, 2)}
        random = np.random.default_rng(1)
        tensors = {key: random.random(shape, np.float32) for key, shape in shapes.items()}
        return save(tensors, metadata={"fedshow": header.dump()})

    return make
