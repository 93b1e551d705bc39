"""What people read of a concept's state, and how it is marked."""

from typing import NamedTuple

from fedshow_client.status.facts import ConceptStatus


class Label(NamedTuple):
    """Words, and the mark of the style sheet that stands beside them."""

    words: str
    mark: str


LABELS = {
    "tuning": Label("tuning", "waiting"),
    "queued": Label("waits for its turn", "waiting"),
    "tuned": Label("tuned, to be uploaded", "waiting"),
    "submitted": Label("the server fetches it", "waiting"),
    "admitted": Label("uploaded and admitted", "admitted"),
    "refused": Label("refused by the server", "refused"),
    "failed": Label("failed", "refused"),
    "held": Label("held here", "quarantined"),
    "withdrawn": Label("withdrawn", "withdrawn"),
}


def label_of(concept: ConceptStatus) -> Label:
    """Also whether it pauses."""
    if concept.paused:
        return Label("pausing" if concept.state == "tuning" else "paused", "withdrawn")
    return LABELS[concept.state]
