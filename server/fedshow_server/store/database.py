"""One database for all of the server's processes: SQLite by default, any SQLAlchemy URL."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy
from sqlalchemy import Connection, Engine, event, insert, select
from sqlalchemy.exc import ArgumentError, OperationalError

from fedshow.errors import InvalidInput
from fedshow_server.store.tables import SCHEMA_VERSION, metadata, schema

BUSY_TIMEOUT_SECONDS = 30
IMMEDIATE = "fedshow_immediate"


class Database:
    """Transactions: `reading()` sees one state, `writing()` happens as a whole or not at all."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._writer = engine.execution_options(**{IMMEDIATE: True})

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection on one unchanging state."""
        with self._engine.begin() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A connection that nobody else writes beside (SQLite); commits at the end."""
        with self._writer.begin() as connection:
            yield connection

    def close(self) -> None:
        """Gives all connections back."""
        self._engine.dispose()


def open_database(url: str) -> Database:
    """The database at `url`, its tables made when missing. Raises InvalidInput."""
    try:
        engine = sqlalchemy.create_engine(url)
    except (ArgumentError, ImportError) as error:
        raise InvalidInput(f"database {url!r}: {error!s:.200}") from None
    if engine.dialect.name == "sqlite":
        _prepare_sqlite(engine)
    database = Database(engine)
    try:
        _make_tables(database)
    except OperationalError as error:
        database.close()
        raise InvalidInput(f"database {engine.url!r} cannot be opened: {error.orig}") from None
    return database


def _make_tables(database: Database) -> None:
    with database.writing() as connection:
        metadata.create_all(connection)
        found = connection.scalar(select(schema.c.version))
        if found is None:
            connection.execute(insert(schema).values(version=SCHEMA_VERSION))
        elif found != SCHEMA_VERSION:
            raise InvalidInput(
                f"the database has schema version {found}, this fedshow needs {SCHEMA_VERSION}"
            )


def _prepare_sqlite(engine: Engine) -> None:
    """WAL, enforced references, and transactions that begin when we say so."""

    @event.listens_for(engine, "connect")
    def connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # the driver shall not begin transactions on its own
        connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_SECONDS * 1000}")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")  # acknowledged means on the disk
        connection.execute("PRAGMA foreign_keys = ON")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        immediate = connection.get_execution_options().get(IMMEDIATE, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")
