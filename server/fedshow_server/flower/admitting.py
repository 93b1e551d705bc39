"""What must hold before a handed-over file becomes part of the next release."""

from hashlib import sha256

from fedshow.concepts import ConceptHeader, read_concept
from fedshow.errors import BaseMismatch, RefusedConcept
from fedshow.families.card import BaseCard
from fedshow_server.store import Concept, Store


class Admission:
    """Checks files against the base of this server and keeps the good ones."""

    def __init__(self, store: Store, card: BaseCard) -> None:
        self._store = store
        self._card = card

    def take(self, concept: Concept, blob: bytes) -> str:
        """Admits the file, or refuses the concept for good; returns the reason, empty when good."""
        try:
            header = check_file(concept, blob, self._card)
        except (RefusedConcept, BaseMismatch) as error:
            self._store.concepts.refuse(concept.sha256, str(error))
            return str(error)
        self._store.blobs.put(blob)  # first the content, then the word that it is here
        self._store.concepts.admit(concept.sha256, header.rank)
        return ""


def check_file(concept: Concept, blob: bytes, card: BaseCard) -> ConceptHeader:
    """What the file says of itself, once it is what was submitted and fits the base.

    Raises RefusedConcept, BaseMismatch.
    """
    if len(blob) != concept.size_bytes:
        raise RefusedConcept(f"{len(blob)} bytes came, {concept.size_bytes} were promised")
    if (found := sha256(blob).hexdigest()) != concept.sha256:
        raise RefusedConcept(f"sha256 {found[:12]}… came, {concept.sha256[:12]}… was promised")
    header = read_concept(blob, card).header
    if (header.name, header.class_word) != (concept.name, concept.class_word):
        raise RefusedConcept(
            f"the file is {header.name!r} ({header.class_word}), submitted was "
            f"{concept.name!r} ({concept.class_word})"
        )
    return header
