"""Signs of life of the short Flower runs, written by the runs themselves."""

import time
from datetime import UTC, datetime

from sqlalchemy import delete, insert, select, update

from fedshow_server.store.database import Database
from fedshow_server.store.tables import runs

KEPT_SECONDS = 7 * 24 * 3600.0


class Runs:
    """What a run last did; Flower's own word on it is not enough (it may be gone with the run)."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def beat(self, flower_id: int) -> None:
        """The run lives now."""
        with self._database.writing() as connection:
            mine = runs.c.flower_id == str(flower_id)
            connection.execute(delete(runs).where(runs.c.beat_seconds < time.time() - KEPT_SECONDS))
            changed = connection.execute(update(runs).where(mine).values(beat_seconds=time.time()))
            if not changed.rowcount:
                values = {"flower_id": str(flower_id), "beat_seconds": time.time()}
                connection.execute(insert(runs).values(**values))

    def end(self, flower_id: int) -> None:
        """The run came to its end."""
        with self._database.writing() as connection:
            mine = runs.c.flower_id == str(flower_id)
            connection.execute(update(runs).where(mine).values(ended=datetime.now(UTC)))

    def last_beat(self, flower_id: int) -> float | None:
        """Unix time of the last sign of life; None before the first."""
        with self._database.reading() as connection:
            mine = runs.c.flower_id == str(flower_id)
            found = connection.scalar(select(runs.c.beat_seconds).where(mine))
        return None if found is None else float(found)

    def has_ended(self, flower_id: int) -> bool:
        """Whether the run said that it is done."""
        with self._database.reading() as connection:
            mine = runs.c.flower_id == str(flower_id)
            return connection.scalar(select(runs.c.ended).where(mine)) is not None
