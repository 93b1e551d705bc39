"""The audit log: who did what to what, when and from where; each entry seals all before it.

An entry is written in the transaction of the change it tells of. Its hash is the sha256 of the
hash before it and its own words: nothing can be changed, left out or put in between unnoticed.
Whoever knows the head of some day notices when later entries are cut off, too.
"""

import json
import re
from collections.abc import Collection
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Self

from sqlalchemy import Connection, Select, insert, select

from fedshow.errors import Damaged, InvalidInput
from fedshow_server import calls
from fedshow_server.store.database import Database
from fedshow_server.store.tables import audit

START = "0" * 64
"""What stands before the first entry."""
HEAD = re.compile(r"([0-9]{1,9}):([0-9a-f]{64})")
ALL = select(audit).order_by(audit.c.position).execution_options(yield_per=1000)
LONGEST = {"address": 64, "call": 32, "subject": 512, "who": 128}


@dataclass(frozen=True)
class Head:
    """How far the log went at some moment: its last entry."""

    position: int
    hash: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """The head in `POSITION:HASH`; raises InvalidInput."""
        if not (found := HEAD.fullmatch(text)):
            raise InvalidInput(f"{text[:80]!r} is no head of an audit log: POSITION:HASH")
        return cls(int(found[1]), found[2])

    def __str__(self) -> str:
        return f"{self.position}:{self.hash}"


@dataclass(frozen=True)
class Entry:
    """One thing that happened."""

    position: int
    """1, 2, 3, …"""
    at: datetime
    who: str
    address: str
    call: str
    """Id of the call, as in its answer and in log lines; empty when there was none."""
    action: str
    subject: str
    details: dict[str, Any]

    def seal(self, before: str) -> str:
        """The entry's hash after one with the hash `before`."""
        words = json.dumps(asdict(self) | {"at": self.at.isoformat()}, sort_keys=True)
        return sha256(f"{before}\n{words}".encode()).hexdigest()


def note(connection: Connection, action: str, subject: str, **details: str | int | None) -> None:
    """Adds an entry about the current call; it holds when the transaction does."""
    last = _head(connection)
    call = calls.current()
    words = {"who": call.who, "address": call.address, "call": call.id, "subject": subject}
    entry = Entry(
        position=last.position + 1,
        at=datetime.now(UTC),
        action=action,
        details=details,
        **{name: value[: LONGEST[name]] for name, value in words.items()},
    )
    values = asdict(entry) | {"details": json.dumps(details), "hash": entry.seal(last.hash)}
    connection.execute(insert(audit).values(values))


class Audit:
    """The log as its readers see it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def happened(self, action: str, subject: str, **details: str) -> None:
        """Adds an entry about something that changes nothing else."""
        with self._database.writing() as connection:
            note(connection, action, subject, **details)

    def refused(self, reason: str) -> None:
        """The current call was not let in."""
        self.happened("door.refused", calls.current().what, reason=reason[:200])

    def newest(self, actions: Collection[str], after: int = 0) -> int:
        """Position of the newest entry after this one about one of these actions; 0 when there is none."""
        query = select(audit.c.position).where(
            audit.c.action.in_(actions), audit.c.position > after
        )
        with self._database.reading() as connection:
            return connection.scalar(query.order_by(audit.c.position.desc()).limit(1)) or 0

    def head(self) -> Head:
        """The last entry; position 0 while there is none."""
        with self._database.reading() as connection:
            return _head(connection)

    def last(self, count: int) -> list[Entry]:
        """The newest entries, oldest first."""
        query = select(audit).order_by(audit.c.position.desc()).limit(count)
        with self._database.reading() as connection:
            return read_entries(connection, query)[::-1]

    def verify(self, known: Head | None = None) -> Head:
        """The head of a log without a fault. Raises Damaged, with the first entry that is wrong.

        With `known`, a head from earlier, the log must also still contain that.
        """
        last = Head(0, START)
        with self._database.reading() as connection, connection.execute(ALL) as rows:
            for row in rows:
                _check(row, last)
                last = Head(row.position, row.hash)
                if known and known.position == last.position and known.hash != last.hash:
                    raise Damaged(f"audit log: entry {last.position} is not what it was")
        if known and known.position > last.position:
            raise Damaged(
                f"audit log: it ends with entry {last.position}, but there were {known.position}"
            )
        return last


def read_entries(connection: Connection, query: Select[Any]) -> list[Entry]:
    """The entries in these rows of `audit`."""
    return [_entry(row) for row in connection.execute(query)]


def _check(row: Any, last: Head) -> None:
    expected = last.position + 1
    if row.position != expected:
        raise Damaged(f"audit log: entry {expected} is missing, {row.position} comes next")
    try:
        sealed = _entry(row).seal(last.hash)
    except (ValueError, TypeError):  # details that are no JSON
        sealed = ""
    if sealed != row.hash:
        raise Damaged(
            f"audit log: entry {row.position} ({row.action} {row.subject[:80]!r}) was changed"
        )


def _head(connection: Connection) -> Head:
    query = select(audit.c.position, audit.c.hash).order_by(audit.c.position.desc()).limit(1)
    row = connection.execute(query).first()
    return Head(row.position, row.hash) if row else Head(0, START)


def _entry(row: Any) -> Entry:
    return Entry(
        position=row.position,
        at=row.at,
        who=row.who,
        address=row.address,
        call=row.call,
        action=row.action,
        subject=row.subject,
        details=json.loads(row.details),
    )
