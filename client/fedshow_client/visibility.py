"""Who may have a concept, in the words of the command line and of the queue."""

from collections.abc import Sequence

from fedshow.errors import InvalidInput
from fedshow.joining import EVERYBODY, ME, check_node_name
from fedshow.v1.concepts_pb2 import Concept, Visibility


def check_visible_to(words: Sequence[str]) -> list[str]:
    """The words as the queue keeps them: `everybody`, `me`, or names of nodes. Raises InvalidInput."""
    for word in (EVERYBODY, ME):
        if word in words and len(words) > 1:
            raise InvalidInput(f"{word!r} goes with no other name: {' '.join(words)[:80]!r}")
        if word in words:
            return [word]
    return sorted({check_node_name(word) for word in words}) or [EVERYBODY]


def message_of(words: Sequence[str]) -> Visibility | None:
    """The same for the server; None stands for everybody."""
    if list(words) == [EVERYBODY]:
        return None
    return Visibility(nodes=[word for word in words if word != ME])


def differs(concept: Concept, words: Sequence[str]) -> bool:
    """Whether the server shows the concept to others than these."""
    told = concept.visible if concept.HasField("visible") else None
    return told != message_of(words)
