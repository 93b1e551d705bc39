"""Fusing concept files into a release folder, without any server running."""

import os
import shutil
from collections.abc import Collection, Mapping, Sequence
from hashlib import sha256
from pathlib import Path

from torch import Tensor

from fedshow.concepts import ConceptFile, read_concept
from fedshow.errors import InvalidInput
from fedshow.families import open_base
from fedshow.releases.file_names import MANIFEST
from fedshow.releases.manifest import Manifest, Member
from fedshow.releases.writing import ReleaseContent, write_release
from fedshow.saying import Say
from fedshow_server.fusion.fuse import Fused, fuse, ledger_of, remove_all
from fedshow_server.fusion.ledger.index import VERSION
from fedshow_server.fusion.recording import Plan
from fedshow_server.fusion.update import tensors_of
from fedshow_server.fusion.vetting import Vetting
from fedshow_server.fusion.workers import open_to_record, workers_at

SETTINGS_VERSION = 4
"""Raised whenever the same concepts would give another fusion, so that release ids differ."""


Settings = dict[str, str | int | float | bool]


def fuse_to_folder(
    base: str,
    concepts: Sequence[Path],
    out: Path,
    *,
    method: str = "gradient",
    weights: Mapping[str, float] | None = None,
    device: str = "cpu",
    say: Say = lambda _: None,
    ledger: Path | None = None,
    judge: bool = False,
    refine: int = 0,
    ray: str | None = None,
    vetting: Vetting | None = None,
) -> Manifest:
    """Writes the release of these concept files to `out`, load-tested, whole or not at all.

    An empty folder that is there stays the same one and is filled, the manifest last.

    `say` is told how the base fits on a card, among others.

    What the `ledger` folder holds is not recorded again. `judge` asks for a report of rules, too, that
    need no recordings. `ray` is the address of a cluster that records, on its cards if it has any, and
    solves; the rest happens here. `refine` and `vetting` as for `fuse`.

    Raises InvalidInput (also RefusedConcept, BaseMismatch) before anything is computed for what the files
    themselves break; a concept that turns out to be unusable or odd is refused when it is recorded or vetted.
    """
    out = out.resolve()
    building = out / ".fusing" if out.is_dir() else out.with_name(f".{out.name}.fusing")
    shutil.rmtree(building, ignore_errors=True)
    _check_empty(out)
    opened, found = open_to_record(base, device if ray is None else "cpu", say)
    files = [read_concept(path, opened.card) for path in concepts]
    with workers_at(ray, base, opened, say, found) as workers:
        fused = fuse(
            opened,
            files,
            method,
            weights,
            say,
            ledger=ledger,
            judge=judge,
            workers=workers,
            refine=refine,
            vetting=vetting,
        )
    settings: Settings = {"method": method, "refine": refine, "version": SETTINGS_VERSION}
    manifest = write_release(building, opened, content_of(files, fused, weights or {}, settings))
    _put(building, out)
    return manifest


def _check_empty(out: Path) -> None:
    """Raises InvalidInput for what is there and cannot be filled."""
    if not out.exists():
        return
    if not out.is_dir() or any(out.iterdir()):
        raise InvalidInput(f"{out} is not an empty folder")
    if not os.access(out, os.W_OK | os.X_OK):
        raise InvalidInput(f"folder {out} is not writable")


def _put(built: Path, out: Path) -> None:
    """Makes what was built the content of `out`, which may be a mount point or somebody's working folder."""
    if built.parent != out:
        built.rename(out)
        return
    for child in sorted(built.iterdir(), key=lambda child: child.name == MANIFEST):
        child.rename(out / child.name)
    built.rmdir()


def take_out(
    base: str,
    ledger: Path,
    names: Collection[str],
    *,
    say: Say = lambda _: None,
) -> None:
    """Removes concepts from a ledger, exactly; it keeps the receipts. Raises Damaged."""
    with ledger_of(open_base(base), Plan(), ledger) as opened:
        remove_all(opened, names, say)


def current_ledger(ledgers: Path) -> Path:
    """The folder below `ledgers` for what this fedshow records; those of other versions are deleted.

    Statistics of other versions add up to nothing, and what was withdrawn shall not live on in them.
    """
    settings = f"{VERSION} {Plan().settings}"
    current = ledgers / sha256(settings.encode()).hexdigest()[:16]
    for folder in ledgers.glob("*"):
        if folder != current:
            shutil.rmtree(folder)
    return current


def content_of(
    concepts: Sequence[ConceptFile],
    fused: Fused,
    weights: Mapping[str, float],
    settings: Settings,
) -> ReleaseContent:
    """What a release of these concepts consists of."""
    tokens: dict[str, Tensor] = {}
    for concept in concepts:
        tensors = concept.tensors()
        tokens |= {key: tensors[key].float() for key in concept.token_keys}
    members = tuple(
        Member(name=c.header.name, sha256=c.sha256, weight=weights.get(c.header.name, 1.0))
        for c in sorted(concepts, key=lambda c: c.header.name)
    )
    return ReleaseContent(
        headers=[concept.header for concept in concepts],
        members=members,
        fusion=settings,
        update=tensors_of(fused.updates),
        tokens=tokens,
        report=fused.report,
        pictures=fused.pictures,
    )
