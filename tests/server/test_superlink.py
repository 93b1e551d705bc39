"""What we change of Flower's SuperLink."""

import sqlite3

from fedshow_server.flower.superlink_process import LOCK_SECONDS, wait_for_locks


def test_writes_wait_for_each_other(monkeypatch):
    """Flower would give up after 5 s and tell a node of an error."""
    monkeypatch.setenv("GRPC_VERBOSITY", "NONE")  # or Flower sets it for all that come after us
    from flwr.supercore import sql_mixin

    monkeypatch.setattr(sql_mixin, "SQLITE_PRAGMAS", sql_mixin.SQLITE_PRAGMAS)
    before = dict(sql_mixin.SQLITE_PRAGMAS)
    wait_for_locks()
    with sqlite3.connect(":memory:") as connection:
        sql_mixin._set_sqlite_pragmas(connection, None)
        assert connection.execute("PRAGMA busy_timeout").fetchone() == (LOCK_SECONDS * 1000,)
    assert dict(sql_mixin.SQLITE_PRAGMAS).keys() == before.keys()
