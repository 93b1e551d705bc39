"""The daemon: one tuner, and one link to each joined server, each in threads of their own."""

import logging
import os
import signal
from contextlib import AbstractContextManager, nullcontext
from threading import Event, Thread

from fedshow.errors import FedshowError
from fedshow.transfer.servers import known_servers
from fedshow_client.daemon.link import ServerLink
from fedshow_client.daemon.tuner import Tuner
from fedshow_client.home import Home, holder_name
from fedshow_client.page.entering import Entering
from fedshow_client.queue import FINISHED, Job, JobState, Queue
from fedshow_client.settings import ClientSettings
from fedshow_client.tuning.watching.sample_files import keep_last_look

log = logging.getLogger(__name__)


class Daemon:
    """Runs until `stop` is set or the process is told to end."""

    def __init__(self, settings: ClientSettings) -> None:
        self._settings = settings
        self._home = Home(settings.home)
        self._links: dict[str, ServerLink] = {}
        self._complaint = ""
        self.stop = Event()

    def run(self) -> None:
        """Works until stopped; raises InvalidInput when this home already has a daemon."""
        with self._home.one_daemon(), Queue(self._home.database) as queue, self._page(queue):
            queue.drop_leases()
            self._tidy_up(queue)
            tuning = Thread(target=self._tune, args=(queue,), name="tuner")
            tuning.start()
            try:
                while not self.stop.is_set():
                    self._link(queue)
                    self.stop.wait(self._settings.poll_seconds)
            finally:
                self.stop.set()
                tuning.join()
                for link in self._links.values():
                    link.close()

    def _tidy_up(self, queue: Queue) -> None:
        """As if the daemon before had not been killed in the middle of it."""
        for job in queue.jobs(JobState.WITHDRAWN):  # while it was tuned
            self._home.forget_job(job.id)
        for job in queue.jobs(*FINISHED):
            keep_last_look(self._home.job(job.id).work)

    def _page(self, queue: Queue) -> AbstractContextManager[object]:
        """Inside, this machine's browsers are shown what goes on here, if that is wanted."""
        if not self._settings.page:
            Entering(self._home).serve_no_more()  # a daemon that was killed has left its port there
            return nullcontext()
        from fedshow_client.page.serving import page_served

        return page_served(self._home, queue, self._settings.page_port)

    def end_on_signals(self) -> None:
        """Makes SIGTERM and SIGINT end the daemon in order."""

        def end(*_: object) -> None:
            Thread(
                target=self.stop.set
            ).start()  # the thread that was interrupted may hold its lock

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, end)

    def _link(self, queue: Queue) -> None:
        """Takes up servers that were joined since the last look, lets go of those that are gone."""
        try:
            servers = {server.name: server for server in known_servers(self._home.folder)}
        except FedshowError as error:  # the others go on; nothing new until it is repaired
            if str(error) != self._complaint:
                log.error("%s", error)
            self._complaint = str(error)
            return
        for name, link in tuple(self._links.items()):
            if servers.get(name) != link.server:
                log.info("letting go of %s", name)
                self._links.pop(name).close()
        for name in servers.keys() - self._links.keys():
            log.info("serving %s at %s", name, servers[name].address)
            self._links[name] = ServerLink(servers[name], self._home, queue, self._settings)

    def _tune(self, queue: Queue) -> None:
        """Tunes one job after the other until stopped."""
        tuner = Tuner(self._home, queue, self._settings, holder_name(os.getpid()))
        while not self.stop.is_set():
            try:
                job = self._tune_next(tuner)
            except Exception:  # a full disk, say: the job's lease runs out and it is tried again
                log.exception("tuning failed here")
                job = None
            if job is None:
                self.stop.wait(self._settings.poll_seconds)

    def _tune_next(self, tuner: Tuner) -> Job | None:
        links = self._links.copy()
        taking = {name: link.server for name, link in links.items() if link.server.role.contributes}
        job = tuner.tune_next(taking, self.stop)
        if job and (link := links.get(job.server)):
            link.wake()
        return job
