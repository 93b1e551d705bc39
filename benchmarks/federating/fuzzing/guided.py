"""Coverage-guided cases, where atheris is installed: it ends its process, so each reader has its own."""

import importlib.util
import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.federating.fuzzing.target import Outcome, Target

LONGEST_CASE = 1 << 14
LONGEST_MINUTES = 30
RANGE_SIZE, RANGE_TAG = 4096, '"tag"'


def is_there() -> bool:
    """Whether this machine can."""
    return importlib.util.find_spec("atheris") is not None


def targets() -> dict[str, Target]:
    """Every reader that runs in one process; imported late, so that its coverage is followed."""
    from benchmarks.federating.fuzzing import concept_files, join_codes, manifests, ranges

    found = (concept_files.target(), join_codes.target(), manifests.target())
    return {target.name: target for target in (*found, ranges.parser(RANGE_SIZE, RANGE_TAG))}


def guide(name: str, cases: int, start: int, work: Path) -> Outcome:
    """So many cases of one reader, found by what they reach in its code."""
    out = work / f"{name.replace(' ', '-')}.json"
    command = [sys.executable, "-m", __spec__.name, name, str(cases), str(start), str(out)]
    with out.with_suffix(".log").open("wb") as log:
        subprocess.run(command, stdout=log, stderr=log, timeout=LONGEST_MINUTES * 60, check=False)
    if not out.exists():
        words = out.with_suffix(".log").read_text("utf-8", "replace")[-300:]
        return Outcome(crashes=[f"{name}: the process ended: {words}"], totals={"crashes": 1})
    return Outcome(**json.loads(out.read_text()))


def main() -> None:
    """Runs in a process of its own, to its end."""
    import atheris

    name, cases, start, out = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])
    with atheris.instrument_imports(include=["fedshow", "fedshow_server"]):
        target = targets()[name]
    corpus, outcome = out.with_suffix(".seeds"), Outcome()
    corpus.mkdir()
    for number, seed in enumerate(target.seeds):
        (corpus / str(number)).write_bytes(seed)

    def one(case: bytes) -> None:
        outcome.judge(target, case)
        if outcome.cases == cases:  # the library counts on; after this nothing comes back
            out.write_text(json.dumps(asdict(outcome)))

    options = [f"-runs={cases}", f"-seed={start + 1}", "-timeout=0", f"-max_len={LONGEST_CASE}"]
    arguments: Any = [sys.argv[0], *options, str(corpus)]
    atheris.Setup(arguments, one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
