"""Releases with a report and its pictures, as a true fusion leaves them, but made-up numbers."""

import json
import random
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

from sqlalchemy import insert, select

from fedshow.releases import Manifest
from fedshow_server.store.tables import concepts, fused_identities
from tests.releases import concepts_json
from tests.stage.publishing import put_release_of
from tests.stage.sampled import SCORER
from tests.stage.server import Server

LAYERS = [
    f"unet.{block}.attentions.{k}.transformer_blocks.0.{attention}.to_{part}"
    for block, k in (
        ("down_blocks.0", 0),
        ("down_blocks.1", 0),
        ("mid_block", 0),
        ("up_blocks.1", 1),
    )
    for attention in ("attn1", "attn2")
    for part in "qkv"
]
AFTER = 0.89
SIZE = 50_000


def put_fused(server: Server, names: Sequence[str]) -> Manifest:
    """A signed release of these concepts, the latest; each measures AFTER in it."""
    from fedshow_server.fusion.pictures import report_pictures  # torch: takes seconds

    members = {name: sha256(name.encode()).hexdigest() for name in sorted(names)}
    report = _report(list(members))
    files = {
        "concepts.json": concepts_json(members),
        "fused.safetensors": random.Random("lora").randbytes(SIZE),
        "report.json": json.dumps(report).encode(),
        "unet/weights.safetensors": random.Random("unet").randbytes(4 * SIZE),
        **report_pictures(list(members), report["layers"], report["summary"]),
    }
    manifest = put_release_of(server, members, files, signed=True)
    _measure(server, manifest)
    return manifest


def _report(names: list[str]) -> dict[str, Any]:
    dice = random.Random(" ".join(names))

    def few(size: int, most: float) -> list[float]:
        return [round(most * dice.random() ** 3, 4) for _ in range(size)]

    size = len(names)
    layers = {
        layer: {"residual_heldout": few(size, 0.9), "drift": few(1, 0.3)[0]} for layer in LAYERS
    }
    summary = {
        "residual_heldout": dict(zip(names, few(size, 0.2), strict=True)),
        "drift": 0.0412,
        "crosstalk": [few(size, 0.5) for _ in names],
    }
    return {"method": "gradient", "concepts": names, "summary": summary, "layers": layers}


def _measure(server: Server, manifest: Manifest) -> None:
    store = server.store()
    digests = [member.sha256 for member in manifest.concepts]
    with store.database.writing() as connection:
        query = select(concepts.c.id).where(concepts.c.sha256.in_(digests))
        about = {"release_id": manifest.release, "scorer": SCORER, "identity": AFTER}
        rows = [{"concept_id": found, **about} for found in connection.scalars(query)]
        connection.execute(insert(fused_identities), rows)
    store.close()
