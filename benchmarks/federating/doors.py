"""Whom a server lets in: everybody who must not is sent to every door, in every spelling.

What is not a plain refusal (gRPC: UNAUTHENTICATED or PERMISSION_DENIED; HTTP: 401 or 403; for other
spellings, verbs and upgrades also that there is no such thing, or the HTTP library's own word that this
is no request) counts as an open door, an error of the server's as well. Who may come in is sent, too: a
door that is shut to them is counted beside.
"""

from pathlib import Path
from typing import Any

from benchmarks.federating.knocking import over_flower, over_grpc, over_http, over_pages, tls
from benchmarks.federating.knocking.cast import assemble
from benchmarks.federating.knocking.tally import Tally
from benchmarks.federating.size import Size
from tests.stage.concepts import make_data
from tests.stage.server import Server

LONGEST_LIST = 200


def measure(work: Path, size: Size) -> dict[str, Any]:  # noqa: ARG001  # all doors, whatever the size
    """Calls, doors that were open, and doors that were shut to those who may come in."""
    environment = {"FEDSHOW_SERVER_METRICS_TOKEN": over_http.METRICS_TOKEN}
    server = Server(make_data(work / "data"), environment)
    server.start()
    try:
        return knock(server, work)
    finally:
        server.end()


def knock(server: Server, work: Path) -> dict[str, Any]:
    """The same on a server that runs, with the metrics' token set."""
    tally, cast = Tally(), assemble(server, work)
    over_grpc.knock(cast, tally)
    over_http.knock(cast, tally)
    over_pages.knock(cast, tally)
    over_flower.knock(cast, tally)
    old = tls.knock(cast, tally)
    return {
        "door_calls": tally.calls,
        "doors_open": len(tally.opened),
        "doors_open_list": tally.opened[:LONGEST_LIST],
        "doors_shut": len(tally.shut),
        "doors_shut_list": tally.shut[:LONGEST_LIST],
        **old,
    }
