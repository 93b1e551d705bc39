"""A clean environment with the wheel in it, and what a stranger does there first."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from distribution.building import ROOT

SLICE = (  # of every part that a missing file would break
    "tests/distribution/test_packages.py::test_what_is_tested_is_the_wheel",
    "tests/shared/test_program.py",
    "tests/shared/test_concept_file.py",
    "tests/shared/test_releases.py",
    "tests/client/page",
    "tests/client/test_commands.py",
    "tests/client/tuning/watching",
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

    def run(self, where: Path, program: str, *arguments: str) -> str:
        """What the program prints; it finds nothing of ours but what is installed."""
        command = [str(self.folder / "bin" / program), *arguments]
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        environment |= {"FEDSHOW_WHEEL_ENVIRONMENT": str(self.folder)}
        done = subprocess.run(
            command, cwd=where, env=environment, stdout=subprocess.PIPE, text=True, check=True
        )
        return done.stdout


def try_program(environment: Environment, empty: Path, version: str) -> None:
    """The program says its version and makes the demo in a folder where nothing else is."""
    said = environment.run(empty, "fedshow", "--version").strip()
    assert said == version, f"the wheel says {said}, the source tree {version}"
    environment.run(empty, "fedshow", "demo", "--out", "demo")
    for made in ("grid.png", "report.json", "release/manifest.json"):
        assert (empty / "demo" / made).is_file(), f"the demo left no {made}"


def try_tests(environment: Environment, empty: Path) -> None:
    """A slice of the tests passes on the wheel, and proves that it was the wheel."""
    for name in ("tests", "distribution"):
        shutil.copytree(ROOT / name, empty / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", empty)  # its settings of pytest
    print(environment.run(empty, "python", "-m", "pytest", "-q", *SLICE))
