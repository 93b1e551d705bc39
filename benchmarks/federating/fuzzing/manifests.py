"""manifest.json, concepts.json and manifest.sig, as a downloader reads what a server sends.

A manifest is bad unless it is strict JSON with the documented names, each value of its type: whole sizes,
finite weights, digests, moments with an offset; paths that stay in the folder, written in one way, none
of them in another that is a file; pieces that fit the sizes. And it must be read as what it says. The
list of concepts must say what the manifest does; a signature is a key and 128 hexadecimal digits.
"""

import json
import re
from base64 import urlsafe_b64decode
from binascii import Error as NoBase64
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from hypothesis import strategies as st

from benchmarks.federating.fuzzing import strictly
from benchmarks.federating.fuzzing.mutating import Raw, odd_bytes, odd_documents
from benchmarks.federating.fuzzing.strictly import Bad, demand
from benchmarks.federating.fuzzing.target import Target
from fedshow.releases import Manifest
from fedshow.releases.file_names import CONCEPTS
from fedshow.releases.signing import Signature
from fedshow.releases.verify import check_concepts
from tests.releases import concepts_json, standin_manifest
from tests.stage.concepts import CARD

MEMBERS = {"potter": "0a" * 32, "hermione": "1b" * 32}
FILES = {
    "unet/weights.safetensors": bytes(3 << 19),
    "model_index.json": b"{}",
    CONCEPTS: concepts_json(MEMBERS),
}
SIGNATURE = {"key": "0c" * 32, "signature": "0d" * 64}
BASE64 = re.compile("[A-Za-z0-9_-]*={0,2}")
NEEDS = {"release", "created", "base", "family", "concepts", "fusion", "files"}
MAY = {"format", "pieces"}
PATHS = st.sampled_from(
    [
        *(
            "/x",
            "..",
            "../x",
            "a/../b",
            "a//b",
            "./a",
            "a/.",
            "a/",
            "",
            ".",
            "a\\b",
            "C:/x",
            "a\x00b",
        ),
        *(
            "manifest.json",
            "manifest.sig",
            "unet",
            "model_index.json/x",
            "\u202ea",
            "\ud800",
            "x" * 300,
        ),
    ]
).map(lambda it: Raw(json.dumps(it)))
KINDS = {b"M": "manifest", b"C": "concepts", b"S": "signature"}
"""A case begins with a letter that says what it is."""


@cache
def valid() -> Manifest:
    """The manifest that cases are made from."""
    made = standin_manifest(FILES, MEMBERS, CARD.ref)
    return made.model_copy(update={"created": datetime(2026, 1, 1, tzinfo=UTC)})


def target() -> Target:
    """The manifest most of the time."""
    whole = valid().dump()
    manifest = st.one_of(
        odd_documents(json.loads(whole), PATHS).map(_bytes), odd_paths(), odd_bytes(whole)
    ).map(b"M".__add__)
    concepts = _either(json.loads(FILES[CONCEPTS]), b"C")
    signature = _either(SIGNATURE, b"S")
    seeds = (b"M" + whole, b"C" + FILES[CONCEPTS], b"S" + json.dumps(SIGNATURE).encode())
    return Target(
        "manifests", st.one_of(manifest, manifest, concepts, signature), seeds, feed, fault
    )


def _either(document: Any, letter: bytes) -> st.SearchStrategy[bytes]:
    odd = odd_documents(document).map(_bytes) | odd_bytes(json.dumps(document).encode())
    return odd.map(letter.__add__)


def odd_paths() -> st.SearchStrategy[bytes]:
    """Manifests that list a file more, in an odd place."""
    found = json.loads(valid().dump())
    entry = json.dumps(found["files"]["model_index.json"])
    return PATHS.map(
        lambda path: (
            json.dumps(found)
            .replace('"files": {', f'"files": {{{path.text}: {entry}, ')
            .encode("utf-8", "surrogatepass")
        )
    )


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def feed(case: bytes) -> Any:
    """What the reader of this kind of document makes of it."""
    kind, content = KINDS.get(case[:1], "manifest"), case[1:]
    if kind == "signature":
        return Signature.parse(content)
    if kind == "manifest":
        return Manifest.parse(content)
    folder = _folder()
    (folder / CONCEPTS).write_bytes(content)
    check_concepts(folder, valid())
    return None


