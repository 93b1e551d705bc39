"""The data folder: where each thing lies, and the one server that may use it at a time."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from pydantic import BaseModel, ConfigDict

from fedshow.documents import BadDocument, read_document
from fedshow.errors import InvalidInput
from fedshow.families.card import BaseCard
from fedshow.files import write_atomically
from fedshow.joining import Address, NodeName
from fedshow.locks import claimed, locked
from fedshow_server import layout
from fedshow_server.calls import by_owner
from fedshow_server.store import Store, open_store
from fedshow_server.store.looking import missing_file

PRIVATE_FOLDER = 0o700

DATA_VARIABLE = "FEDSHOW_SERVER_DATA"
"""Tells the ServerApp, a grandchild of ours, where the data folder is."""


class Facts(BaseModel):
    """What the server's other processes and commands need of the one that runs."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: NodeName
    address: Address
    grpc: Address
    database: str
    store: str | None = None
    """Where content lies; None: in the data folder."""


class DescribedBase(BaseModel):
    """The base as it was described once, by which version."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    base: str
    fedshow: str
    card: BaseCard
    files: str = ""
    """Which files it was then; empty for a base that is in no folder or file of its own."""


class DataFolder:
    """Paths below one folder; made when missing, readable by the owner only."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.ca = path / layout.CERTIFICATES
        self.certificates = layout.Certificates.below(self.ca)
        self.flower = path / "flower"
        self.superlink_database = path / layout.SUPERLINK_DATABASE
        self.logs = path / "logs"
        self.blobs = path / layout.BLOBS
        self.work = path / "work"
        self.ledgers = path / "ledgers"
        self.drawings = path / "drawings"
        self._facts = path / layout.FACTS
        self._base = path / layout.BASE

    def make(self) -> None:
        """Makes the folders. Raises InvalidInput."""
        try:
            for folder in (
                self.path,
                self.ca,
                self.flower,
                self.logs,
                self.blobs,
                self.work,
                self.drawings,
            ):
                folder.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
        except OSError as error:
            raise InvalidInput(f"data folder {self.path}: {error.strerror}") from None

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """Inside, no other server may use this folder. Raises InvalidInput."""
        with (self.path / "lock").open("w") as lock:
            if not claimed(lock):
                raise InvalidInput(
                    f"a server runs on {self.path} already: stop it or choose another --data"
                )
            yield

    def is_claimed(self) -> bool:
        """Whether a server runs on this folder."""
        try:
            with (self.path / "lock").open() as lock:
                return not locked(lock, shared=True)
        except FileNotFoundError:
            return False

    @contextmanager
    def workplace(self, task: str) -> Iterator[Path]:
        """A folder below `work` for one process, gone afterwards."""
        with TemporaryDirectory(dir=self.work, prefix=f"{task}-") as place:
            yield Path(place)

    def clear_work(self, task: str) -> None:
        """Deletes the workplaces of processes that were killed."""
        for place in self.work.glob(f"{task}-*"):
            shutil.rmtree(place, ignore_errors=True)

    def keep_facts(self, facts: Facts) -> None:
        """Leaves the facts for the other processes; the database's URL may hold a password."""
        write_atomically(self._facts, facts.model_dump_json(indent=2).encode())

    def facts(self) -> Facts:
        """The facts of the server that runs here, or ran last. Raises InvalidInput."""
        try:
            return read_document(Facts, self._facts.read_bytes())
        except (OSError, BadDocument):
            raise InvalidInput(
                f"no server has run on {self.path} yet: start 'fedshow server run --data "
                f"{self.path}' first"
            ) from None

    def keep_base(self, described: DescribedBase) -> None:
        """Keeps the base's description: making one takes seconds."""
        write_atomically(self._base, described.model_dump_json(indent=2).encode())

    def base(self) -> DescribedBase | None:
        """The description kept, when there is a readable one."""
        try:
            return read_document(DescribedBase, self._base.read_bytes())
        except (OSError, BadDocument):
            return None

    def check_database(self) -> None:
        """Raises InvalidInput when the database is a file that is not there: opening it would make one."""
        if (file := missing_file(self.facts().database)) is not None:
            raise InvalidInput(f"the database {file} is missing").then(
                "bring it back, or: fedshow server restore BACKUP --data NEW-FOLDER"
            )

    def open_store(self) -> Store:
        """The store of the server that runs here, or ran last. Raises InvalidInput."""
        facts = self.facts()
        return open_store(facts.database, facts.store or self.blobs)


@contextmanager
def owners_store(folder: DataFolder) -> Iterator[Store]:
    """The store of the server that keeps this folder; changes inside are the owner's. Raises InvalidInput."""
    folder.check_database()
    store = folder.open_store()
    try:
        with by_owner():
            yield store
    finally:
        store.close()
