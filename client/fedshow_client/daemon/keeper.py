"""Keeps a copy of a server's newest release in this home; what was withdrawn leaves it, too."""

import logging
import shutil
from pathlib import Path
from threading import Event

from fedshow.errors import FedshowError
from fedshow.transfer.backoff import delays
from fedshow.transfer.connection import Connection
from fedshow.transfer.folder import pull_release
from fedshow.transfer.forms import FILES_OF, Form
from fedshow.transfer.servers import KnownServer, home_folder
from fedshow.transfer.staging import staging_of
from fedshow_client.queue import Queue

log = logging.getLogger(__name__)

PATIENCE_SECONDS = 30.0
"""With a server that stops answering in the midst of a file; what has come stays for the next try."""


def drop_copies(server: KnownServer, queue: Queue) -> None:
    """Deletes what a daemon that was told to keep copies has kept, and notes that there is none."""
    told = queue.latest(server.name)
    if told is None or not told.form:
        return
    for copy in (server.copy_folder(home_folder(), form) for form in Form):
        for folder in (copy, staging_of(copy)):
            if folder.exists():
                log.info("%s: no copy is wanted any more", folder)
                shutil.rmtree(folder)
    queue.kept(server.name, "", release="")


class Keeper:
    """Brings the copy up to date whenever it is told that there is news."""

    def __init__(self, connection: Connection, queue: Queue, form: Form, stop: Event) -> None:
        self._connection, self._queue, self._form, self._stop = connection, queue, form, stop
        self._server = connection.server
        self._news = Event()

    @property
    def folder(self) -> Path:
        """Where the copy lies."""
        return self._server.copy_folder(home_folder(), self._form)

    def wake(self) -> None:
        """There may be another release, or none; or it is time to end."""
        self._news.set()

    def keep(self) -> None:
        """Works until `stop`; what fails is noted for `client status` and tried again."""
        pauses = delays()
        while not self._stop.is_set():
            self._news.wait()
            self._news.clear()
            try:
                self._refresh()
                pauses = delays()
            except (FedshowError, OSError) as error:  # a full disk, say
                self._fail(error)
                self._stop.wait(next(pauses))

    def _fail(self, error: Exception) -> None:
        self._news.set()
        if not self._stop.is_set():
            log.warning("no copy of the newest release of %s: %s", self._server.name, error)
            self._queue.kept(self._server.name, self._form, trouble=str(error))

    def _refresh(self) -> None:
        name, told = self._server.name, self._queue.latest(self._server.name)
        if self._stop.is_set() or told is None:
            return
        if not told.release:
            self._remove(self.folder)
            self._queue.kept(name, self._form, release="")
        elif (told.kept, told.form) != (told.release, self._form) or not self.folder.exists():
            self._pull()
        for form in Form:
            if form is not self._form:
                self._remove(self._server.copy_folder(home_folder(), form))

    def _pull(self) -> None:
        manifest = pull_release(
            self._connection,
            "latest",
            self.folder,
            only=FILES_OF[self._form],
            patience_seconds=PATIENCE_SECONDS,
            stop=self._stop,
        )
        log.info("a copy of release %s lies in %s", manifest.release, self.folder)
        self._queue.kept(self._server.name, self._form, release=manifest.release)

    def _remove(self, folder: Path) -> None:
        if folder.exists():
            log.info("%s: the release in it is the newest no more", folder)
            shutil.rmtree(folder)
