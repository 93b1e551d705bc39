"""What a release weighs: written, published, announced and downloaded as every release is."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from queue import Queue
from threading import Event, Thread
from time import sleep
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from benchmarks.federating.concepts import concept_file, header_of, tensors_of
from benchmarks.federating.relay import Relay
from benchmarks.tuning.sd15 import sd15
from fedshow.concepts.keys import DOWN
from fedshow.families import Base
from fedshow.releases.file_names import FUSED
from fedshow.releases.manifest import Member as Part
from fedshow.releases.updates import MATRIX
from fedshow.releases.writing import ReleaseContent, write_release
from fedshow.transfer.connection import Connection
from fedshow.transfer.folder import pull_release
from fedshow.transfer.forms import FILES_OF, Form
from fedshow.transfer.releases import LATEST, watch_releases
from fedshow.transfer.servers import KnownServer
from fedshow_server.folder import DataFolder
from fedshow_server.fusion.sums import Part as Adapter
from fedshow_server.fusion.update import smallest
from fedshow_server.releasing.publishing import publish
from fedshow_server.releasing.signing import open_signer
from tests.stage.concepts import make_data
from tests.stage.member import Member as Node
from tests.stage.server import Server
from tests.stage.waiting import PATIENCE_SECONDS

MEGABYTE = 1e6
FULL_PRECISION = 2
"""Dense weights in float32 over those in float16."""

QUIET_SECONDS = 2.0
DRAWN_EDGE = 8
"""Latent pixels that a release is tried out with: weights are of one size for all."""


def make_base(folder: Path, shapes: dict[str, Any]) -> Base:
    """A base with random weights of these shapes, in halves at `folder`, no longer in memory."""
    base = sd15("cpu", shapes | {"latent_edge": DRAWN_EDGE})
    tokenizer, words = base.pipeline.tokenizer, shapes["text"][-1]
    tokenizer.add_tokens([f"[{number}]" for number in range(len(tokenizer), words)])
    base.pipeline.to(dtype=torch.float16)
    base.pipeline.save_pretrained(folder, safe_serialization=True)
    return Base(None, base.family, base.card, str(folder))


def measure_broadcast(work: Path, base: Base, count: int) -> dict[str, Any]:
    """A release of `count` concepts, then one of one more, to a client that has the first."""
    releases = {
        number: _write(work / f"release-{number}", base, number) for number in (count, count + 1)
    }
    weights = _weights(releases[count])
    server = Server(make_data(work / "broadcast", base.card))
    server.start()
    try:
        with Relay(server.grpc_port) as relay:
            client = _Client(
                Node.redeem(server, server.invite("client")).known(server), relay, work
            )
            sent = [client.fetch(partial(_publish, server, one)) for one in releases.values()]
    finally:
        server.end()
    return _figures(weights, *sent)


def _write(folder: Path, base: Base, count: int) -> Path:
    """A release of that many concepts: their plain mean, whose rank is that of any fusion."""
    headers = [header_of(number, base.card) for number in range(count)]
    update, tokens = _fused(base, count)
    digests = (sha256(concept_file(number, base.card)).hexdigest() for number in range(count))
    members = (Part(name=h.name, sha256=digest) for h, digest in zip(headers, digests, strict=True))
    fusion: dict[str, str | int | float | bool] = {"method": "average"}
    content = ReleaseContent(headers, tuple(members), fusion, update, tokens, {}, {})
    write_release(folder, base, content)
    return folder


def _fused(base: Base, count: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The update of every layer in its smallest form, and all concepts' words."""
    concepts = [
        {key: torch.from_numpy(value) for key, value in tensors_of(number, base.card, 0.02).items()}
        for number in range(count)
    ]
    update: dict[str, Tensor] = {}
    for layer in base.card.layers:
        parts = [
            Adapter(
                c[f"{layer}.lora_A.weight"].double(), c[f"{layer}.lora_B.weight"].double() / count
            )
            for c in concepts
        ]
        delta_OI = torch.stack([part.delta_OI for part in parts]).sum(0)
        update |= smallest(delta_OI, parts).tensors(layer)
    tokens = {
        key: value.float()
        for concept in concepts
        for key, value in concept.items()
        if key.startswith("tokens.")
    }
    return update, tokens


