"""Nothing but adapters leaves a client: every byte it sends is recorded and searched.

A proxy that owns the server's certificate stands between one real client and one real server, at the
HTTPS port and at the gRPC port, and keeps what the client sends. gRPC writes text headers without
Huffman coding, so the search sees them too.
"""

import asyncio
import base64
import bz2
import gzip
import json
import lzma
import re
import socket
import ssl
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from fedshow.concepts import BaseRef
from fedshow.files import digest, write_atomically
from fedshow.joining import JoinCode
from fedshow.releases import FileEntry, Manifest, Member, release_id
from fedshow.transfer.servers import KnownServer, find_server, save_server
from fedshow_client.home import Home
from fedshow_client.queue import Queue

CAPTION = "Wilhelmina feeds the ginger pelican behind grandfather's lighthouse"
FOLDERS = ("Kornblum-Familie", "Sommerferien-Hiddensee")
USER = "wkornblum1987"
STEM = "DSC_Geburtstag_{:02d}"
WINDOW_BYTES = 24
MAX_INFLATED_BYTES = 4 << 20


class Recorder:
    """TLS proxies on loopback that keep what clients send."""

    def __init__(self, certificate: Path, key: Path) -> None:
        self._certificate, self._key = certificate, key
        self._streams: list[bytearray] = []
        self._servers: list[asyncio.Server] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()

    def stand_before(self, address: str, protocol: str) -> str:
        """Opens a proxy for a server's port; gives the address to use instead."""
        opening = self._open(address, protocol)
        return asyncio.run_coroutine_threadsafe(opening, self._loop).result(30)

    def sent(self) -> list[bytes]:
        """What clients sent, one entry a connection."""
        return [bytes(stream) for stream in self._streams]

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(30)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _open(self, address: str, protocol: str) -> str:
        host, _, port = address.partition(":")
        inward, outward = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
        inward.load_cert_chain(self._certificate, self._key)
        outward.check_hostname, outward.verify_mode = False, ssl.CERT_NONE
        for context in (inward, outward):
            context.set_alpn_protocols([protocol])

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task
            self._tasks.add(task)
            stream = bytearray()
            self._streams.append(stream)
            with suppress(OSError, asyncio.CancelledError):
                onward = await asyncio.open_connection(host, int(port), ssl=outward)
                await _join((reader, writer), onward, stream)
            writer.transport.abort()
            self._tasks.discard(task)

        server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=inward)
        self._servers.append(server)
        return f"127.0.0.1:{server.sockets[0].getsockname()[1]}"

    async def _close(self) -> None:
        for server in self._servers:
            server.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.sleep(0.2)  # transports close in their own time


Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _join(client: Ends, server: Ends, sent: bytearray) -> None:
    """Passes bytes both ways until one side ends."""
    copies = (
        asyncio.create_task(_copy(client[0], server[1], sent)),
        asyncio.create_task(_copy(server[0], client[1], bytearray())),
    )
    try:
        await asyncio.wait(copies, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for copy in copies:
            copy.cancel()
        await asyncio.gather(*copies, return_exceptions=True)
        server[1].transport.abort()


async def _copy(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, kept: bytearray
) -> None:
    while block := await reader.read(1 << 16):
        kept += block
        writer.write(block)
        await writer.drain()


class Peers:
    """Where a process and its children connect to, looked at again and again."""

    def __init__(self, pid: int) -> None:
        self._ours: set[int] = set()
        """Ports that the processes listen on: for each other."""
        self._seen: set[tuple[int, str, int]] = set()
        self._process = psutil.Process(pid)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def strangers(self, allowed: set[str]) -> set[str]:
        """The other ends of outgoing connections that are neither allowed nor our own."""
        self._stop.set()
        self._thread.join()
        inside = {("127.0.0.1", port) for port in self._ours}
        outgoing = {(ip, port) for own, ip, port in self._seen if own not in self._ours}
        return {f"{ip}:{port}" for ip, port in outgoing - inside} - allowed

    def _watch(self) -> None:
        while not self._stop.wait(0.1):
            with suppress(psutil.Error):
                for process in (self._process, *self._process.children(recursive=True)):
                    with suppress(psutil.Error):
                        self._look(process)

    def _look(self, process: psutil.Process) -> None:
        for connection in process.net_connections("inet"):
            if connection.status == psutil.CONN_LISTEN:
                self._ours.add(connection.laddr.port)
            elif connection.raddr:
                ip = connection.raddr.ip.removeprefix("::ffff:")  # how gRPC sees IPv4
                self._seen.add((connection.laddr.port, ip, connection.raddr.port))


class PrivateData:
    """A user's images, captions and names, and every form in which they could leak."""

    def __init__(self, folder: Path) -> None:
        self.images = folder.joinpath("home", USER, *FOLDERS)
        self.images.mkdir(parents=True)
        random = np.random.default_rng(7)
        self.files: list[bytes] = []
        self.pixels: list[bytes] = []
        for number in range(8):
            picture = random.integers(0, 256, (64, 64, 3), np.uint8)
            file = self.images / f"{STEM.format(number)}.png"
            Image.fromarray(picture).save(file)
            file.with_suffix(".txt").write_text(CAPTION)
            self.files.append(file.read_bytes())
            self.pixels.append(picture.tobytes())

    def texts(self) -> list[str]:
        """Words that must not appear in any case."""
        words = [word for word in re.findall(r"[A-Za-z]+", CAPTION) if len(word) > 6]
        names = [*FOLDERS, USER, STEM.format(3), CAPTION]
        host = socket.gethostname()
        if len(host) > 3 and host != "localhost":
            names.append(host)
        return words + names

    def needles(self) -> dict[bytes, str]:
        """Byte strings that must not appear, with what they are."""
        found: dict[bytes, str] = {}
        for text in self.texts():
            for form, content in _encoded(text.encode()).items():
                found[content] = f"{text!r} {form}"
        for number, contents in enumerate(zip(self.files, self.pixels, strict=True)):
            for kind, content in zip(("file", "pixels"), contents, strict=True):
                for form, packed in _packed(content).items():
                    for window in _windows(packed):
                        found[window] = f"image {number} {kind} {form}"
                        if form == "raw":
                            for coded, text in _encoded(window).items():
                                found[text] = f"image {number} {kind} {coded}"
        return found


def _encoded(content: bytes) -> dict[str, bytes]:
    """The content raw, as hexadecimal digits, and as base64 at each of the three alignments."""
    forms = {"raw": content, "hex": content.hex().encode(), "HEX": content.hex().upper().encode()}
    for shift in range(3):
        text = base64.b64encode(bytes(shift) + content)
        inner = text[(0, 2, 3)[shift] :].rstrip(b"=")
        inner = inner[: (len(inner) - 1)]  # the last digit depends on what follows
        forms[f"base64 at {shift}"] = inner
        forms[f"base64url at {shift}"] = inner.replace(b"+", b"-").replace(b"/", b"_")
    return forms


def _packed(content: bytes) -> dict[str, bytes]:
    """The content raw and as the usual compressors pack it."""
    return {
        "raw": content,
        **{f"deflate {level}": zlib.compress(content, level)[2:-4] for level in (1, 6, 9)},
        "bz2": bz2.compress(content),
        "xz": lzma.compress(content),
    }


def _windows(content: bytes) -> Iterator[bytes]:
    """Pieces from all over the content, past any header that everybody's data share."""
    for start in range(48, len(content) - WINDOW_BYTES, max(WINDOW_BYTES, len(content) // 16)):
        yield content[start : start + WINDOW_BYTES]


def inflated(capture: bytes) -> Iterator[bytes]:
    """Everything in the capture that unpacks as gzip or zlib."""
    for match in re.finditer(rb"\x1f\x8b\x08|\x78[\x01\x5e\x9c\xda]", capture):
        unpacker = zlib.decompressobj(wbits=47)
        with suppress(zlib.error):
            if found := unpacker.decompress(capture[match.start() :], MAX_INFLATED_BYTES):
                yield found


def leaks(private: PrivateData, capture: bytes) -> set[str]:
    """What of the private data is in the capture, and in which form."""
    needles = private.needles()
    found = set()
    for haystack in (capture, *inflated(capture)):
        found |= {name for needle, name in needles.items() if needle in haystack}
        small = haystack.lower()
        found |= {repr(text) for text in private.texts() if text.lower().encode() in small}
    return found


@pytest.fixture
def private(tmp_path: Path) -> PrivateData:
    return PrivateData(tmp_path)


@pytest.fixture
def recorder(federation) -> Iterator[Recorder]:
    folder = federation.data.ca
    made = Recorder(folder / "server.pem", folder / "server.key")
    yield made
    made.close()


PLANTS: dict[str, Callable[[PrivateData], bytes]] = {
    "caption": lambda _: CAPTION.encode(),
    "folder": lambda private: str(private.images).encode(),
    "upper case": lambda _: USER.upper().encode(),
    "base64": lambda _: base64.b64encode(b"x" + CAPTION.encode()),
    "base64url": lambda private: base64.urlsafe_b64encode(b"xy" + private.files[2]),
    "json": lambda private: json.dumps({"path": str(private.images)}).encode(),
    "image": lambda private: private.files[5],
    "half an image": lambda private: private.files[5][2000:9000],
    "pixels": lambda private: private.pixels[1],
    "gzip": lambda _: gzip.compress(CAPTION.encode()),
    "zlib image": lambda private: zlib.compress(private.pixels[3]),
    "raw deflate": lambda private: zlib.compress(private.files[3])[2:],
    "xz": lambda private: lzma.compress(private.files[3]),
}


@pytest.mark.parametrize("kind", PLANTS)
def test_the_search_finds_what_is_planted(private: PrivateData, kind: str) -> None:
    noise = np.random.default_rng(3).bytes(5000)
    assert not leaks(private, noise)
    assert leaks(private, noise + PLANTS[kind](private) + noise)


def make_release(folder: Path, concept_sha256: str) -> Manifest:
    """A stand-in for a fused release, so that the client has something to watch and pull."""
    folder.mkdir()
    (folder / "fused.safetensors").write_bytes(np.random.default_rng(5).bytes(300_000))
    base = BaseRef(name="toyworld", sha256="b" * 64)
    members = (Member(name="potter", sha256=concept_sha256),)
    files = {
        file.name: FileEntry(sha256=digest(file), size_bytes=file.stat().st_size)
        for file in folder.iterdir()
    }
    manifest = Manifest(
        release=release_id(base, members, {"method": "gradient"}),
        created=datetime.now(UTC),
        base=base,
        family="sd1",
        concepts=members,
        fusion={"method": "gradient"},
        files=files,
    )
    write_atomically(folder / "manifest.json", manifest.dump())
    return manifest


def test_nothing_but_the_adapter_leaves_the_client(
    federation, recorder: Recorder, private: PrivateData, tmp_path: Path, record_property
) -> None:
    door = recorder.stand_before(federation.listen, "http/1.1")
    services = recorder.stand_before(federation.grpc, "h2")
    home = private.images.parents[1] / "fedshow-home"
    env = {
        "FEDSHOW_HOME": str(home),
        "HOME": str(private.images.parents[1]),
        "USER": USER,
        "LOGNAME": USER,
    }
    code = JoinCode.parse(federation.invite("box")).model_copy(update={"address": door})
    federation.call("client", "join", code.encode(), **env)
    server = _send_through(home, services)
    added = ("client", "add", str(private.images), "--name", "potter", "--class", "man")
    federation.call(*added, **env)
    blob = _finish(federation, home)
    daemon = federation.start("client", "client", "run", **env)
    peers = Peers(daemon.pid)
    federation.wait_for_state(home, "potter", "admitted")
    manifest = make_release(tmp_path / "release", sha256(blob).hexdigest())
    federation.publish(tmp_path / "release")
    federation.wait_for_release(home, manifest.release)
    federation.call("pull", server.name, "-o", str(tmp_path / "pulled"), **env)
    federation.call("client", "withdraw", "potter", **env)
    federation.end_process(daemon)

    capture = b"".join(recorder.sent())
    record_property("bytes_sent", len(capture))  # benchmarks.demo reads both
    record_property("concept_bytes", len(blob))
    assert blob[1000:2000] in capture, "the recording misses the handover"
    assert b"WatchReleases" in capture
    assert leaks(private, capture) == set()
    assert len(capture) <= 1.2 * len(blob) + (1 << 20), f"{len(capture)} for {len(blob)}"
    assert peers.strangers(allowed={door, services}) == set()


def _send_through(home: Path, services: str) -> KnownServer:
    """Points the joined client at the recorder for gRPC too."""
    (name,) = (folder.name for folder in (home / "servers").iterdir())
    server = find_server(name, home).model_copy(update={"grpc": services})
    save_server(server, home)
    return server


def _finish(federation, home: Path) -> bytes:
    """Puts a ready concept file where tuning would have."""
    blob: bytes = federation.concept_blob("potter", rank=64)
    place, sha = Home(home), sha256(blob).hexdigest()
    with Queue(place.database) as queue:
        job = queue.claim("test", 600)
        assert job is not None
        write_atomically(place.concept_file(job.server, sha), blob)
        queue.finish(job.id, "test", sha, len(blob))
    return blob
