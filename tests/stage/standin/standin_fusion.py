"""Fusing without torch.

The release it writes is a real release in all but its weights. With FEDSHOW_STANDIN_FAILS=FILE the
first fusion fails and leaves FILE. A concept named `voldemort` is one that no fusion can use, one
named `imperius` an odd one.
"""

import json
import os
import sys
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path

(server,) = find_spec("fedshow_server").submodule_search_locations
__path__ = [f"{server}/fusion"]  # its errors and the way to a Ray cluster are the real ones


class Vetting:
    """What is trusted."""

    def __init__(self, trusted, protected_words):
        self.trusted, self.protected_words = trusted, protected_words


def current_ledger(ledgers):
    """Where statistics would be kept."""
    return ledgers / "standin"


def take_out(base, ledger, names, **_):
    """Forgets these names, with a receipt each."""
    found = _read(ledger)
    for name in sorted(names & found["concepts"].keys()):
        gone = found["concepts"].pop(name)
        left = sorted(found["concepts"])
        found["receipts"].append(
            {
                "name": name,
                "sha256": gone["sha256"],
                "remaining": left,
                "remaining_sha256": sha256(" ".join(left).encode()).hexdigest(),
                "largest_difference": 1e-9,
            }
        )
    _write(ledger, found)


def _read(ledger):
    file = ledger / "ledger.json"
    return json.loads(file.read_text()) if file.exists() else {"concepts": {}, "receipts": []}


def _write(ledger, content):
    ledger.mkdir(parents=True, exist_ok=True)
    (ledger / "ledger.json").write_text(json.dumps(content))


def fuse_to_folder(base, concepts, out, *, ledger=None, vetting=None, **_):
    """Writes a release folder whose weights are the concept files one after another."""
    from datetime import UTC, datetime

    from fedshow.concepts import read_concept
    from fedshow.files import digest
    from fedshow.releases import FileEntry, Manifest, Member, release_id
    from fedshow_server.fusion.unfusable import OddConcept, UnfusableConcept

    mark = Path(os.environ.get("FEDSHOW_STANDIN_FAILS", os.devnull))
    if not mark.exists():
        mark.touch()
        sys.exit("fails this once")
    files = [read_concept(path) for path in concepts]
    if any(file.header.name == "voldemort" for file in files):
        raise UnfusableConcept("voldemort", "drawing with it gives NaN or infinity")
    if any(f.header.name == "imperius" and f.sha256 not in vetting.trusted for f in files):
        raise OddConcept("imperius", "it changes prompts that do not name it")
    if ledger is not None:
        known = _read(ledger)
        known["concepts"] |= {file.header.name: {"sha256": file.sha256} for file in files}
        _write(ledger, known)
    members = tuple(Member(name=file.header.name, sha256=file.sha256) for file in files)
    (out / "unet").mkdir(parents=True)
    (out / "fused.safetensors").write_bytes(b"fused" + b"".join(file.blob for file in files))
    (out / "unet" / "weights.safetensors").write_bytes(os.urandom(700_001))
    (out / "README.md").write_text("a release")
    entries = {
        path.relative_to(out).as_posix(): FileEntry(
            sha256=digest(path), size_bytes=path.stat().st_size
        )
        for path in out.rglob("*")
        if path.is_file()
    }
    fusion = {"method": "standin"}
    manifest = Manifest(
        release=release_id(files[0].header.base, members, fusion),
        created=datetime.now(UTC),
        base=files[0].header.base,
        family=files[0].header.family,
        concepts=members,
        fusion=fusion,
        files=entries,
    )
    (out / "manifest.json").write_bytes(manifest.dump())
    return manifest
