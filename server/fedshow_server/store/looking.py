"""A database as it is, for whoever wants to know and change nothing."""

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from fedshow.errors import InvalidInput, first_line
from fedshow_server.store.database import make_engine
from fedshow_server.store.migrating import revision_of


@dataclass(frozen=True)
class Seen:
    """What was seen: which version its tables have, or what is wrong."""

    revision: str | None = None
    """None: no tables, or those from before there were migrations."""

    problem: str = ""
    advice: str = ""


def look_at_database(url: str) -> Seen:
    """Whether it answers, and its version. Brings nothing up to date."""
    try:
        engine = make_engine(url)
    except InvalidInput as error:
        return Seen(problem=str(error), advice="correct --database, or FEDSHOW_SERVER_DATABASE")
    try:
        return _look(engine)
    finally:
        engine.dispose()


def missing_file(url: str) -> str | None:
    """SQLite's file that is not there; None when it is, and for other databases. Raises InvalidInput."""
    engine = make_engine(url)
    return engine.url.database if _lacks_file(engine) else None


def _lacks_file(engine: Engine) -> bool:
    file = engine.url.database or ""
    is_path = engine.dialect.name == "sqlite" and not file.startswith("file:")
    return is_path and not Path(file).is_file()


def _look(engine: Engine) -> Seen:
    file = engine.url.database
    is_file = engine.dialect.name == "sqlite"
    if _lacks_file(engine):
        return Seen(
            problem=f"{file} is missing", advice="fedshow server restore BACKUP --data FOLDER"
        )
    try:
        with engine.connect() as connection:
            return Seen(revision_of(connection))
    except SQLAlchemyError as error:
        says = (
            f"{engine.url!r} does not answer: {first_line(getattr(error, 'orig', None) or error)}"
        )
    if is_file:
        return Seen(problem=says, advice="fedshow server restore BACKUP --data NEW-FOLDER")
    return Seen(problem=says, advice="pg_isready says whether it is up; its URL is in server.json")
