"""One database for all of the server's processes: SQLite by default, PostgreSQL by URL."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy
from sqlalchemy import URL, Connection, Engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as NoneFree

from fedshow.errors import InvalidInput, Unreachable
from fedshow_server.store.migrating import bring_up_to_date

BUSY_TIMEOUT_SECONDS = 30
PATIENCE_SECONDS = 20.0
"""So long a transaction waits for a database that is being restarted."""
PAUSE_SECONDS = 0.5
CONNECT_SECONDS = 5
MOST_THREADS = 32  # asyncio's pool has no more
WRITES = "fedshow_writes"
CHANGES_TABLES = "fedshow_changes_tables"
WRITERS_LOCK = 0x6665_6473_686F_77
"""PostgreSQL's advisory lock that a writing transaction holds."""
POSTGRESQL = ("postgresql", "postgres")


class Database:
    """Transactions: `reading()` sees one state, `writing()` happens as a whole or not at all.

    Both raise Unreachable when the database does not answer, or stops answering in between.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        isolated = {"isolation_level": "REPEATABLE READ"} if _is_remote(engine) else {}
        self._reader = engine.execution_options(**isolated)
        self._writer = engine.execution_options(**{WRITES: True})

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection on one unchanging state."""
        with self._transaction(self._reader) as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A connection that nobody else writes beside; commits at the end."""
        with self._transaction(self._writer) as connection:
            yield connection

    @contextmanager
    def changing_tables(self) -> Iterator[Connection]:
        """As `writing`; SQLite changes a table by making another, which references do not survive."""
        with self._transaction(self._writer.execution_options(**{CHANGES_TABLES: True})) as found:
            yield found

    def problem(self) -> str:
        """What is wrong with it just now, empty when nothing is; does not wait for it."""
        try:
            with self._engine.connect() as connection:
                connection.execute(text("SELECT 1"))
        except (DBAPIError, NoneFree) as error:
            return f"does not answer: {str(error).strip()[:200]}"
        return ""

    def close(self) -> None:
        """Gives all connections back."""
        self._engine.dispose()

    @contextmanager
    def _transaction(self, engine: Engine) -> Iterator[Connection]:
        try:
            with _connected(engine) as connection, connection.begin():
                yield connection
        except DBAPIError as error:
            if error.connection_invalidated or _is_busy(error):
                raise _unreachable(error) from error
            raise


def open_database(url: str) -> Database:
    """The database at `url`, its tables made or brought up to date. Raises InvalidInput."""
    engine = make_engine(url)
    database = Database(engine)
    try:
        engine.connect().close()  # one that cannot be had from the start is not waited for
        with database.changing_tables() as connection:
            bring_up_to_date(connection)
    except OperationalError as error:
        database.close()
        raise InvalidInput(f"database {engine.url!r} cannot be opened: {error.orig}") from None
    except BaseException:
        database.close()
        raise
    return database


def make_engine(url: str) -> Engine:
    """What connects to `url`, our way; nothing is connected yet. Raises InvalidInput."""
    try:
        parsed = _with_driver(make_url(url))
    except ArgumentError:
        raise InvalidInput(
            "the database's URL cannot be read: use sqlite:///FILE or "
            "postgresql://USER:PASSWORD@HOST:PORT/NAME"
        ) from None
    try:
        engine = sqlalchemy.create_engine(
            parsed,
            pool_pre_ping=True,
            max_overflow=MOST_THREADS,
            connect_args=_connect_arguments(parsed),
        )
    except (ArgumentError, ImportError) as error:
        wanted = " (pip install 'fedshow[postgres]')" if _is_postgresql(parsed) else ""
        raise InvalidInput(f"database {parsed!r}: {error!s:.200}{wanted}") from None
    if engine.dialect.name == "sqlite":
        _prepare_sqlite(engine)
    elif _is_remote(engine):
        _prepare_postgresql(engine)
    return engine


def _with_driver(url: URL) -> URL:
    return url.set(drivername="postgresql+psycopg") if url.drivername in POSTGRESQL else url


def _is_postgresql(url: URL) -> bool:
    return url.drivername.startswith(POSTGRESQL)


def _is_remote(engine: Engine) -> bool:
    return engine.dialect.name == "postgresql"


def _connect_arguments(url: URL) -> dict[str, Any]:
    """A server that went away without a word is noticed within a minute."""
    if not _is_postgresql(url):
        return {}
    return {
        "connect_timeout": CONNECT_SECONDS,
        "keepalives_idle": 20,
        "keepalives_interval": 10,
        "keepalives_count": 3,
    }


@contextmanager
def _connected(engine: Engine) -> Iterator[Connection]:
    """A connection that was alive just now; raises Unreachable after waiting for a while."""
    until = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            connection = engine.connect()
            break
        except NoneFree:
            raise Unreachable("all connections to the database are in use") from None
        except OperationalError as error:
            if not _is_remote(engine) or time.monotonic() > until:
                raise _unreachable(error) from error
            time.sleep(PAUSE_SECONDS)
    with connection:
        yield connection


def _unreachable(error: DBAPIError) -> Unreachable:
    return Unreachable(f"the database does not answer: {str(error.orig).strip()[:200]}")


def _is_busy(error: DBAPIError) -> bool:
    """Another process wrote for longer than anybody waits."""
    code = getattr(error.orig, "sqlite_errorname", None) or getattr(error.orig, "sqlstate", None)
    return code in ("SQLITE_BUSY", "55P03")


def _prepare_sqlite(engine: Engine) -> None:
    """WAL, enforced references, and transactions that begin when we say so."""

    @event.listens_for(engine, "connect")
    def connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # the driver shall not begin transactions on its own
        connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_SECONDS * 1000}")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")  # acknowledged means on the disk

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        checked = not connection.get_execution_options().get(CHANGES_TABLES, False)
        connection.exec_driver_sql(f"PRAGMA foreign_keys = {checked:d}")  # only before it begins
        connection.exec_driver_sql("BEGIN IMMEDIATE" if _writes(connection) else "BEGIN")


def _prepare_postgresql(engine: Engine) -> None:
    """One writer at a time, as with SQLite: checks and what follows from them stay together."""

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        if _writes(connection):
            connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{BUSY_TIMEOUT_SECONDS}s'")
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({WRITERS_LOCK})")


def _writes(connection: Connection) -> bool:
    return bool(connection.get_execution_options().get(WRITES, False))
