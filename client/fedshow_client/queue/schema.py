"""The database's version: older ones are brought up to date when they are opened, newer ones refused."""

from pathlib import Path

from sqlalchemy import Connection, Engine, inspect

from fedshow.errors import InvalidInput
from fedshow_client.queue.rows import Table

STEPS = {
    1: (
        "ALTER TABLE jobs ADD COLUMN priority INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE jobs ADD COLUMN paused BOOLEAN NOT NULL DEFAULT 0",
        "ALTER TABLE jobs ADD COLUMN options JSON NOT NULL DEFAULT '{}'",
        # json_patch leaves out what is null
        "UPDATE jobs SET options = json_patch('{}', json_object('steps', steps, 'seed', seed))",
        "ALTER TABLE jobs DROP COLUMN steps",
        "ALTER TABLE jobs DROP COLUMN seed",
    ),
    2: (),  # the table of what is the latest
    3: ("""ALTER TABLE jobs ADD COLUMN visible_to JSON NOT NULL DEFAULT '["everybody"]'""",),
}
"""What makes the next version of each one; new tables need no step."""

VERSION = max(STEPS) + 1


def prepare(engine: Engine, path: Path) -> None:
    """Makes the tables, or brings those of an older fedshow up to date, in one transaction.

    Raises InvalidInput when a newer fedshow has written the database.
    """
    with engine.begin() as connection:
        found = _version(connection)
        if found > VERSION:
            raise InvalidInput(
                f"{path} is of version {found}, this fedshow knows up to {VERSION}: update fedshow"
            )
        if found == VERSION:
            return
        for version in range(found, VERSION) if found else ():
            for statement in STEPS[version]:
                connection.exec_driver_sql(statement)
        Table.metadata.create_all(connection)
        connection.exec_driver_sql(f"PRAGMA user_version = {VERSION}")


def _version(connection: Connection) -> int:
    """0 for an empty database; the first version did not say its number."""
    found = int(connection.exec_driver_sql("PRAGMA user_version").scalar_one())
    return found or int(inspect(connection).has_table("jobs"))
