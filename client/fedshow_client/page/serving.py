"""The page's port: on 127.0.0.1 and nowhere else, served by a thread of the daemon."""

import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

import uvicorn

from fedshow.ports import listening
from fedshow_client.home import Home
from fedshow_client.page.app import make_app
from fedshow_client.page.entering import HOST, Entering
from fedshow_client.queue import Queue

log = logging.getLogger(__name__)

DRAIN_SECONDS = 1
MOST_AT_ONCE = 64


@contextmanager
def page_served(home: Home, queue: Queue, wanted_port: int) -> Iterator[None]:
    """Inside, the page is served, at another port when somebody has this one.

    Where there is none at all the daemon does its work without.
    """
    entering = Entering(home)
    entering.serve_no_more()
    try:
        held = _hold(wanted_port)
    except OSError as error:
        log.warning("no page: nothing can be served on %s (%s)", HOST, error.strerror)
        yield
        return
    port = held.getsockname()[1]
    server = uvicorn.Server(
        uvicorn.Config(
            make_app(home, queue, entering, port),
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            ws="none",
            lifespan="off",
            limit_concurrency=MOST_AT_ONCE,
            timeout_graceful_shutdown=DRAIN_SECONDS,
        )
    )
    serving = Thread(target=server.run, args=([held],), name="page")
    serving.start()
    entering.serve_at(port)
    log.info("a page for this machine: fedshow client page")
    try:
        yield
    finally:
        entering.serve_no_more()
        server.should_exit = True
        serving.join()
        held.close()


def _hold(wanted: int) -> socket.socket:
    """A listening socket; raises OSError."""
    try:
        return listening(HOST, wanted)
    except OSError:
        return listening(HOST, 0)
