"""Which content the database counts on, for whoever moves both."""

from collections.abc import Container

from sqlalchemy import select

from fedshow.errors import Damaged
from fedshow_server.store.concept_rows import KEPT
from fedshow_server.store.database import Database
from fedshow_server.store.tables import concepts, release_files

MOST_NAMED = 5


def check_content(database: Database, there: Container[str], where: str) -> None:
    """Raises Damaged unless `there` has every digest that the database names; changes nothing."""
    needed = _needed(database)
    missing = [f"{digest} ({needed[digest]})" for digest in sorted(needed) if digest not in there]
    if missing:
        more = f" and {len(missing) - MOST_NAMED} more" if len(missing) > MOST_NAMED else ""
        named = ", ".join(missing[:MOST_NAMED])
        raise Damaged(f"{where} lacks content that the database names: {named}{more}")


def _needed(database: Database) -> dict[str, str]:
    """What needs it, by digest: files of releases, and of concepts that are in or wait for the owner."""
    files = select(release_files.c.sha256, release_files.c.path, release_files.c.release_id)
    kept = select(concepts.c.sha256, concepts.c.name).where(concepts.c.state.in_(KEPT))
    with database.reading() as connection:
        found = {row.sha256: f"{row.path} of {row.release_id}" for row in connection.execute(files)}
        return found | {row.sha256: f"concept {row.name}" for row in connection.execute(kept)}
