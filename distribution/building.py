"""Wheel and sdist, made so that whoever makes them again gets the same bytes."""

import os
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Packages:
    """One wheel and one sdist."""

    wheel: Path
    sdist: Path

    @property
    def files(self) -> tuple[Path, Path]:
        """Both."""
        return self.wheel, self.sdist


def build(source: Path, out: Path, epoch: int) -> Packages:
    """Both packages of the source tree, in `out`; every file in them is dated `epoch`."""
    _hatchling(source, out, epoch, "wheel", "sdist")
    return Packages(_sole(out, "*.whl"), _sole(out, "*.tar.gz"))


def build_from_sdist(sdist: Path, work: Path, epoch: int) -> Path:
    """The wheel that the sdist gives, as pip makes it where it gets no wheel."""
    with tarfile.open(sdist) as archive:
        archive.extractall(work, filter="data")
    (source,) = work.iterdir()
    _hatchling(source, work / "dist", epoch, "wheel")
    return _sole(work / "dist", "*.whl")


def commit_time(root: Path = ROOT) -> int:
    """Unix time of the commit that is checked out."""
    return int(_git(root, "log", "-1", "--format=%ct"))


def changed_files(root: Path = ROOT) -> list[str]:
    """Tracked files that are not as they were committed."""
    return _git(root, "diff", "--name-only", "HEAD").decode().splitlines()


def export(out: Path, root: Path = ROOT) -> Path:
    """`out`, filled with what is committed and nothing else."""
    with tarfile.open(fileobj=BytesIO(_git(root, "archive", "HEAD"))) as archive:
        archive.extractall(out, filter="data")
    return out


def _hatchling(source: Path, out: Path, epoch: int, *targets: str) -> None:
    chosen = [option for target in targets for option in ("--target", target)]
    command = [sys.executable, "-m", "hatchling", "build", "--directory", str(out), *chosen]
    environment: Mapping[str, str] = os.environ | {"SOURCE_DATE_EPOCH": str(epoch)}
    subprocess.run(command, cwd=source, env=environment, check=True, capture_output=True)


def _sole(folder: Path, pattern: str) -> Path:
    (found,) = folder.glob(pattern)
    return found


def _git(root: Path, *arguments: str) -> bytes:
    return subprocess.run(
        ["git", "-C", str(root), *arguments], check=True, capture_output=True
    ).stdout
