"""What lies in a wheel and in an sdist, and what must and must not."""

import tarfile
import zipfile
from collections.abc import Iterable
from fnmatch import fnmatch
from pathlib import Path

PACKAGES = {"fedshow": "shared", "fedshow_client": "client", "fedshow_server": "server"}
"""Each with the folder of the source tree that holds it."""

SUFFIXES = {".py", ".pyi", ".typed", ".html", ".js", ".css", ".svg"}
"""Of files that may lie anywhere in a package; all others are named below."""

NAMED = (
    "fedshow/bundle/pyproject.toml",
    "fedshow/toyworld/weights/README.md",
    "fedshow/toyworld/weights/SHA256SUMS",
    "fedshow/toyworld/weights/*.json",
    "fedshow/toyworld/weights/*.safetensors",
)

METADATA = (
    "METADATA",
    "WHEEL",
    "RECORD",
    "entry_points.txt",
    "licenses/LICENSE",
    "licenses/NOTICE",
)
UNITS = ("fedshow-client.service", "fedshow-server.service")
OUTSIDE = (  # of the packages, in an sdist
    *("pyproject.toml", "constraints.txt", "Makefile", "LICENSE", "NOTICE", "README.md"),
    *("CHANGELOG.md", "protos/fedshow/v1/concepts.proto"),
    *("tests/conftest.py", "docs/architecture.md"),
)
NEVER = (
    *("*.pyc", "*.so", "*.pem", "*.key", "*.db", "*.egg-info/*", "*/.*cache/*", "*/.venv/*"),
    *("*/build/*", "*/dist/*", "*/benchmarks/results/*", "*/docs/images/*"),
)


def wheel_names(wheel: Path) -> list[str]:
    """The files in a wheel, as it names them."""
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def sdist_names(sdist: Path) -> list[str]:
    """The files in an sdist, without the folder around them all."""
    with tarfile.open(sdist) as archive:
        return [name.partition("/")[2] for name in archive.getnames()]


def source_names(root: Path) -> set[str]:
    """The files of the three packages in a source tree, as a wheel names them."""
    return {
        str(path.relative_to(root / folder))
        for package, folder in PACKAGES.items()
        for path in (root / folder / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def wheel_problems(names: Iterable[str], version: str, sources: set[str]) -> list[str]:
    """What is missing in a wheel, or should not be there; `sources` is what the packages hold."""
    found, facts = set(names), f"fedshow-{version}"
    units = {f"{facts}.data/data/share/fedshow/systemd/{unit}" for unit in UNITS}
    wanted = sources | units | {f"{facts}.dist-info/{name}" for name in METADATA}
    strange = {name for name in sources if not _known(name)}
    return [
        *(f"missing: {name}" for name in sorted(wanted - found)),
        *(f"not ours: {name}" for name in sorted(found - wanted)),
        *(f"of no known kind: {name}" for name in sorted(strange)),
        *_forbidden(found),
    ]


def sdist_problems(names: Iterable[str], sources: set[str]) -> list[str]:
    """What is missing in an sdist, or should not be there."""
    found = set(names)
    wanted = {f"{PACKAGES[name.partition('/')[0]]}/{name}" for name in sources} | set(OUTSIDE)
    missing = [f"missing: {name}" for name in sorted(wanted - found)]
    return missing + _forbidden({f"/{name}" for name in found})


def _known(name: str) -> bool:
    return Path(name).suffix in SUFFIXES or any(fnmatch(name, known) for known in NAMED)


def _forbidden(names: set[str]) -> list[str]:
    return [f"never: {name}" for name in sorted(names) if any(fnmatch(name, bad) for bad in NEVER)]
