"""What databases do under load and after accidents, and how their tables change."""

from concurrent.futures import ThreadPoolExecutor
from threading import Timer

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text
from sqlalchemy.exc import IntegrityError

from fedshow.errors import InvalidInput, Unreachable
from fedshow_server.store import database, open_store
from fedshow_server.store.migrating import REVISION, alembic_config, bring_up_to_date
from fedshow_server.store.tables import metadata
from tests.server.store.making import DAY, offer
from tests.stage.waiting import PATIENCE_SECONDS


def test_two_writers_never_see_each_others_halves(store, anna, bob):
    """Of several nodes that want one name at once, one gets it."""

    def want(number):
        node = (anna, bob)[number % 2]
        try:
            return store.concepts.submit(node.id, offer("potter", f"{node.name}"), 100).owner
        except InvalidInput:
            return None

    with ThreadPoolExecutor(8) as pool:
        owners = set(pool.map(want, range(24)))
    assert len(owners - {None}) == 1


def test_database_that_is_restarted(postgres, tmp_path, monkeypatch):
    """A connection that was lost is made anew; a transaction it was lost in says so."""
    monkeypatch.setattr(database, "PATIENCE_SECONDS", PATIENCE_SECONDS)  # it may start slowly
    store = open_store(postgres.new_database(), tmp_path / "blobs")
    store.members.invite("anna", DAY)
    postgres.stop()
    starting = Timer(1.0, postgres.start)
    starting.start()
    assert store.members.invite("bob", DAY)  # waits for it
    starting.join()

    def interrupted():
        with store.database.writing() as connection:
            connection.execute(text("DELETE FROM invites"))
            postgres.stop()
            postgres.start()
            connection.execute(text("SELECT 1"))

    with pytest.raises(Unreachable, match="database"):
        interrupted()
    with store.database.reading() as connection:
        assert connection.scalar(text("SELECT count(*) FROM invites")) == 2
    store.close()


def test_sqlite_is_told_what_we_rely_on(tmp_path):
    store = open_store(f"sqlite:///{tmp_path / 'x.db'}", tmp_path)
    with store.database.reading() as connection:
        asked = ("journal_mode", "foreign_keys", "synchronous", "busy_timeout")
        found = [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in asked]
    assert found == ["wal", 1, 2, 30_000]
    store.close()


def test_database_that_cannot_be_opened(tmp_path):
    nobody = "postgresql://x:secret@127.0.0.1:1/x"
    for url in (
        f"sqlite:///{tmp_path}/no/folder/x.db",
        "no url",
        "nodriver://a:secret@h/x",
        nobody,
    ):
        with pytest.raises(InvalidInput, match="database") as refused:
            open_store(url, tmp_path)
        assert "secret" not in str(refused.value)


def test_other_schema_version_is_refused(store, tmp_path):
    with store.database.writing() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '999'"))
        with pytest.raises(InvalidInput, match="schema version 999"):
            bring_up_to_date(connection)


def test_migrations_lead_to_the_tables_that_are_used(store):
    """Nobody changed a table without a migration."""
    with store.database.writing() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
        script = ScriptDirectory.from_config(alembic_config(connection))
        assert script.get_current_head() == REVISION


def test_migrations_keep_what_there_is(store, anna):
    """Also what others refer to: SQLite makes a table anew to change it."""
    store.concepts.submit(anna.id, offer("potter", "1"), 100)
    with store.database.changing_tables() as connection:
        command.downgrade(alembic_config(connection), "0002")
    with store.database.changing_tables() as connection:
        bring_up_to_date(connection)
    assert store.members.nodes() == [anna]
    assert [concept.owner for concept in store.concepts.all()] == ["anna"]
    with pytest.raises(IntegrityError):
        store.concepts.submit(99, offer("dobby", "2"), 100)


def test_database_from_before_migrations_is_taken_over(tmp_path):
    url = f"sqlite:///{tmp_path / 'x.db'}"
    store = open_store(url, tmp_path)
    store.members.invite("anna", DAY)
    with store.database.writing() as connection:
        command.downgrade(alembic_config(connection), "0001")
        connection.execute(text("DROP TABLE alembic_version"))
        connection.execute(text("CREATE TABLE schema (version INTEGER PRIMARY KEY)"))
        connection.execute(text("INSERT INTO schema VALUES (1)"))
    store.close()
    store = open_store(url, tmp_path)
    with store.database.reading() as connection:
        assert connection.scalar(text("SELECT node_name FROM invites")) == "anna"
        assert "schema" not in inspect(connection).get_table_names()
        assert connection.scalar(text("SELECT version_num FROM alembic_version")) == REVISION
    store.close()
