"""Keeps a SuperNode at work for one server; judged by what it does, not by being alive."""

import json
import logging
import time
from pathlib import Path
from threading import Event

from fedshow.errors import last_line
from fedshow.files import tail, write_atomically
from fedshow.ports import free_port
from fedshow.transfer.backoff import delays
from fedshow.transfer.servers import KnownServer, private_folder
from fedshow_client.daemon.child import Child
from fedshow_client.home import Home
from fedshow_client.supernode import PULSE

log = logging.getLogger(__name__)

ENTRY = "fedshow_client.supernode:main"
FIRST_PAUSE_SECONDS = 2.0
LONGEST_PAUSE_SECONDS = 20.0
"""The server takes a node that died for online up to a minute and refuses its key so long."""
SETTLED_SECONDS = 120.0
TRIES_IN_VAIN = 3
"""After so many that ended before the server let the node in, it is trouble."""


def keep_node(server: KnownServer, home: Home, silence_seconds: float, stop: Event) -> None:
    """Runs the server's SuperNode until `stop`: starts it again when it ends or falls silent."""
    pauses = delays(FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS)
    trouble, in_vain = _trouble(home, server.name), 0
    trouble.unlink(missing_ok=True)
    while not stop.is_set():
        started = time.monotonic()
        child = _start(server, home)
        try:
            got_in = _wait(child, server, home, silence_seconds, stop)
        finally:
            child.end()
        in_vain = 0 if got_in else in_vain + 1
        if in_vain >= TRIES_IN_VAIN and not stop.is_set():
            trouble.write_text(last_line(tail(_log(server, home))) or "it ends without a word")
        if time.monotonic() - started > SETTLED_SECONDS:
            pauses = delays(FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS)
        stop.wait(next(pauses))
    trouble.unlink(missing_ok=True)


def node_trouble(home: Home, server: str) -> str:
    """Why nothing can be handed over to the server now, though it may answer; empty if nothing is known."""
    try:
        said = _trouble(home, server).read_text()
    except OSError:
        return ""
    return f"its node here does not get in: {said}; see `fedshow doctor --server {server}`"


def _trouble(home: Home, server: str) -> Path:
    return home.flower(server) / "trouble"


def _log(server: KnownServer, home: Home) -> Path:
    return home.log(f"supernode-{server.name}")


def _start(server: KnownServer, home: Home) -> Child:
    folder = private_folder(home.flower(server.name))
    outbox = private_folder(home.outbox(server.name))
    config = folder / "node.toml"
    write_atomically(config, f"outbox = {json.dumps(str(outbox))}\n".encode())
    (folder / "pulse").write_text(str(time.time()))
    keys = server.folder(home.folder)
    arguments = [
        *("--superlink", server.address, "--root-certificates", str(keys / "ca.pem")),
        *("--auth-supernode-private-key", str(keys / "key"), "--node-config", str(config)),
        *("--host", "127.0.0.1", "--port", str(free_port())),
    ]
    env = {
        "FLWR_HOME": str(folder),
        PULSE: str(folder / "pulse"),
    }
    return Child(ENTRY, arguments, _log(server, home), env)


def _wait(
    child: Child, server: KnownServer, home: Home, silence_seconds: float, stop: Event
) -> bool:
    """Whether the server let it in; returns when it ended, is silent or shall stop."""
    pulse = home.flower(server.name) / "pulse"
    first, got_in = pulse.stat().st_mtime_ns, False

    def answered() -> bool:
        return pulse.stat().st_mtime_ns != first

    while not stop.is_set():
        if (code := child.wait(1.0)) is not None:
            log.info("the node for %s ended with %s", server.name, code)
            return got_in or answered()
        if not got_in and answered():
            got_in = True
            _trouble(home, server.name).unlink(missing_ok=True)
        if time.time() - pulse.stat().st_mtime > silence_seconds:
            log.warning("the node for %s is silent; starting it again", server.name)
            break
    return got_in
