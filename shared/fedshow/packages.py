"""What fedshow needs of other packages, by extra, as its own metadata says."""

import re
from importlib.metadata import PackageNotFoundError, distribution, version

from packaging.requirements import Requirement

PROGRAM = "fedshow"
LEFT_OUT = ("all", "client", "dev", "fuzz", "server")
"""Extras that gather others, or that only developers want."""


def requirements() -> dict[str, list[Requirement]]:
    """What is needed on this platform, by extra; without one under the empty name."""
    try:
        about = distribution(PROGRAM)
    except PackageNotFoundError:
        return {}
    extras = about.metadata.get_all("Provides-Extra") or []
    found: dict[str, list[Requirement]] = {"": []}
    found |= {extra: [] for extra in sorted(extras) if extra not in LEFT_OUT}
    for text in about.requires or ():
        requirement = Requirement(text)
        for extra, wanted in found.items():
            own = extra == "" or re.search(r"\bextra\b", text)  # the plain ones stand under ""
            if own and requirement.name != PROGRAM and _applies(requirement, extra):
                wanted.append(requirement)
    return {extra: wanted for extra, wanted in found.items() if wanted or not extra}


def installed_version(name: str) -> str | None:
    """The version that is installed, if one is."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def install_command(module: str) -> str:
    """What to type for a module that is missing: the extra that brings it, or the package alone."""
    package = module.partition(".")[0].replace("_", "-")
    for extra, wanted in requirements().items():
        if any(one.name.replace("_", "-") == package for one in wanted):
            return f"pip install '{PROGRAM}[{extra}]'" if extra else f"pip install {PROGRAM}"
    return f"pip install {package}"


def _applies(requirement: Requirement, extra: str) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})
