"""The fusion worker, a process of its own: fuses what is admitted now and publishes it.

python -m fedshow_server.fusing --data DIR [--ray ADDRESS]
"""

import argparse
import logging
import shutil
import tempfile
from pathlib import Path

from fedshow.errors import BaseMismatch, Damaged, NotFound, RefusedConcept
from fedshow.families.card import BaseCard
from fedshow_server.admitting import check_file
from fedshow_server.children import die_with_parent
from fedshow_server.folder import DataFolder, DescribedBase
from fedshow_server.logs import set_up_logs
from fedshow_server.publishing import publish
from fedshow_server.signing import Signer, open_signer
from fedshow_server.store import Concept, Store
from fedshow_server.unfusable import UnfusableConcept

log = logging.getLogger(__name__)


def main() -> None:
    """Exit status 0: what is admitted is the latest release, or a concept that no fusion can use
    is not admitted any more.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--ray")
    arguments = parser.parse_args()
    folder = DataFolder(arguments.data)
    die_with_parent()
    set_up_logs("text", "info")
    described = folder.base()
    assert described is not None, "the server describes its base before it fuses"
    store = folder.open_store()
    try:
        with tempfile.TemporaryDirectory(dir=folder.work, prefix="fusing-") as work:
            ledgers, signer = folder.ledgers, open_signer(folder.ca)
            fuse_admitted(store, described, signer, Path(work), ledgers, arguments.ray)
    finally:
        store.close()


def fuse_admitted(
    store: Store,
    described: DescribedBase,
    signer: Signer,
    work: Path,
    ledgers: Path,
    ray: str | None = None,
) -> None:
    """Fuses the admitted concepts inside `work` and publishes the release, signed.

    Concepts are recorded once, into a ledger below `ledgers` that holds the admitted ones only.

    A concept that cannot be fused is refused instead; then the others are due.
    """
    concepts = sorted(store.concepts.admitted(), key=lambda concept: concept.name)
    if not concepts:
        log.info("nothing is admitted")
        return
    log.info("fusing %s", ", ".join(concept.name for concept in concepts))
    try:
        files = [_file_of(concept, store, described.card, work) for concept in concepts]
        _fuse(described.base, files, work / "release", ledgers, ray)
    except UnfusableConcept as error:
        log.error("%s; it is refused", error)
        (culprit,) = (concept for concept in concepts if concept.name == error.name)
        store.concepts.quarantine(culprit.sha256, error.reason)
        return
    manifest, is_new = publish(store, work / "release", signer)
    names = ", ".join(member.name for member in manifest.concepts)
    log.info("release %s (%s)%s", manifest.release, names, "" if is_new else " was there already")


def _file_of(concept: Concept, store: Store, card: BaseCard, work: Path) -> Path:
    """The concept's file, checked again: limits may be stricter by now, and disks lose bits."""
    try:
        with store.blobs.open(concept.sha256) as source:
            blob = source.read()
        check_file(concept, blob, card)
    except (NotFound, RefusedConcept, BaseMismatch) as error:
        raise UnfusableConcept(concept.name, str(error)) from error
    path = work / f"{concept.name}.safetensors"
    path.write_bytes(blob)
    return path


def _fuse(base: str, files: list[Path], out: Path, ledgers: Path, ray: str | None = None) -> None:
    """A ledger that is damaged is given up: whatever it held can be recorded again."""
    from fedshow.device import choose_device
    from fedshow_server.fusion import current_ledger, fuse_to_folder  # torch: seconds to load

    ledger = current_ledger(ledgers)
    try:
        fuse_to_folder(
            base,
            files,
            out,
            device=choose_device(),
            say=log.info,
            ledger=ledger,
            only=True,
            ray=ray,
        )
    except Damaged:
        shutil.rmtree(ledger)
        raise


if __name__ == "__main__":
    main()
