"""What goes over the wire, counted on the wire: one concept to the server, a fused release to its clients.

Everything has Stable Diffusion 1.5's shapes and random weights, which are as large as any others.
"""

from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from benchmarks.federating.broadcasting import make_base, measure_broadcast
from benchmarks.federating.concepts import concept_file, header_of
from benchmarks.federating.relay import Counted, Relay
from benchmarks.federating.size import Size
from benchmarks.tuning.sd15 import FULL
from fedshow.families.card import BaseCard
from fedshow.v1 import concepts_pb2 as pb
from tests.stage.concepts import make_data
from tests.stage.member import Member
from tests.stage.server import Server
from tests.stage.waiting import eventually

IDLE_SECONDS = 30.0


def measure(work: Path, size: Size, shapes: dict[str, Any] = FULL) -> dict[str, Any]:
    """Both directions, for a base of these shapes."""
    base = make_base(work / "base", shapes)
    return measure_upload(work, base.card) | measure_broadcast(work, base, size.fused)


def measure_upload(
    work: Path, card: BaseCard, idle_seconds: float = IDLE_SECONDS
) -> dict[str, Any]:
    """One concept from a node's outbox into the server's store, everything that its node sent counted.

    A node that has nothing to do asks for messages and says that it lives; that is told by itself.
    """
    server = Server(make_data(work / "server", card))
    blob = concept_file(0, card)
    server.start()
    try:
        with Relay(server.port) as fleet, Relay(server.grpc_port) as services:
            (work / "node").mkdir()
            node = Member.redeem(server, server.invite("node"), work / "node")
            node.reply = node.reply.model_copy(update={"grpc": f"127.0.0.1:{services.port}"})
            digest = node.put(blob)
            with node.supernode(replace(server, port=fleet.port)):
                _offer(node, blob, card)
                eventually(lambda: server.store_state(digest) == "admitted")
                fleet_up, fleet_down = fleet.counts()
                since = monotonic()
                sleep(idle_seconds)
                eventually(lambda: fleet.counts()[0] != fleet_up)  # it asks every few seconds
                idle = fleet.counts()[0].since(fleet_up).wire_bytes / (monotonic() - since)
            offer_up = services.counts()[0]
    finally:
        server.end()
    return _upload_figures(len(blob), fleet_up, fleet_down, offer_up) | {
        "idle_bytes_per_minute": round(idle * 60)
    }


def _offer(node: Member, blob: bytes, card: BaseCard) -> None:
    header = header_of(0, card)
    with node.calls() as calls:
        request = pb.SubmitConceptRequest(
            name=header.name,
            class_word=header.class_word,
            sha256=sha256(blob).hexdigest(),
            size_bytes=len(blob),
            base_sha256=card.sha256,
        )
        calls.concepts.SubmitConcept(request, timeout=60, wait_for_ready=True)


def _upload_figures(
    file_bytes: int, fleet: Counted, answers: Counted, offer: Counted
) -> dict[str, Any]:
    sent = fleet.wire_bytes + offer.wire_bytes
    tls = sent - fleet.data_bytes - offer.data_bytes
    return {
        "upload_over_file": sent / file_bytes,
        "upload_file_bytes": file_bytes,
        "upload_wire_bytes": sent,
        "upload_tls_bytes": tls,
        "upload_http_bytes": sent - tls - file_bytes,
        "upload_offer_bytes": offer.wire_bytes,
        "upload_answer_bytes": answers.wire_bytes,
    }
