"""The list before a release, as a script: `python -m distribution.checklist`, or `make release-check`.

Every item is looked at, whatever became of the others; `--quick` leaves out those that take minutes.
Nothing is changed unless everything is right and `--tag` is given.
"""

import argparse
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from distribution.building import ROOT
from distribution.links import broken_links

VERSION = re.compile(r'^__version__ = "(.+)"$', re.MULTILINE)
ENTRY = re.compile(r"^## (?P<version>\S+)(?: - (?P<date>\d{4}-\d{2}-\d{2}))?$", re.MULTILINE)
UNFINISHED = "TO" + "DO|FIX" + "ME|X" + "XX"  # in pieces, or this file would be found
LINES_SHOWN = 3


@dataclass(frozen=True)
class Item:
    """One line of the list."""

    title: str
    problem: Callable[[Path], str]
    """What is wrong in the repository there; empty when nothing is."""

    next_step: str
    slow: bool = False


def checklist() -> tuple[Item, ...]:
    """All of it, fastest first."""
    return (
        Item("the working tree is clean", uncommitted, "git status; commit or stash"),
        Item("the changelog's top entry is this version", misnamed, "edit CHANGELOG.md"),
        Item("the version is not tagged yet", already_tagged, "raise fedshow.__version__"),
        Item("nothing is left unfinished", unfinished, "do it, or write an issue"),
        Item(
            "results are of commits that exist", orphaned_results, "make bench-NAME, and commit it"
        ),
        Item("links in the documents lead somewhere", broken, "correct them"),
        Item("generated code is current", run("-m", "tests.generated_code"), "make protos"),
        Item("format, lint, types and layers", make("lint"), "make lint", slow=True),
        Item("tests are green", make("test"), "make test", slow=True),
        Item(
            "the wheel is made, twice alike, and works", make("release"), "make release", slow=True
        ),
    )


def uncommitted(root: Path) -> str:
    """Files that are not as they were committed."""
    return _shown(git(root, "status", "--porcelain").splitlines())


def version_of(root: Path) -> str:
    """What the package calls itself."""
    found = VERSION.search((root / "shared/fedshow/__init__.py").read_text())
    assert found, "shared/fedshow/__init__.py names no version"
    return found[1]


def misnamed(root: Path) -> str:
    """How the changelog's newest entry differs from `## VERSION - DATE` of this version."""
    version = version_of(root)
    top = ENTRY.search((root / "CHANGELOG.md").read_text())
    if top is None:
        return "CHANGELOG.md has no entry"
    if top["version"] != version:
        return f"it is {top['version']!r}, the package is {version}"
    return "" if top["date"] else f"it has no date: ## {version} - YYYY-MM-DD"


def already_tagged(root: Path) -> str:
    """The tag of this version, when there is one."""
    return git(root, "tag", "--list", f"v{version_of(root)}").strip()


def unfinished(root: Path) -> str:
    """Lines that say that something is still to be done."""
    found = ("grep", "-nIwE", UNFINISHED, "--", ".", ":!*.svg", ":!*.json")
    return _shown(git(root, *found, codes=(0, 1)).splitlines())


def orphaned_results(root: Path) -> str:
    """Results whose commit is not in this history, so that nobody can repeat them."""
    wrong = []
    for file in sorted(root.glob("benchmarks/results/*.json")):
        commit = str(json.loads(file.read_text())["commit"]).rstrip("+")
        if not re.fullmatch("[0-9a-f]{7,40}", commit) or not _is_commit(root, commit):
            wrong.append(f"{file.name}: {commit}")
    return _shown(wrong)


def broken(root: Path) -> str:
    """Links within the repository that lead nowhere."""
    return _shown(broken_links(root))


def make(target: str) -> Callable[[Path], str]:
    """What `make TARGET` complains of at its end; empty when it ends well."""
    return lambda root: _complaint(["make", target], root)


def run(*words: str) -> Callable[[Path], str]:
    """The same of a Python program."""
    return lambda root: _complaint([sys.executable, *words], root)


def git(root: Path, *words: str, codes: Sequence[int] = (0,)) -> str:
    """What git prints; an exit code other than these is our own mistake."""
    done = subprocess.run(["git", "-C", root, *words], capture_output=True, text=True, check=False)
    assert done.returncode in codes, done.stderr
    return done.stdout


def _is_commit(root: Path, commit: str) -> bool:
    command = ["git", "-C", str(root), "cat-file", "-e", f"{commit}^{{commit}}"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _complaint(command: list[str], root: Path) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    done = subprocess.run(
        command,
        cwd=root,
        capture_output=True,
        text=True,
        env=os.environ | {"PATH": path},
        check=False,
    )
    said = (done.stdout + done.stderr).strip().splitlines()
    return _shown(said[-LINES_SHOWN:]) or "failed" if done.returncode else ""


def _shown(lines: Sequence[str]) -> str:
    more = [f"and {len(lines) - LINES_SHOWN} more"] if len(lines) > LINES_SHOWN else []
    return "\n".join([*lines[:LINES_SHOWN], *more])


def walk(items: Sequence[Item], root: Path) -> bool:
    """Prints how each item is, and what to do about it; gives whether all are right."""
    good = True
    for item in items:
        problem = item.problem(root)
        print(f"{'✗' if problem else '✓'} {item.title}", flush=True)
        if problem:
            good = False
            print("".join(f"    {line}\n" for line in problem.splitlines()), end="")
            print(f"  -> {item.next_step}", flush=True)
    return good


def main(words: Sequence[str] | None = None, root: Path = ROOT) -> int:
    """Goes through the list; gives the exit code."""
    parser = argparse.ArgumentParser(prog="make release-check", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="leave out what takes minutes")
    parser.add_argument("--tag", action="store_true", help="tag the commit when all is right")
    given = parser.parse_args(words)
    if given.tag and given.quick:
        parser.error("--tag needs the whole list")
    items = [item for item in checklist() if not (given.quick and item.slow)]
    if not walk(items, root):
        return 1
    tag = f"v{version_of(root)}"
    if given.tag:
        git(root, "tag", "--annotate", tag, "--message", f"fedshow {tag[1:]}")
        print(f"tagged {tag}; next: git push origin {tag}")
    elif not given.quick:
        print(f"all is right; next: python -m distribution.checklist --tag, which tags {tag}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
