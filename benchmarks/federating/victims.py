"""What can be killed in a federation, and how it is found: from outside, as an accident finds it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import psutil
from sqlalchemy import create_engine, text

from benchmarks.federating.working import APPLICATION, Working
from tests.stage.processes import children
from tests.stage.service import Service

Pids = Sequence[int]


@dataclass(frozen=True)
class Kind:
    """One kind of victim."""

    alive: Callable[[], Pids]
    """Those that live now; all of them may be hit."""
    kill: Callable[[int], None]
    within_seconds: float
    """So long at most after it was seen alive it is hit: about as long as its kind lives."""


def kinds(federation: Working) -> dict[str, Kind]:
    """Everything that may die."""
    server, daemons = federation.server, federation.daemons
    alive: dict[str, tuple[Callable[[], Pids], float]] = {
        "daemon": (lambda: [daemon.pid for daemon in daemons], 20),
        "node": (lambda: _children(daemons, "supernode:main"), 20),
        "tuner": (lambda: _children(daemons, "tune_child"), 15),
        "server": (lambda: [server.pid], 20),
        "superlink": (lambda: _children([server], "superlink_process"), 20),
        "fusion": (lambda: _children([server], "fedshow_server.releasing.fusing"), 20),
        "download": (federation.downloader.under_way, 0.1),
    }
    found = {name: Kind(pids, _kill, within) for name, (pids, within) in alive.items()}
    connections = Connections(federation.database)
    return found | {"database": Kind(connections.open, connections.cut, 20)}


class Connections:
    """The server's connections to its database."""

    def __init__(self, url: str) -> None:
        self._url = url.replace("postgresql:", "postgresql+psycopg:")

    def open(self) -> Pids:
        """PostgreSQL's processes behind them."""
        return self._ask("SELECT pid FROM pg_stat_activity WHERE application_name = :of")

    def cut(self, _: int) -> None:
        """All of them, as when the database is restarted."""
        for pid in self.open():
            self._ask("SELECT pg_terminate_backend(:of)", pid)

    def _ask(self, question: str, of: str | int = APPLICATION) -> Pids:
        engine = create_engine(self._url)
        try:
            with engine.connect() as connection:
                return [int(one) for (one,) in connection.execute(text(question), {"of": of})]
        finally:
            engine.dispose()


def _children(services: Sequence[Service], mark: str) -> Pids:
    return [pid for service in services for pid in children(service.pid, mark)]


def _kill(pid: int) -> None:
    psutil.Process(pid).kill()
