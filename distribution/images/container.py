"""An image at work, as `docker run --read-only` has it: as its own user, writing to its volumes alone."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from distribution.images.building import Image
from distribution.images.rootfs import Inside, Mount, command, run

PATIENCE_SECONDS = 1800  # a busy machine is no failure


@dataclass
class Container:
    """One container of an image, with new volumes below `work`."""

    image: Image
    work: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    beside: "Container | None" = None
    """Whose network it shares, as with `docker run --network container:NAME`."""
    process: "subprocess.Popen[bytes] | None" = None

    def __post_init__(self) -> None:
        """New volumes, filled and owned like the folders in the image."""
        shutil.rmtree(self.work, ignore_errors=True)
        for volume in self.image.volumes:
            subprocess.run(["cp", "-a", self.image.place(volume), self._folder(volume)], check=True)
        (self.work / "hosts").write_text("127.0.0.1 localhost\n")  # an engine brings it, too

    def __enter__(self) -> "Container":
        """Itself; nothing of it is left when the block ends, however that ends."""
        return self

    def __exit__(self, *_: object) -> None:
        """Kills what still runs; what it started goes with it."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def start(self) -> None:
        """Starts what the image starts."""
        with (self.work / "log").open("wb") as log:
            self.process = subprocess.Popen(
                self._line(self.image.entrypoint + self.image.command), stdout=log, stderr=log
            )

    def wait_until_healthy(self) -> float:
        """Seconds until the image's own health check is content."""
        began = time.monotonic()
        while time.monotonic() < began + PATIENCE_SECONDS:
            assert self.process is not None
            assert self.process.poll() is None, self.log()
            if self._healthy():
                return time.monotonic() - began
            time.sleep(1)
        raise TimeoutError(f"not healthy after {PATIENCE_SECONDS} s: {self.log()}")

    def call(self, *arguments: str) -> str:
        """What the image's program prints, given these arguments."""
        return self.run(*self.image.entrypoint, *arguments)

    def run(self, *arguments: str) -> str:
        """What a program prints that runs beside what was started, as with `docker exec`."""
        return run(self.image.root, arguments, self._inside())

    def stop(self) -> int:
        """Its exit status once it was told to end, as `docker stop` does."""
        assert self.process is not None
        (init,) = children(self.process.pid)
        (started,) = children(init)
        os.kill(started, signal.SIGTERM)
        return self.process.wait(PATIENCE_SECONDS)

    def log(self) -> str:
        """What it wrote."""
        return (self.work / "log").read_text()

    def _healthy(self) -> bool:
        line = self._line(self.image.health)
        return subprocess.run(line, capture_output=True, check=False).returncode == 0

    def _line(self, arguments: list[str]) -> list[str]:
        return command(self.image.root, arguments, self._inside())

    def _inside(self) -> Inside:
        image = self.image
        volumes = (Mount(self._folder(volume), volume) for volume in image.volumes)
        neighbour = self if self.process else self.beside
        home = {"HOME": "/home/fedshow"}
        return Inside(
            home | image.environment | dict(self.environment),
            image.user,
            image.folder,
            (*volumes, Mount(self.work / "hosts", "/etc/hosts"), Mount(None, "/tmp")),  # noqa: S108
            read_only=True,
            network_of=neighbour.process.pid if neighbour and neighbour.process else None,
        )

    def _folder(self, volume: str) -> Path:
        self.work.mkdir(parents=True, exist_ok=True)
        return self.work / volume.strip("/").replace("/", "-")


def children(process: int) -> list[int]:
    """Those that a process has started."""
    listed = Path(f"/proc/{process}/task/{process}/children").read_text()
    return [int(child) for child in listed.split()]
