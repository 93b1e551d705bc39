"""Nothing but adapters leaves a client: every byte it sends is recorded and searched.

A real client joins, tunes on private images, hands over, is told of a release, downloads it and
withdraws. From its first command to its last, a proxy stands between it and a real server, at the
HTTPS port and at the gRPC port, and all its processes are watched for any other connection. gRPC
writes text headers without Huffman coding, so the search sees them too.
"""

import base64
import gzip
import json
import lzma
import os
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fedshow.families import Base, BaseCard
from fedshow.joining import JoinCode
from fedshow.releases import Manifest
from fedshow.transfer.servers import KnownServer, find_server, save_server
from fedshow_client.home import Home
from fedshow_client.queue import Queue
from fedshow_client.tuning.data.folder import scan
from fedshow_client.tuning.data.latents import encode_all
from fedshow_client.tuning.recipe import Recipe
from tests.conftest import BASE, Call
from tests.end_to_end.conftest import OWN_BASE
from tests.end_to_end.peers import Peers
from tests.end_to_end.private_data import CAPTION, USER, PrivateData, jpeg, leaks, thumbnail
from tests.end_to_end.recording import Recorder
from tests.releases import standin_manifest

STEPS = 2
OTHER_BYTES = 256 << 10
"""Beside the concept file: questions, answers, signs of life; 30 kB on a quick machine."""


@pytest.fixture
def private(tmp_path: Path, opened_base: Base) -> PrivateData:
    """With what the base sees in the pictures: the same in other words."""
    found, recipe = PrivateData(tmp_path), Recipe.for_base(opened_base)
    images = scan(found.images).accepted
    seen = encode_all(opened_base, images, recipe, recipe.seed).buckets[0].mean
    for dtype in (torch.float32, torch.float16, torch.bfloat16):
        content = seen.to(dtype).contiguous().view(torch.uint8).numpy().tobytes()
        found.others[f"latents {str(dtype).removeprefix('torch.')}"] = content
    return found


def picture_of(private: PrivateData, number: int) -> Image.Image:
    return Image.frombytes("RGB", (64, 64), private.pixels[number])


@pytest.fixture
def recorder(federation) -> Iterator[Recorder]:
    folder = federation.data.ca
    made = Recorder(folder / "server.pem", folder / "server.key")
    yield made
    made.close()


@pytest.fixture
def peers(federation, tmp_path: Path) -> Iterator[Peers]:
    watch = Peers(tmp_path / "audit.jsonl", federation.server.pid)
    yield watch
    watch.close()


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
    "jpeg": lambda private: jpeg(picture_of(private, 1), 85),
    "thumbnail": lambda private: jpeg(thumbnail(picture_of(private, 2)), 75),
    "latents": lambda private: private.others["latents float16"],
}


@pytest.mark.parametrize("kind", PLANTS)
def test_the_search_finds_what_is_planted(private: PrivateData, kind: str) -> None:
    noise = np.random.default_rng(3).bytes(5000)
    assert not leaks(private, noise)
    assert leaks(private, noise + PLANTS[kind](private) + noise)


def test_the_search_knows_the_latents_that_tuning_keeps(
    private: PrivateData, tmp_path: Path, call: Call
) -> None:
    code, _, told = call(
        *("tune", private.images, "--name", "potter", "--class", "monster", "--base", BASE),
        *("-o", tmp_path / "potter.safetensors", "--work", tmp_path / "work"),
        *("--steps", STEPS, "--no-samples", "--no-leakage"),
    )
    assert code == 0, told
    (file,) = (tmp_path / "work").glob("latents*")
    assert leaks(private, file.read_bytes())


def test_the_watch_sees_a_call_to_a_stranger(tmp_path: Path) -> None:
    watch = Peers(tmp_path / "audit.jsonl")
    call = "import socket; socket.socket().connect_ex(('127.0.0.1', 9))"
    subprocess.run([sys.executable, "-c", call], env={**os.environ, **watch.env}, check=True)
    watch.close()
    assert watch.strangers(allowed={"127.0.0.1:10"}) == {"127.0.0.1:9"}


@pytest.mark.timeout(1200)
def test_nothing_but_the_adapter_leaves_the_client(
    federation, recorder, peers, private, card, tmp_path: Path, record_property
) -> None:
    door = recorder.stand_before(federation.listen, "http/1.1")
    services = recorder.stand_before(federation.grpc, "h2")
    home = private.images.parents[1] / "fedshow-home"
    user = {"HOME": str(private.images.parents[1]), "USER": USER, "LOGNAME": USER}
    env = {"FEDSHOW_HOME": str(home), **user, **peers.env}
    code = JoinCode.parse(federation.invite("box")).model_copy(update={"address": door})
    assert code.base == card.name
    federation.call("client", "join", code.encode(), *OWN_BASE, **env)
    server = _send_through(home, services)
    named = ("--name", "potter", "--class", "monster", "--steps", str(STEPS))
    federation.call("client", "add", str(private.images), *named, **env)
    daemon = federation.start("client", "client", "run", **env)
    federation.wait_for_state(home, "potter", "admitted")
    blob = _concept_file(home).read_bytes()
    manifest = make_release(tmp_path / "release", _concept_file(home).stem, card)
    federation.publish(tmp_path / "release")
    federation.wait_for_release(home, manifest.release)
    federation.call("pull", server.name, "-o", str(tmp_path / "pulled"), **env)
    federation.call("client", "withdraw", "potter", **env)
    federation.end_process(daemon)
    peers.close()

    capture = b"".join(recorder.sent())
    record_property("bytes_sent", len(capture))  # benchmarks.demo reads both
    record_property("concept_bytes", len(blob))
    assert blob[1000:2000] in capture, "the recording misses the handover"
    assert b"WatchReleases" in capture
    assert leaks(private, capture) == set()
    assert len(capture) <= len(blob) + OTHER_BYTES, f"{len(capture)} for {len(blob)}"
    (tuner,) = (command for command in peers.commands() if " tune " in command)
    assert str(private.images) in tuner
    assert {door, services} <= peers.met()
    assert peers.strangers(allowed={door, services}) == set()


def make_release(folder: Path, concept_sha256: str, card: BaseCard) -> Manifest:
    """A stand-in for a fused release, so that the client has something to watch and pull."""
    files = {"fused.safetensors": np.random.default_rng(5).bytes(300_000)}
    manifest = standin_manifest(files, {"potter": concept_sha256}, card.ref)
    folder.mkdir()
    for path, content in {**files, "manifest.json": manifest.dump()}.items():
        (folder / path).write_bytes(content)
    return manifest


def _send_through(home: Path, services: str) -> KnownServer:
    """Points the joined client at the recorder for gRPC too."""
    (name,) = (folder.name for folder in (home / "servers").iterdir())
    server = find_server(name, home).model_copy(update={"grpc": services})
    save_server(server, home)
    return server


def _concept_file(home: Path) -> Path:
    """What tuning made, in the outbox."""
    with Queue(Home(home).database) as queue:
        job = queue.find("potter")
    return Home(home).concept_file(job.server, job.sha256)
