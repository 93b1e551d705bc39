"""Looks for answers, several at a time: Flower's look at one lasts until all of it has been uploaded."""

from collections import Counter
from collections.abc import Callable, Iterator
from queue import Empty, SimpleQueue
from threading import Condition, Thread

AT_ONCE = 32
"""Looks, at all nodes' answers together: so many nodes on bad lines hold nobody else up, or half as many."""

EACH = 2
"""Looks at one node's answers: it uploads one after another, and the one before may have broken off."""


class Looks:
    """Threads that look; only the thread that made them calls these methods."""

    def __init__(self, look: Callable[[str], bool]) -> None:
        """`look` says whether the answer to a message is taken; it runs in several threads."""
        self._look = look
        self._under_way = set[str]()
        self._seen = SimpleQueue[tuple[str, bool | Exception]]()
        self._wanted: dict[str, str] = {}
        self._at_work = Counter[str]()
        self._is_open = True
        self._changed = Condition()
        for number in range(AT_ONCE):
            Thread(target=self._work, name=f"look-{number}", daemon=True).start()

    @property
    def under_way(self) -> bool:
        """Whether some look did not end yet."""
        return bool(self._under_way)

    def start(self, message_id: str, node: str) -> None:
        """Looks for the node's answer to the message, if nobody is at it already."""
        if message_id not in self._under_way:
            self._under_way.add(message_id)
            with self._changed:
                self._wanted[message_id] = node
                self._changed.notify()

    def ended(self) -> Iterator[tuple[str, bool]]:
        """Messages whose look ended since the last call, and whether it was taken.

        Raises what a look raised.
        """
        while True:
            try:
                message_id, found = self._seen.get_nowait()
            except Empty:
                return
            self._under_way.discard(message_id)
            if isinstance(found, Exception):
                raise found
            yield message_id, found

    def close(self) -> None:
        """Ends the threads that are not at work; the others end with the process at the latest."""
        with self._changed:
            self._is_open = False
            self._changed.notify_all()

    def _work(self) -> None:
        while found := self._next():
            message_id, node = found
            try:
                self._seen.put((message_id, self._look(message_id)))
            except Exception as error:
                self._seen.put((message_id, error))
            with self._changed:
                self._at_work[node] -= 1
                self._changed.notify()

    def _next(self) -> tuple[str, str] | None:
        """What has waited longest of nodes that few look at; None when no more is looked at."""
        with self._changed:
            while self._is_open:
                for message_id, node in self._wanted.items():
                    if self._at_work[node] < EACH:
                        del self._wanted[message_id]
                        self._at_work[node] += 1
                        return message_id, node
                self._changed.wait()
        return None
