"""What is installed: fedshow and its parts, what they need, Python, optional packages."""

import platform
import re
import sys
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, distribution, entry_points, version
from pathlib import Path

from packaging.requirements import Requirement

import fedshow
from fedshow.doctor.finding import Finding, Question, fine, problem

PROGRAM = "fedshow"
TOLD = ("torch", "diffusers", "transformers", "flwr", "grpcio", "protobuf")
"""The packages whose versions matter when something is reported."""

NOT_FOR_USERS = ("dev", "docs", "fuzz", "test")
"""Extras that only developers want."""


def check_installed(question: Question) -> Iterator[Finding]:
    """What is here, and what is missing or of the wrong version."""
    del question
    yield _program()
    yield fine("python", f"{platform.python_version()} on {platform.platform()}")
    needed = _requirements()
    yield _told()
    yield from _broken("", needed.pop("", []))
    yield from _extras(needed)


def _program() -> Finding:
    parts = sorted(point.name for point in entry_points(group="fedshow.commands"))
    folder = Path(fedshow.__file__).parent
    says = f"{fedshow.__version__} with {', '.join(parts)}, run by {sys.executable}"
    return fine(PROGRAM, says, version=fedshow.__version__, parts=parts, folder=str(folder))


def _told() -> Finding:
    found = {name: _installed(name) for name in TOLD}
    says = ", ".join(f"{name} {there or 'missing'}" for name, there in found.items())
    return fine("packages", says, **found)


def _extras(needed: Mapping[str, list[Requirement]]) -> Iterator[Finding]:
    """One finding of all that are whole or absent; each that is of a wrong version has its own."""
    here, absent = [], []
    for extra, requirements in needed.items():
        if all(_installed(one.name) for one in requirements):
            here.append(extra)
            yield from _broken(extra, requirements)
        else:
            absent.append(extra)
    says = f"here: {', '.join(here) or 'none'}"
    if absent:
        says += f"; not here: {', '.join(absent)} (pip install 'fedshow[{absent[0]}]')"
    yield fine("extras", says, here=here, absent=absent)


def _broken(extra: str, requirements: list[Requirement]) -> Iterator[Finding]:
    for wanted in requirements:
        there = _installed(wanted.name)
        if there is None:
            says = "is missing"
        elif not wanted.specifier.contains(there, prereleases=True):
            says = f"{there} is installed, fedshow needs {wanted.specifier}"
        else:
            continue
        advice = f"pip install '{wanted.name}{wanted.specifier}'"
        yield problem(f"package {wanted.name}", says, advice, extra=extra or None)


def _requirements() -> dict[str, list[Requirement]]:
    """What fedshow needs on this platform, by extra; without one under the empty name."""
    try:
        about = distribution(PROGRAM)
    except PackageNotFoundError:
        return {}
    extras = about.metadata.get_all("Provides-Extra") or []
    found: dict[str, list[Requirement]] = {"": []}
    found |= {extra: [] for extra in sorted(extras) if extra not in NOT_FOR_USERS}
    for text in about.requires or ():
        requirement = Requirement(text)
        for extra, wanted in found.items():
            own = extra == "" or re.search(r"\bextra\b", text)  # the plain ones stand under ""
            if own and requirement.name != PROGRAM and _applies(requirement, extra):
                wanted.append(requirement)
    return {extra: wanted for extra, wanted in found.items() if wanted or not extra}


def _applies(requirement: Requirement, extra: str) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
