"""The daemon's main loop: one tuner, and one link to each joined server."""

import logging
import os
import signal
from threading import Event

from fedshow.transfer.servers import known_servers
from fedshow_client.daemon.link import ServerLink
from fedshow_client.daemon.tuner import Tuner
from fedshow_client.home import Home
from fedshow_client.queue import Queue
from fedshow_client.settings import ClientSettings

log = logging.getLogger(__name__)


class Daemon:
    """Runs until `stop` is set or the process is told to end."""

    def __init__(self, settings: ClientSettings) -> None:
        self._settings = settings
        self._home = Home(settings.home)
        self._links: dict[str, ServerLink] = {}
        self.stop = Event()

    def run(self) -> None:
        """Works until stopped; raises InvalidInput when this home already has a daemon."""
        with self._home.one_daemon(), Queue(self._home.database) as queue:
            queue.drop_leases()
            tuner = Tuner(self._home, queue, self._settings, holder=f"daemon {os.getpid()}")
            try:
                while not self.stop.is_set():
                    self._link(queue)
                    self._work(tuner)
            finally:
                for link in self._links.values():
                    link.close()

    def end_on_signals(self) -> None:
        """Makes SIGTERM and SIGINT end the daemon in order."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.stop.set())

    def _link(self, queue: Queue) -> None:
        """Takes up servers that were joined since the last look."""
        for server in known_servers(self._home.folder):
            link = self._links.get(server.name)
            if link and link.server != server:
                link.close()
                link = None
            if link is None:
                log.info("serving %s at %s", server.name, server.address)
                self._links[server.name] = ServerLink(server, self._home, queue, self._settings)

    def _work(self, tuner: Tuner) -> None:
        servers = {name: link.server for name, link in self._links.items()}
        try:
            job = tuner.tune_next(servers, self.stop)
        except Exception:  # a full disk, say: the job's lease runs out and it is tried again
            log.exception("tuning failed here")
            job = None
        if job is None:
            self.stop.wait(self._settings.poll_seconds)
        elif link := self._links.get(job.server):
            link.wake()
