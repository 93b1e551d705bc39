"""`make release`: builds wheel and sdist from what is committed, looks through them, and tries them.

Leaves in dist/: both packages, the bill of materials, and the sha256 of all three.
"""

import shutil
import sys
import tempfile
from pathlib import Path

from distribution.bill import write_bill
from distribution.building import (
    ROOT,
    Packages,
    build,
    build_from_sdist,
    changed_files,
    commit_time,
    export,
)
from distribution.contents import (
    sdist_names,
    sdist_problems,
    source_names,
    wheel_names,
    wheel_problems,
)
from distribution.trying import TEST_TOOLS, Environment, try_program, try_tests
from fedshow import __version__
from fedshow.files import digest

DIST, WORK = ROOT / "dist", ROOT / "build" / "release"


def main() -> None:
    """Does all of it, or stops at the first thing that is wrong."""
    if changed := changed_files():
        sys.exit(f"a release is made of what is committed; changed: {', '.join(changed)}")
    for folder in (DIST, WORK):
        shutil.rmtree(folder, ignore_errors=True)
    packages = _built()
    tools = Environment.make(WORK / "tools")
    tools.install("--requirement", str(ROOT / "distribution" / "tools.txt"))
    _look_through(packages, tools)
    _say("installing the wheel in a clean environment")
    clean = Environment.make(WORK / "clean")
    clean.install(f"{packages.wheel}[client,server]")
    bill = write_bill(tools, clean, DIST / f"fedshow-{__version__}.cdx.json")
    clean.install(*TEST_TOOLS)
    _try(clean)
    write_sums(DIST / "SHA256SUMS", [*packages.files, bill])
    _say(f"made and tried: {DIST}")


def write_sums(path: Path, files: list[Path]) -> None:
    """Writes what `sha256sum --check` reads."""
    path.write_text("".join(f"{digest(file)}  {file.name}\n" for file in files))


def _built() -> Packages:
    """Both packages in dist/, once it is known that they come out the same wherever they are built."""
    _say("building")
    epoch, source = commit_time(), export(WORK / "source")
    packages = build(source, DIST, epoch)
    again = build(export(WORK / "under another name"), WORK / "again", epoch)
    from_sdist = build_from_sdist(packages.sdist, WORK / "unpacked", epoch)
    same = {digest(path) for path in (packages.wheel, again.wheel, from_sdist)}
    assert len(same) == 1, "the wheel differs from one build to the next"
    assert digest(packages.sdist) == digest(again.sdist), "the sdist differs between builds"
    return packages


def _look_through(packages: Packages, tools: Environment) -> None:
    _say("looking through wheel and sdist")
    sources = source_names(WORK / "source")
    problems = wheel_problems(wheel_names(packages.wheel), __version__, sources)
    problems += sdist_problems(sdist_names(packages.sdist), sources)
    assert not problems, "\n".join(problems)
    tools.run(ROOT, "twine", "check", "--strict", *map(str, packages.files))
    three = ("--ignore", "W009")  # packages beside each other, as drawn
    tools.run(ROOT, "check-wheel-contents", *three, str(packages.wheel))


def _try(clean: Environment) -> None:
    with tempfile.TemporaryDirectory(prefix="fedshow-release-") as empty:
        _say("the demo, in an empty folder")
        try_program(clean, Path(empty), __version__)
        _say("a slice of the tests, on the wheel")
        try_tests(clean, WORK / "source", Path(empty))


def _say(what: str) -> None:
    print(f"release: {what}", flush=True)


if __name__ == "__main__":
    main()
