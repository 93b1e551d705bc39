"""What lies where in a server's data folder; costs nothing to import."""

from dataclasses import dataclass
from pathlib import Path

SETTINGS = "server.toml"
FACTS = "server.json"
BASE = "base.json"
DATABASE = "fedshow.db"
"""Unless the settings say otherwise."""
BLOBS = "blobs"
"""Likewise."""
CERTIFICATES = "ca"
SUPERLINK_DATABASE = "flower/superlink.db"


@dataclass(frozen=True)
class Certificates:
    """Where the files lie, PEM all of them."""

    ca: Path
    ca_key: Path
    certificate: Path
    key: Path

    @classmethod
    def below(cls, folder: Path) -> "Certificates":
        """Those in this folder, whether they are there or not."""
        return cls(*(folder / name for name in ("ca.pem", "ca.key", "server.pem", "server.key")))

    @property
    def ca_pem(self) -> bytes:
        """The certificate authority as clients pin it."""
        return self.ca.read_bytes()
