"""A clean environment with the wheel in it, and what a stranger does there first."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from distribution.building import ROOT
from distribution.contents import PACKAGES

SLICE = (  # of every part that a missing file would break
    "tests/distribution/test_packages.py::test_what_is_tested_is_the_wheel",
    "tests/shared/test_program.py",
    "tests/shared/test_concept_file.py",
    "tests/shared/test_releases.py",
    "tests/client/page/test_door.py",
    "tests/client/page/test_pages.py",
    "tests/client/test_commands.py",
    "tests/client/tuning/watching/test_report.py",
    "tests/server/test_commands.py",
    "tests/server/test_hub.py",
    "tests/server/test_web.py",
)
TEST_TOOLS = ("pytest", "pytest-timeout", "hypothesis")


@dataclass(frozen=True)
class Environment:
    """A virtual environment that knows nothing of the source tree."""

    folder: Path

    @classmethod
    def make(cls, folder: Path) -> "Environment":
        """A new one with nothing but pip."""
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        return cls(folder)

    def install(self, *requirements: str) -> None:
        """Installs from wheels alone: whatever wants a compiler fails here."""
        pip = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check")
        known = ("--constraint", str(ROOT / "constraints.txt"), "--only-binary", ":all:")
        self.run(ROOT, "python", *pip, *known, *requirements)

    def run(self, where: Path, program: str, *arguments: str) -> None:
        """Runs the program; it finds nothing of ours but what is installed."""
        self._start(where, None, program, *arguments)

    def ask(self, where: Path, program: str, *arguments: str) -> str:
        """What the program prints."""
        return self._start(where, subprocess.PIPE, program, *arguments).stdout

    def _start(
        self, where: Path, out: int | None, program: str, *arguments: str
    ) -> "subprocess.CompletedProcess[str]":
        command = [str(self.folder / "bin" / program), *arguments]
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        environment |= {"FEDSHOW_WHEEL_ENVIRONMENT": str(self.folder)}
        return subprocess.run(
            command, cwd=where, env=environment, stdout=out, text=True, check=True
        )


def try_program(environment: Environment, empty: Path, version: str) -> None:
    """The program says its version and makes the demo in a folder where nothing else is."""
    said = environment.ask(empty, "fedshow", "--version").strip()
    assert said == version, f"the wheel says {said}, the source tree {version}"
    environment.run(empty, "fedshow", "demo", "--out", "demo")
    for made in ("grid.png", "report.json", "release/manifest.json"):
        assert (empty / "demo" / made).is_file(), f"the demo left no {made}"


def try_tests(environment: Environment, source: Path, empty: Path) -> None:
    """A slice of the source tree's tests passes on the wheel, and proves that it was the wheel."""
    packages = shutil.ignore_patterns(*PACKAGES.values())
    shutil.copytree(
        source,
        empty,
        dirs_exist_ok=True,
        ignore=lambda folder, names: packages(folder, names) if Path(folder) == source else set(),
    )
    environment.run(empty, "python", "-m", "pytest", *SLICE)