@cache
def _folder() -> Path:
    return Path(mkdtemp(prefix="fedshow-fuzz-"))


def fault(case: bytes, made: Any) -> str | None:
    """Why the document is bad, or was read as something else."""
    kind = KINDS.get(case[:1], "manifest")
    try:
        found = strictly.document(case[1:])
        if kind == "concepts":
            return _judge_concepts(found)
        if kind == "signature":
            return _judge_signature(found, made)
        return _judge_manifest(found, made)
    except Bad as error:
        return str(error)


def _judge_concepts(found: Any) -> str | None:
    demand(isinstance(found, list), "concepts.json is no list")
    told = [(concept["name"], concept["sha256"]) for concept in found]
    demand(len(told) == len(MEMBERS) and dict(told) == MEMBERS, "concepts.json says something else")
    return None


def _judge_signature(found: Any, made: Signature) -> str | None:
    strictly.entries(found, {"key", "signature"}, set(), "signature")
    strictly.text(found["key"], strictly.SHA256, "key")
    strictly.text(found["signature"], re.compile("[0-9a-f]{128}"), "signature")
    return None if found == made.model_dump() else "read as something else"


def _judge_manifest(found: Any, made: Manifest) -> str | None:
    strictly.entries(found, NEEDS, MAY, "manifest")
    demand(type(found.get("format", 1)) is int and found.get("format", 1) == 1, "format")
    strictly.text(found["release"], re.compile("[0-9a-f]{16}"), "release")
    demand(strictly.moment(found["created"], "created") == made.created, "created")
    base = strictly.entries(found["base"], {"name", "sha256"}, set(), "base")
    strictly.text(base["name"], strictly.BASE, "base")
    strictly.text(base["sha256"], strictly.SHA256, "base")
    strictly.text(found["family"], strictly.FAMILY, "family")
    demand(isinstance(found["concepts"], list), "concepts")
    members = [_member(member) for member in found["concepts"]]
    demand(len({name for name, _, _ in members}) == len(members), "a concept stands there twice")
    _judge_fusion(found["fusion"])
    sizes = _judged_files(found["files"])
    _judge_pieces(found.get("pieces", {}), sizes)
    read = {path: entry.size_bytes for path, entry in made.files.items()}
    is_same = members == [(one.name, one.sha256, one.weight) for one in made.concepts]
    return None if is_same and read == sizes else "read as something else"


def _member(value: Any) -> tuple[str, str, float]:
    found = strictly.entries(value, {"name", "sha256"}, {"weight"}, "concept")
    name = strictly.text(found["name"], strictly.NAME, "name")
    sha256 = strictly.text(found["sha256"], strictly.SHA256, "digest")
    return name, sha256, strictly.number(found.get("weight", 1.0), "weight")


def _judge_fusion(fusion: Any) -> None:
    demand(isinstance(fusion, dict), "fusion")
    for key, value in fusion.items():
        strictly.text(key, strictly.KEY, "fusion")
        if not isinstance(value, str | bool):
            strictly.number(value, key)


def _judged_files(files: Any) -> dict[str, int]:
    demand(isinstance(files, dict), "files")
    for path, entry in files.items():
        parts = path.split("/")
        demand(path.isprintable() and "\\" not in path, f"path {path!r:.40}")
        demand(not {"", ".", ".."} & set(parts), f"path {path!r:.40}")
        demand(path not in ("manifest.json", "manifest.sig"), f"path {path!r:.40}")
        above = {"/".join(parts[:depth]) for depth in range(1, len(parts))}
        demand(not above & set(files), f"path {path!r:.40} in a file")
        strictly.entries(entry, {"sha256", "size_bytes"}, set(), "file")
        strictly.text(entry["sha256"], strictly.SHA256, "digest")
        strictly.whole(entry["size_bytes"], 0, 2**64 - 1, "size")
    return {path: entry["size_bytes"] for path, entry in files.items()}


def _judge_pieces(pieces: Any, sizes: dict[str, int]) -> None:
    demand(isinstance(pieces, dict) and set(pieces) <= set(sizes), "pieces")
    for path, told in pieces.items():
        strictly.text(told, BASE64, "pieces")
        try:
            digests = urlsafe_b64decode(told)
        except NoBase64 as error:
            raise Bad(f"pieces: {error}") from None
        demand(len(digests) == -(-sizes[path] // (1 << 20)) * 32, "pieces")
