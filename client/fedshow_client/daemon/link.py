"""Everything that the daemon does for one joined server, each in a thread of its own."""

import logging
from collections.abc import Callable, Iterator
from threading import Event, Thread

from fedshow.errors import FedshowError, Forbidden, Unreachable
from fedshow.transfer.backoff import delays
from fedshow.transfer.connection import Connection
from fedshow.transfer.forms import Form
from fedshow.transfer.releases import watch_releases
from fedshow.transfer.servers import KnownServer
from fedshow_client.daemon.courier import reconcile
from fedshow_client.daemon.keeper import Keeper, drop_copies
from fedshow_client.daemon.node import keep_node
from fedshow_client.home import Home
from fedshow_client.queue import Queue
from fedshow_client.settings import ClientSettings

log = logging.getLogger(__name__)

IDLE_SECONDS = 60.0
"""Between looks at a server that wants nothing; news of our own wake the courier earlier."""

Part = Callable[[], Iterator[None]]
"""Works until the link is closed; yields whenever it has got something done."""


class ServerLink:
    """The watcher and, if wanted, the keeper for one server; node and courier if we bring it concepts."""

    def __init__(
        self, server: KnownServer, home: Home, queue: Queue, settings: ClientSettings
    ) -> None:
        self.server = server
        self._home, self._queue, self._settings = home, queue, settings
        self._connection = Connection(server)
        self._stop = Event()
        self._news = Event()
        self._keeper: Keeper | None = None
        parts: tuple[Part, ...] = (self._watcher,)
        if server.role.contributes:
            parts = (self._node, self._courier, *parts)
        if settings.keep_release == "no":
            parts = (*parts, self._no_copies)
        else:
            form = Form(settings.keep_release)
            self._keeper = Keeper(self._connection, queue, form, self._stop)
            parts = (*parts, self._copies)
        self._threads = [
            Thread(target=self._guarded, args=(part,), name=f"{part.__name__}-{server.name}")
            for part in parts
        ]
        for thread in self._threads:
            thread.start()

    def wake(self) -> None:
        """There is something new for the server."""
        self._news.set()

    def close(self) -> None:
        """Ends the threads and the node in order."""
        self._stop.set()
        self._news.set()
        if self._keeper:
            self._keeper.wake()
        self._connection.close()
        for thread in self._threads:
            thread.join()

    def _guarded(self, part: Part) -> None:
        """Runs a part again and again until the link is closed, whatever happens in it."""
        pauses = delays()
        while not self._stop.is_set():
            try:
                for _ in self._telling(part):
                    pauses = delays()
            except Exception:  # a full disk, say
                log.exception("%s failed", part.__name__)
            self._stop.wait(next(pauses))

    def _telling(self, part: Part) -> Iterator[None]:
        """The part; what keeps it from working is noted for `fedshow client status`."""
        try:
            yield from part()
        except Forbidden as error:
            self._trouble(f"refuses us: {error}")
        except FedshowError as error:
            self._trouble(str(error))

    def _node(self) -> Iterator[None]:
        keep_node(self.server, self._home, self._settings.node_silence_seconds, self._stop)
        yield

    def _courier(self) -> Iterator[None]:
        while not self._stop.is_set():
            self._news.clear()
            wanted = reconcile(self._connection, self._queue, self._home)
            self._queue.reached(self.server.name)
            yield
            self._news.wait(self._settings.poll_seconds if wanted else IDLE_SECONDS)

    def _watcher(self) -> Iterator[None]:
        def lost(error: Unreachable, _seconds: float) -> None:
            self._trouble(str(error))

        def answered() -> None:
            self._queue.reached(self.server.name)

        news = watch_releases(self._connection, self._stop, on_wait=lost, on_answer=answered)
        for release in news:
            if release:
                log.info("release %s: %s", release.id, ", ".join(release.concepts))
                self._queue.saw_release(self.server.name, release.id, release.concepts)
            else:
                log.info("%s has no latest release now", self.server.name)
                self._queue.saw_no_release(self.server.name)
            self.wake()
            if self._keeper:
                self._keeper.wake()
            yield

    def _copies(self) -> Iterator[None]:
        assert self._keeper is not None
        self._keeper.keep()
        yield

    def _no_copies(self) -> Iterator[None]:
        drop_copies(self.server, self._queue)
        yield
        self._stop.wait()

    def _trouble(self, text: str) -> None:
        if not self._stop.is_set():
            log.warning("%s: %s", self.server.name, text)
            self._queue.reached(self.server.name, trouble=text)