def _publish(server: Server, folder: Path) -> None:
    data = DataFolder(server.data)
    store = data.open_store()
    try:
        publish(store, folder, open_signer(data.ca))
    finally:
        store.close()


@dataclass(frozen=True)
class Sent:
    """Bytes that one release cost a client, on the wire."""

    announcement: int
    lora: int
    whole: int


@dataclass(frozen=True)
class _Client:
    """A client that watches, has releases in both forms, and keeps them; the wire to it."""

    server: KnownServer
    relay: Relay
    work: Path

    def fetch(self, publish: Callable[[], None]) -> Sent:
        """What arrives of the release that `publish` makes the latest."""
        announcement = self._told(publish)
        return Sent(announcement, *(self._pulled(form) for form in (Form.lora, Form.diffusers)))

    def _told(self, publish: Callable[[], None]) -> int:
        """A watch that is open already hears of it."""
        heard: Queue[object] = Queue()
        with self._connected() as connection:
            stop = Event()

            def watch() -> None:
                for news in watch_releases(connection, stop):
                    heard.put(news)

            watching = Thread(target=watch)
            watching.start()
            heard.get(timeout=PATIENCE_SECONDS)
            sleep(QUIET_SECONDS)
            before = self._received()
            publish()
            heard.get(timeout=PATIENCE_SECONDS)
            arrived = self._received() - before
            stop.set()
            connection.close()
            watching.join()
        return arrived

    def _pulled(self, form: Form) -> int:
        before = self._received()
        with self._connected() as connection:
            pull_release(connection, LATEST, self.work / form, only=FILES_OF[form])
        return self._received() - before

    def _received(self) -> int:
        return self.relay.counts()[1].wire_bytes

    def _connected(self) -> Connection:
        address = f"127.0.0.1:{self.relay.port}"
        return Connection(self.server.model_copy(update={"grpc": address}))


def _weights(folder: Path) -> dict[str, Any]:
    """Bytes and kinds of numbers of the dense weights, and of the fused LoRA."""
    files = sorted(folder.rglob("*.safetensors"))
    dense = [file for file in files if file.name != FUSED]
    return {
        "dense_checkpoint_bytes": sum(file.stat().st_size for file in dense),
        "dense_dtype": _dtypes(dense),
        "fused_lora_bytes": (folder / FUSED).stat().st_size,
        "fused_lora_dtype": _dtypes([folder / FUSED]),
        "fused_lora_rank_max": _largest_rank(folder / FUSED),
        "fused_matrices": sum(key.endswith(MATRIX) for key in _slices(folder / FUSED)),
    }


def _slices(file: Path) -> dict[str, tuple[str, list[int]]]:
    with safe_open(file, "pt") as opened:
        found = {key: opened.get_slice(key) for key in opened.keys()}  # noqa: SIM118
        return {key: (one.get_dtype(), one.get_shape()) for key, one in found.items()}


def _dtypes(files: list[Path]) -> str:
    return ", ".join(sorted({dtype for file in files for dtype, _ in _slices(file).values()}))


def _largest_rank(file: Path) -> int:
    shapes = {key: shape for key, (_, shape) in _slices(file).items()}
    return max((shape[0] for key, shape in shapes.items() if key.endswith(DOWN)), default=0)


def _figures(weights: dict[str, Any], first: Sent, second: Sent) -> dict[str, Any]:
    """The dense weights as they are shipped, in halves, over what a client gets instead."""
    dense = weights["dense_checkpoint_bytes"]
    news = first.announcement + first.lora
    return weights | {
        "broadcast_ratio": dense / news,
        "broadcast_ratio_to_float32_dense": dense * FULL_PRECISION / news,
        "announcement_bytes": first.announcement,
        "fused_lora_megabytes": first.lora / MEGABYTE,
        "whole_release_megabytes": first.whole / MEGABYTE,
        "next_lora_megabytes": second.lora / MEGABYTE,
        "next_whole_megabytes": second.whole / MEGABYTE,
    }
