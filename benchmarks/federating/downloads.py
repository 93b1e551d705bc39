"""Many downloads at once, each cut off at random bytes and taken up again, by fedshow's own code."""

import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree
from typing import Any

from fedshow.errors import FedshowError
from fedshow.releases import verify_release
from fedshow.releases.signing import signer_of
from fedshow.transfer.connection import Connection
from fedshow.transfer.folder import pull_release
from fedshow.transfer.servers import KnownServer

MOST_ABORTS = 4


class Aborted(Exception):
    """Somebody pulled the plug."""


@dataclass(frozen=True)
class Download:
    """One client's, and when it gives up by itself."""

    server: KnownServer
    release: str
    out: Path
    random: random.Random

    def run(self) -> int:
        """How often it was cut off; raises FedshowError unless every byte is right and signed."""
        aborts = sum(self._cut_off() for _ in range(self.random.randint(1, MOST_ABORTS)))
        with Connection(self.server) as connection:
            pull_release(connection, self.release, self.out, patience_seconds=600)
        manifest = verify_release(self.out)
        if manifest.release != self.release or signer_of(self.out) != self.server.signing_key:
            raise FedshowError(f"release {manifest.release} came, {self.release} was wanted")
        rmtree(self.out)
        return aborts

    def _cut_off(self) -> bool:
        """Begins, or goes on, up to a random byte of those that are missing; False: there was none."""
        end: int | None = None

        def stop_there(here: int, total: int) -> None:
            nonlocal end
            end = self.random.randint(here, total) if end is None else end
            if here >= end:
                raise Aborted

        if self.out.exists():
            return False
        try:
            with Connection(self.server) as connection:
                pull_release(connection, self.release, self.out, on_progress=stop_there)
        except Aborted:
            return True
        return False


def measure_downloads(
    servers: Sequence[KnownServer], release: str, work: Path, seed: int
) -> dict[str, Any]:
    """All of them at once; those that failed are named with the reason."""

    def run(number: int) -> int | str:
        chance = random.Random(f"{seed} {number}")
        try:
            return Download(servers[number], release, work / str(number), chance).run()
        except (FedshowError, OSError) as error:
            return f"{number}: {type(error).__name__}: {error}"

    work.mkdir()
    with ThreadPoolExecutor(len(servers)) as threads:
        found = list(threads.map(run, range(len(servers))))
    aborts = [one for one in found if isinstance(one, int)]
    return {
        "downloads": len(found),
        "downloads_verified": len(aborts),
        "downloads_failed": [one for one in found if isinstance(one, str)],
        "aborts": sum(aborts),
    }
