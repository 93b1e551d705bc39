"""Flower's SuperLink as our child process: the stock program, ended when the server is gone.

Besides the client's `supernode` the only place that touches Flower's private parts.
"""

import sys
from importlib import import_module
from typing import Any

from fedshow_server.children import die_with_parent

LOCK_SECONDS = 60
"""So long a write waits for others; with Flower's own 5 s some of hundreds of nodes are told of an error."""


def main() -> None:
    """Runs `flower-superlink` with this process's arguments."""
    die_with_parent()
    from flwr.superlink.cli import flower_superlink

    wait_for_locks()
    sys.argv[0] = "flower-superlink"
    flower_superlink()


def wait_for_locks() -> None:
    """Makes Flower's SQLite connections patient."""
    sql: Any = import_module("flwr.supercore.sql_mixin")
    pragmas = dict(sql.SQLITE_PRAGMAS)
    assert "busy_timeout" in pragmas, "Flower has renamed its setting"
    sql.SQLITE_PRAGMAS = tuple((pragmas | {"busy_timeout": str(LOCK_SECONDS * 1000)}).items())


if __name__ == "__main__":
    main()
