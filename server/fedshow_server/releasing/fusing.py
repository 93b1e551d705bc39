"""The fusion worker, a process of its own: makes the releases that are due and publishes them.

python -m fedshow_server.releasing.fusing --data DIR [--ray ADDRESS] [--protect WORD ...]
"""

import argparse
import logging
import shutil
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fedshow.device import choose_device
from fedshow.errors import Damaged, NotFound, RefusedConcept
from fedshow.families.card import BaseCard
from fedshow_server.children import die_with_parent
from fedshow_server.flower.admitting import check_file
from fedshow_server.folder import DataFolder
from fedshow_server.fusion.unfusable import OddConcept, UnfusableConcept
from fedshow_server.releasing.due import find_due, receipts
from fedshow_server.releasing.publishing import publish
from fedshow_server.releasing.signing import Signer, open_signer
from fedshow_server.store import Concept, Store
from fedshow_server.upkeep.logs import set_up_logs

log = logging.getLogger(__name__)


def main() -> None:
    """Exit status 0: what was due is published, or a concept that no fusion can use is not admitted any
    more.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--ray")
    parser.add_argument("--protect", action="append", default=[])
    arguments = parser.parse_args()
    folder = DataFolder(arguments.data)
    die_with_parent()
    set_up_logs("text", "info")
    described = folder.base()
    assert described is not None, "the server describes its base before it fuses"
    fuser = Fuser(described.base, folder.ledgers, arguments.ray, arguments.protect)
    store = folder.open_store()
    try:
        with folder.workplace("fusing") as work:
            fuse_admitted(store, described.card, open_signer(folder.ca), fuser, work)
    finally:
        store.close()


@dataclass(frozen=True)
class Fuser:
    """How this server fuses: on which base, with which ledgers, where, and what no concept may mean."""

    base: str
    ledgers: Path
    """Concepts are recorded once, into a ledger below."""
    ray: str | None = None
    protected_words: Collection[str] = ()

    def take_out(self, names: Collection[str]) -> None:
        """Makes the ledger forget these concepts."""
        from fedshow_server.fusion import take_out  # torch: takes seconds

        with self._ledger() as ledger:
            take_out(self.base, ledger, names, say=log.info)

    def fuse(self, files: Sequence[Path], out: Path, trusted: Collection[str]) -> None:
        """Writes the release of these concepts; those with a `trusted` digest may be odd.

        Raises UnfusableConcept, OddConcept.
        """
        from fedshow_server.fusion import Vetting, fuse_to_folder

        with self._ledger() as ledger:
            fuse_to_folder(
                self.base,
                files,
                out,
                device=choose_device(),
                say=log.info,
                ledger=ledger,
                ray=self.ray,
                vetting=Vetting(trusted, self.protected_words),
            )

    @contextmanager
    def _ledger(self) -> Iterator[Path]:
        """The current one; given up when it is damaged, since all that it holds can be recorded again."""
        from fedshow_server.fusion import current_ledger

        ledger = current_ledger(self.ledgers)
        try:
            yield ledger
        except Damaged:
            shutil.rmtree(ledger)
            raise


def fuse_admitted(store: Store, card: BaseCard, signer: Signer, fuser: Fuser, work: Path) -> None:
    """Makes every release that is due, inside `work`, and publishes it, signed.

    Concepts that may not be in the ledger any more are taken out first. What was released before is not
    fused again.

    A concept that cannot be fused is refused instead, an odd one waits for the owner; then the others are
    due. Raises NotFound when the store lacks a concept's content, and BaseMismatch: a store or a base that
    is not what it was is no concept's fault.
    """
    due = find_due(store, fuser.ledgers)
    if due.leaving:
        fuser.take_out(due.leaving)
    for receipt in receipts(fuser.ledgers):
        store.concepts.removed(receipt)
    concepts = {concept.sha256: concept for concept in store.concepts.admitted()}
    for members in due.releases:
        if not all(sha256 in concepts for _, sha256 in members):
            continue  # one was withdrawn just now: something else is due
        again = store.releases.again(dict(members))
        if again is not None:
            log.info("release %s is the latest again", again.id)
            continue
        chosen = sorted((concepts[sha256] for _, sha256 in members), key=lambda one: one.name)
        log.info("fusing %s", ", ".join(concept.name for concept in chosen))
        folder = work / "-".join(("set", *(concept.sha256[:4] for concept in chosen)))[:80]
        try:
            files = [_file_of(concept, store, card, work) for concept in chosen]
            fuser.fuse(files, folder, {one.sha256 for one in chosen if one.approved})
        except UnfusableConcept as error:
            (culprit,) = (concept for concept in chosen if concept.name == error.name)
            _put_aside(culprit, error, store)
            return
        manifest, _ = publish(store, folder, signer)
        log.info("release %s", manifest.release)
        shutil.rmtree(folder)


def _put_aside(concept: Concept, error: UnfusableConcept, store: Store) -> None:
    if isinstance(error, OddConcept):
        log.warning("%s; the owner decides", error)
        store.concepts.quarantine(concept.sha256, error.reason)
    else:
        log.error("%s; it is refused", error)
        store.concepts.refuse_admitted(concept.sha256, error.reason)


def _file_of(concept: Concept, store: Store, card: BaseCard, work: Path) -> Path:
    """The concept's file, checked again: limits may be stricter by now, and disks lose bits."""
    blob = _content_of(concept, store)
    try:
        check_file(concept, blob, card)
    except RefusedConcept as error:
        raise UnfusableConcept(concept.name, str(error)) from error
    path = work / f"{concept.name}.safetensors"
    path.write_bytes(blob)
    return path


def _content_of(concept: Concept, store: Store) -> bytes:
    """Raises NotFound; then the store may be one that is not mounted."""
    try:
        with store.blobs.open(concept.sha256) as source:
            return source.read()
    except NotFound as error:
        raise NotFound(
            f"concept {concept.name!r}: {error}; bring the store back, or give the concept up: "
            f"fedshow server remove {concept.name}"
        ) from error


if __name__ == "__main__":
    main()
