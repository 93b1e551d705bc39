"""Looks for answers, several at a time: Flower's look at one lasts until all of it has been uploaded."""

from collections.abc import Callable, Iterator
from queue import Empty, SimpleQueue
from threading import Thread

AT_ONCE = 8
"""A node uploads one answer after another: so many nodes on bad lines hold nobody else up."""


class Looks:
    """Threads that look; only the thread that made them calls these methods."""

    def __init__(self, look: Callable[[str], bool]) -> None:
        """`look` says whether the answer to a message is taken; it runs in several threads."""
        self._look = look
        self._wanted = SimpleQueue[str | None]()
        self._seen = SimpleQueue[tuple[str, bool | Exception]]()
        self._under_way = set[str]()
        for number in range(AT_ONCE):
            Thread(target=self._work, name=f"look-{number}", daemon=True).start()

    @property
    def under_way(self) -> bool:
        """Whether some look did not end yet."""
        return bool(self._under_way)

    def start(self, message_id: str) -> None:
        """Looks for the answer to the message, if nobody is at it already."""
        if message_id not in self._under_way:
            self._under_way.add(message_id)
            self._wanted.put(message_id)

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
        for _ in range(AT_ONCE):
            self._wanted.put(None)

    def _work(self) -> None:
        while (message_id := self._wanted.get()) is not None:
            try:
                self._seen.put((message_id, self._look(message_id)))
            except Exception as error:
                self._seen.put((message_id, error))
