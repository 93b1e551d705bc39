"""The servers that this user has joined: one folder each under the home folder."""

import os
from pathlib import Path

from fedshow.documents import BadDocument, read_document
from fedshow.errors import FedshowError, NotFound
from fedshow.files import write_atomically
from fedshow.joining import Address, JoinReply, NodeName
from fedshow.transfer.forms import Form

RECORD = "server.json"
JOINING = "ask the server's owner for a code, then fedshow client join CODE"
PRIVATE_FOLDER = 0o700


class KnownServer(JoinReply):
    """How to reach and recognise one joined server, and who we are there."""

    name: NodeName
    """What this user calls it; its own name unless two have the same."""
    address: Address
    """HTTPS, also Flower's fleet calls."""
    base_source: str
    """What `--base` gets when tuning: the base's name, or a folder on this machine."""
    ca_pem: str

    def folder(self, home: Path) -> Path:
        """Where its record and this node's key lie."""
        return home / "servers" / self.name

    def copy_folder(self, home: Path, form: Form) -> Path:
        """Where the daemon keeps a copy of its newest release, when it is told to."""
        return home / "releases" / form / self.name


def home_folder() -> Path:
    """FEDSHOW_HOME, or ~/.fedshow."""
    return Path(os.environ.get("FEDSHOW_HOME") or "~/.fedshow").expanduser().absolute()


def private_folder(path: Path) -> Path:
    """`path` as a folder that only its owner can look into."""
    path.mkdir(parents=True, exist_ok=True, mode=PRIVATE_FOLDER)
    path.chmod(PRIVATE_FOLDER)
    return path


def save_server(server: KnownServer, home: Path) -> None:
    """Remembers the server; files are readable by their owner only."""
    folder = private_folder(server.folder(home))
    private_folder(home)
    write_atomically(folder / "ca.pem", server.ca_pem.encode())
    write_atomically(folder / RECORD, server.model_dump_json(indent=2).encode())


def known_servers(home: Path) -> list[KnownServer]:
    """All joined servers by name."""
    records = sorted((home / "servers").glob(f"*/{RECORD}"))
    return [_read(record) for record in records]


def joined_names(home: Path) -> list[str]:
    """What the joined servers are called here; nothing of them is read."""
    return sorted(record.parent.name for record in (home / "servers").glob(f"*/{RECORD}"))


def find_server(name: str, home: Path) -> KnownServer:
    """The joined server with this name or address; raises NotFound listing those there are."""
    servers = known_servers(home)
    for server in servers:
        if name in (server.name, server.address, server.grpc):
            return server
    listed = ", ".join(server.name for server in servers) or "none yet"
    raise NotFound(f"no joined server {name!r}; joined: {listed}").then(JOINING)


def _read(record: Path) -> KnownServer:
    try:
        return read_document(KnownServer, record.read_bytes())
    except (OSError, BadDocument) as error:
        raise FedshowError(
            f"{record} is unreadable ({type(error).__name__}): delete {record.parent} and join again"
        ) from error
