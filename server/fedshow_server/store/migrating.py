"""Bringing a database's tables up to date: Alembic's migrations, inside one transaction."""

import logging
from typing import Any

from sqlalchemy import Connection, inspect, text

from fedshow.errors import InvalidInput

REVISION = "0008"
"""The newest migration in `migrations/versions`."""
FIRST_REVISION = "0001"
BEFORE_ALEMBIC = 1
"""The only version of the `schema` table that there was."""

logging.getLogger("alembic").setLevel(logging.WARNING)


def bring_up_to_date(connection: Connection) -> None:
    """Makes or changes tables until they are this fedshow's. Raises InvalidInput."""
    found = _revision(connection)
    if found == REVISION:
        return
    from alembic import command  # a tenth of a second that only migrating costs
    from alembic.util import CommandError

    config = alembic_config(connection)
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise InvalidInput(
            f"the database has schema version {found}, this fedshow knows those up to {REVISION}: "
            f"use the fedshow that wrote it, or a newer one ({error})"
        ) from None


def alembic_config(connection: Connection) -> Any:
    """Alembic's settings for our migrations on this connection."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "fedshow_server.store:migrations")
    config.attributes["connection"] = connection
    return config


def revision_of(connection: Connection) -> str | None:
    """The migration that a database is at; None without tables, or with those from before there were any."""
    if "alembic_version" not in inspect(connection).get_table_names():
        return None
    return str(connection.scalar(text("SELECT version_num FROM alembic_version")))


def _revision(connection: Connection) -> str | None:
    """The same of a database that is adopted first, if need be."""
    if "schema" in inspect(connection).get_table_names():
        _adopt(connection)
        return FIRST_REVISION
    return revision_of(connection)


def _adopt(connection: Connection) -> None:
    """A database from before there were migrations."""
    version = connection.scalar(text("SELECT version FROM schema"))
    if version != BEFORE_ALEMBIC:
        raise InvalidInput(f"the database has schema version {version}, which no fedshow wrote")
    from alembic import command

    connection.execute(text("DROP TABLE schema"))
    command.stamp(alembic_config(connection), FIRST_REVISION)
