"""Whom the client's processes talk to, seen from two sides.

An audit hook in every Python process notes each address that is looked up or connected to, however
short the connection and whether or not it succeeds. gRPC's core does its own networking: the open
sockets of all processes are looked at again and again.
"""

import json
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

AUDIT = Path(__file__).with_name("audit")
LOOPBACK = "127.0.0.1"


class Peers:
    """Watches all children of this process, and their children, but not the `spared` families."""

    def __init__(self, log: Path, *spared: int) -> None:
        self.env = {"PYTHONPATH": str(AUDIT), "AUDIT_LOG": str(log)}
        """For every process that is to be watched."""
        self._log = log
        self._spared = [psutil.Process(pid) for pid in spared]
        self._listening: set[int] = set()
        """Ports that the processes listen on: for each other."""
        self._seen: set[tuple[int, str, int]] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def close(self) -> None:
        """Ends the watch."""
        self._stop.set()
        self._thread.join()

    def commands(self) -> list[str]:
        """The command line of every process that ran."""
        return [" ".join(values) for kind, *values in self._noted() if kind == "start"]

    def met(self) -> set[str]:
        """The other ends of all outgoing connections, and all names that were looked up."""
        outgoing = {f"{ip}:{port}" for own, ip, port in self._seen if own not in self._listening}
        return outgoing | {f"{host}:{port}" for kind, host, port in self._addresses()}

    def strangers(self, allowed: set[str]) -> set[str]:
        """Those met that are neither allowed nor our own processes."""
        return self.met() - allowed - {f"{LOOPBACK}:{port}" for port in self._listening}

    def _addresses(self) -> list[list[Any]]:
        return [entry for entry in self._noted() if entry[0] == "address"]

    def _noted(self) -> list[list[Any]]:
        return [json.loads(line) for line in self._log.read_text().splitlines()]

    def _watch(self) -> None:
        own = psutil.Process()
        while not self._stop.wait(0.1):
            with suppress(psutil.Error):
                for process in set(own.children(recursive=True)).difference(
                    *map(_family, self._spared)
                ):
                    with suppress(psutil.Error):
                        self._look(process)

    def _look(self, process: psutil.Process) -> None:
        for connection in process.net_connections("inet"):
            if connection.status == psutil.CONN_LISTEN:
                self._listening.add(connection.laddr.port)
            elif connection.raddr:
                ip = connection.raddr.ip.removeprefix("::ffff:")  # how gRPC sees IPv4
                self._seen.add((connection.laddr.port, ip, connection.raddr.port))


def _family(process: psutil.Process) -> list[psutil.Process]:
    return [process, *process.children(recursive=True)]
