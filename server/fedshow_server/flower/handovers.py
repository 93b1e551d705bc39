"""One Flower run from inside: asks nodes for the concept files that the server wants.

Newly submitted concepts join a run that is under way; a slow upload holds nobody else up.
"""

import logging
import time
from dataclasses import dataclass
from threading import Lock

from flwr.app import ConfigRecord, Message, RecordDict
from flwr.serverapp import Grid

from fedshow.errors import Unreachable
from fedshow.wire import CONCEPT, FILE, HANDOVER, REQUEST, SAFETENSORS
from fedshow_server.flower.admitting import Admission
from fedshow_server.flower.looks import Looks
from fedshow_server.store import Concept, Store

log = logging.getLogger(__name__)

POLL_SECONDS = 1.0
PATIENCE_SECONDS = 20.0
"""So long a run waits for a node that submitted something but is not online."""
ANSWER_SECONDS = 120.0
SLOWEST_BYTES_PER_SECOND = 16 << 10
LONGEST_ANSWER_SECONDS = 12 * 3600.0


@dataclass(frozen=True)
class Question:
    """A concept that some node was asked for, and until when it may answer (monotonic)."""

    concept: Concept
    deadline: float


class Handovers:
    """The questions of one run and their answers."""

    def __init__(self, grid: Grid, run_id: int, store: Store, admission: Admission) -> None:
        self._grid = grid
        self._run_id = run_id
        self._store = store
        self._admission = admission
        self._open: dict[str, Question] = {}
        self._asked: set[str] = set()
        self._taking = Lock()
        self._looks = Looks(self._look)

    @property
    def under_way(self) -> bool:
        """Whether an upload that the run waited for in vain is still being waited for."""
        return self._looks.under_way

    def run(self, patience_seconds: float = PATIENCE_SECONDS) -> None:
        """Asks and takes until nothing is open and nobody else came online in time."""
        try:
            last_news = time.monotonic()
            while self._open or time.monotonic() - last_news < patience_seconds:
                try:
                    self._store.runs.beat(self._run_id)
                    if self._ask() + self._take():
                        last_news = time.monotonic()
                    if not self._open and not self._waiting():
                        break
                except Unreachable as error:  # the database comes back; answers wait in Flower
                    log.warning("%s; trying again", error)
                time.sleep(POLL_SECONDS)
        finally:
            self._looks.close()
            self._store.runs.end(self._run_id)

    def _waiting(self) -> list[Concept]:
        wanted = self._store.concepts.wanted()
        return [concept for concept in wanted if concept.sha256 not in self._asked]

    def _ask(self) -> int:
        if not (waiting := self._waiting()):
            return 0
        online = set(self._grid.get_node_ids())
        ready = [concept for concept in waiting if concept.flower_id in online]
        for concept in ready:
            seconds = _answer_seconds(concept.size_bytes)
            (message_id,) = self._grid.push_messages([_question(concept, seconds)])
            self._asked.add(concept.sha256)
            if message_id:
                self._open[message_id] = Question(concept, time.monotonic() + seconds)
        return len(ready)

    def _take(self) -> int:
        """How many questions were answered or are past hoping since the last time."""
        before = len(self._open)
        for message_id, question in self._open.items():
            self._looks.start(message_id, question.concept.owner)
        for message_id, is_taken in self._looks.ended():
            if is_taken:
                self._open.pop(message_id, None)
        now = time.monotonic()
        self._open = {key: asked for key, asked in self._open.items() if now < asked.deadline}
        return before - len(self._open)

    def _look(self, message_id: str) -> bool:
        """Whether the answer was there and is taken; waits for the rest of one that is on its way."""
        question = self._open.get(message_id)
        answers = list(self._grid.pull_messages([message_id])) if question else []
        if question is None or not answers:
            return False
        with self._taking:
            try:
                self._answered(question.concept, answers[0])
            except Unreachable:
                raise
            except Exception:  # one node's answer must not end the others' handovers
                log.exception("%s: its answer cannot be read", question.concept.name)
        return True

    def _answered(self, concept: Concept, answer: Message) -> None:
        if answer.has_error():  # stays wanted: a later run asks again
            error = answer.error
            log.warning("%s of %s: %s %s", concept.name, concept.owner, error.code, error.reason)
            return
        blob = file_in(answer)
        if blob is None:
            log.warning("%s of %s: an answer without a file", concept.name, concept.owner)
            return
        reason = self._admission.take(concept, blob)
        log.info("%s of %s: %s", concept.name, concept.owner, reason or "admitted")


def file_in(answer: Message) -> bytes | None:
    """The concept file in a node's answer; None when it is anything else."""
    record = answer.content.array_records.get(CONCEPT)
    if record is None or list(record) != [FILE]:
        return None
    array = record[FILE]
    return bytes(array.data) if array.stype == SAFETENSORS else None


def _question(concept: Concept, seconds: float) -> Message:
    assert concept.flower_id is not None  # nobody else's concepts are wanted
    content = RecordDict({REQUEST: ConfigRecord({"sha256": concept.sha256})})
    return Message(content, concept.flower_id, HANDOVER, ttl=seconds)


def _answer_seconds(size_bytes: int) -> float:
    """Time for the round trip, upload included."""
    return min(ANSWER_SECONDS + size_bytes / SLOWEST_BYTES_PER_SECOND, LONGEST_ANSWER_SECONDS)
