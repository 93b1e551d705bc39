"""Manifests of made-up releases: right in everything but what is in the files."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256

from fedshow.concepts import BaseRef
from fedshow.releases import FileEntry, Manifest, Member, release_id
from fedshow.releases.manifest import PIECE_BYTES

FUSION: dict[str, str | int | float | bool] = {"method": "gradient"}


def concepts_json(concepts: Mapping[str, str]) -> bytes:
    """What concepts.json says of these concepts (name to sha256)."""
    return json.dumps([{"name": name, "sha256": sha} for name, sha in concepts.items()]).encode()


def standin_manifest(
    files: Mapping[str, bytes], concepts: Mapping[str, str], base: BaseRef
) -> Manifest:
    """The manifest of a release with these files and these concepts (name to sha256)."""
    members = tuple(Member(name=name, sha256=digest) for name, digest in concepts.items())
    entries = {
        path: FileEntry(sha256=sha256(content).hexdigest(), size_bytes=len(content))
        for path, content in files.items()
    }
    pieces = {
        path: b"".join(
            sha256(content[at : at + PIECE_BYTES]).digest()
            for at in range(0, len(content), PIECE_BYTES)
        )
        for path, content in files.items()
        if len(content) > PIECE_BYTES
    }
    return Manifest(
        release=release_id(base, members, FUSION),
        created=datetime.now(UTC),
        base=base,
        family="sd1",
        concepts=members,
        fusion=FUSION,
        files=entries,
        pieces=pieces,
    )
