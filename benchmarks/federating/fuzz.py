"""Everything that reads what strangers send, under fire: what it takes must be good, by other rules.

Hypothesis makes cases from valid ones; where atheris is installed (`fedshow[fuzz]`), it adds as many that
it finds by coverage. What each reader may take is written at the head of its module in `fuzzing`.
"""

from pathlib import Path
from typing import Any

import grpc

from benchmarks.federating.fuzzing import (
    concept_files,
    guided,
    join_codes,
    manifests,
    messages,
    ranges,
)
from benchmarks.federating.fuzzing.target import Outcome, Target, generate
from benchmarks.federating.knocking.cast import FILE, FILES, Cast, assemble, shown
from benchmarks.federating.knocking.line import Line
from benchmarks.federating.size import Size
from fedshow.roles import Role
from tests.stage.concepts import make_data
from tests.stage.server import Server

KINDS = ("crashes", "hangs", "accepted")


def measure(work: Path, size: Size) -> dict[str, Any]:
    """Cases, and those that crashed, hung or were taken though bad, each with its bytes."""
    server = Server(make_data(work / "data"))
    server.start()
    try:
        cast = assemble(server, work)
        outcomes = _over_the_wire(cast, size)
        survived = server.process is not None and server.process.poll() is None
    finally:
        server.end()
    for target in (concept_files.target(), join_codes.target(), manifests.target()):
        outcomes.append(generate(target, size.cases, size.seed))
    found = [guided.guide(name, size.cases, size.seed, work) for name in _guidable()]
    figures = summary([*outcomes, *found])
    return figures | {
        "fuzz_guided": sum(outcome.cases for outcome in found),
        "fuzz_guide": "atheris" if guided.is_there() else "none: install fedshow[fuzz]",
        "fuzz_server_survived": survived,
    }


def _guidable() -> list[str]:
    return list(guided.targets()) if guided.is_there() else []


def _over_the_wire(cast: Cast, size: Size) -> list[Outcome]:
    credentials = grpc.ssl_channel_credentials(cast.neighbour.ca_pem)
    contents = {cast.release.files[path].sha256: content for path, content in FILES.items()}
    with (
        Line(cast.server) as line,
        grpc.secure_channel(cast.neighbour.reply.grpc, credentials) as channel,
    ):
        targets = (_ranges(cast, line), messages.target(cast, channel, contents))
        return [generate(target, size.cases, size.seed) for target in targets]


def _ranges(cast: Cast, line: Line) -> Target:
    release = cast.release
    path = f"/releases/{release.release}/{FILE}"
    headers = shown(cast.members[Role.DOWNLOADER])
    etag = f'"{release.files[FILE].sha256}"'
    return ranges.target(ranges.Content(line, path, headers, FILES[FILE], etag))


def summary(outcomes: list[Outcome]) -> dict[str, Any]:
    """The figures of all of them together."""
    figures: dict[str, Any] = {
        "fuzz_cases": sum(outcome.cases for outcome in outcomes),
        "fuzz_taken": sum(outcome.taken for outcome in outcomes),
    }
    for kind in KINDS:
        figures[f"fuzz_{kind}"] = sum(outcome.totals.get(kind, 0) for outcome in outcomes)
        figures[f"fuzz_{kind}_list"] = [line for it in outcomes for line in getattr(it, kind)]
    return figures
