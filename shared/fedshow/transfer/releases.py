"""Which releases a server has, and news of the next one."""

import time
from collections.abc import Callable, Iterator
from threading import Event

from fedshow.errors import Unreachable
from fedshow.transfer.backoff import OnWait, Patience
from fedshow.transfer.connection import STREAM_SECONDS, Connection
from fedshow.transfer.latest import check_latest
from fedshow.v1.releases_pb2 import (
    GetReleaseRequest,
    ListReleasesRequest,
    Release,
    WatchReleasesRequest,
)

LATEST = "latest"
RENEWAL_PAUSE_SECONDS = 0.5


def list_releases(connection: Connection) -> list[Release]:
    """All releases, newest first, without their files."""
    reply = connection.call(connection.releases.ListReleases, ListReleasesRequest())
    return list(reply.releases)


def get_release(connection: Connection, release: str = "latest") -> Release:
    """One release with its files: an id, a prefix of 8 digits or more, or "latest".

    Raises RefusedRelease unless the server vouches for what it calls its latest.
    """
    request = GetReleaseRequest(release=release)
    reply = connection.call(connection.releases.GetRelease, request)
    found: Release = reply.release
    if release == LATEST:
        check_latest(connection.server, found, reply.latest)
    return found


def watch_releases(
    connection: Connection,
    stop: Event,
    on_wait: OnWait | None = None,
    on_answer: Callable[[], object] | None = None,
) -> Iterator[Release | None]:
    """The newest release, then whatever takes its place, once; None says that nothing does.

    Survives any outage, ends when `stop` is set; `on_answer` is told that the server answered, each time,
    also when it says what it said before.
    Raises RefusedRelease when the server does not vouch for what it tells.

    Close the connection to end it at once.
    """
    patience = Patience(None, on_wait, stop)
    last: str | None = ""
    while not stop.is_set():
        try:
            for release in _stream(connection):
                patience.progressed()
                if on_answer:
                    on_answer()
                found = release.id if release else None
                if found != last:
                    last = found
                    yield release
            stop.wait(RENEWAL_PAUSE_SECONDS)
        except Unreachable as error:
            if not stop.is_set():
                _wait_unless_stopped(patience, error)


def _stream(connection: Connection) -> Iterator[Release | None]:
    """One stream's news; its own deadline is an end like any other."""
    started = time.monotonic()
    try:
        with connection.translated():
            request = WatchReleasesRequest()
            for reply in connection.releases.WatchReleases(request, timeout=STREAM_SECONDS):
                release = reply.release if reply.HasField("release") else None
                check_latest(connection.server, release, reply.latest)
                yield release
    except Unreachable:
        if time.monotonic() - started < STREAM_SECONDS:
            raise


def _wait_unless_stopped(patience: Patience, error: Unreachable) -> None:
    try:
        patience.wait(error)
    except Unreachable:
        return  # told to stop: the caller's loop sees it
