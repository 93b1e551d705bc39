"""What is installed: fedshow and its parts, what they need, Python, optional packages."""

import platform
import sys
from collections.abc import Iterator, Mapping
from importlib.metadata import entry_points
from pathlib import Path

from packaging.requirements import Requirement

import fedshow
from fedshow.doctor.finding import Finding, Question, fine, problem
from fedshow.packages import PROGRAM, installed_version, requirements

TOLD = ("torch", "diffusers", "transformers", "flwr", "grpcio", "protobuf")
"""The packages whose versions matter when something is reported."""


def check_installed(question: Question) -> Iterator[Finding]:
    """What is here, and what is missing or of the wrong version."""
    del question
    yield _program()
    yield fine("python", f"{platform.python_version()} on {platform.platform()}")
    needed = requirements()
    yield _told()
    yield from _broken("", needed.pop("", []))
    yield from _extras(needed)


def _program() -> Finding:
    parts = sorted(point.name for point in entry_points(group="fedshow.commands"))
    folder = Path(fedshow.__file__).parent
    says = f"{fedshow.__version__} with {', '.join(parts)}, run by {sys.executable}"
    return fine(PROGRAM, says, version=fedshow.__version__, parts=parts, folder=str(folder))


def _told() -> Finding:
    found = {name: installed_version(name) for name in TOLD}
    says = ", ".join(f"{name} {there or 'missing'}" for name, there in found.items())
    return fine("packages", says, **found)


def _extras(needed: Mapping[str, list[Requirement]]) -> Iterator[Finding]:
    """One finding of all that are whole or absent; each that is of a wrong version has its own."""
    here, absent = [], []
    for extra, wanted in needed.items():
        if all(installed_version(one.name) for one in wanted):
            here.append(extra)
            yield from _broken(extra, wanted)
        else:
            absent.append(extra)
    says = f"here: {', '.join(here) or 'none'}"
    if absent:
        says += f"; not here: {', '.join(absent)} (pip install 'fedshow[{absent[0]}]')"
    yield fine("extras", says, here=here, absent=absent)


def _broken(extra: str, needed: list[Requirement]) -> Iterator[Finding]:
    for wanted in needed:
        there = installed_version(wanted.name)
        if there is None:
            says = "is missing"
        elif not wanted.specifier.contains(there, prereleases=True):
            says = f"{there} is installed, fedshow needs {wanted.specifier}"
        else:
            continue
        advice = f"pip install '{wanted.name}{wanted.specifier}'"
        yield problem(f"package {wanted.name}", says, advice, extra=extra or None)
