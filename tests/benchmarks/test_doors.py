"""The benchmark of the doors notices a door that is open, one that is shut, and one it does not know."""

import os
import socket
import ssl
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from benchmarks.federating.knocking import over_flower, over_grpc, over_http, over_pages, tls
from benchmarks.federating.knocking.cast import Cast, assemble
from benchmarks.federating.knocking.spellings import spellings
from benchmarks.federating.knocking.tally import Tally
from fedshow_server.layout import Certificates
from fedshow_server.upkeep.certificates import prepare_certificates
from fedshow_server.web.doors import POLICIES
from tests.stage.concepts import make_data
from tests.stage.server import SEARCH_PATH, STANDIN, Server

ADMIN, RELEASES = "/fedshow.v1.AdminService", "/fedshow.v1.ReleaseService"
SABOTAGE = f"""
import runpy
runpy.run_path({str(STANDIN / "sitecustomize.py")!r})
from fedshow_server.services.policies import POLICIES, Policy
from fedshow_server.web import watching

POLICIES["{ADMIN}/ListNodes"] = Policy.MEMBER
POLICIES["{RELEASES}/GetRelease"] = Policy.OWNER
watching._check_scraper = lambda request, token: None
"""


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cast]:
    """Everybody, at a server of which some doors were broken."""
    work = tmp_path_factory.mktemp("stage")
    (work / "broken").mkdir()
    (work / "broken" / "sitecustomize.py").write_text(SABOTAGE)
    environment = {
        "PYTHONPATH": os.pathsep.join((str(work / "broken"), SEARCH_PATH)),
        "FEDSHOW_SERVER_METRICS_TOKEN": over_http.METRICS_TOKEN,
    }
    server = Server(make_data(work / "data"), environment)
    server.start()
    try:
        yield assemble(server, work)
    finally:
        server.end()


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """A taste of the spellings: all of them take minutes."""
    for module in (over_grpc, over_http, over_flower):
        monkeypatch.setattr(module, "spellings", lambda path: dict([*spellings(path).items()][:2]))


def places(lines: list[str]) -> set[str]:
    """Where the doors are that a tally names."""
    return {line.split(" at ")[1].split(": ")[0] for line in lines}


def test_open_and_shut_methods_are_named(stage: Cast) -> None:
    tally = Tally()
    over_grpc.knock(stage, tally)
    assert places(tally.opened) == {f"{ADMIN}/ListNodes"}
    assert any(line.startswith("a contributor with nothing at") for line in tally.opened)
    assert places(tally.shut) == {f"{RELEASES}/GetRelease"}
    assert not any(line.startswith("a owner at") for line in tally.shut)


def test_open_routes_are_named(stage: Cast) -> None:
    tally = Tally()
    over_http.knock(stage, tally)
    assert places([line for line in tally.opened if " upgrading " not in line]) == {"GET /metrics"}
    assert tally.shut == []


def test_no_page_from_elsewhere_changes_anything(stage: Cast) -> None:
    tally = Tally()
    over_pages.knock(stage, tally)
    assert tally.calls > 40
    assert tally.opened == tally.shut == []


def test_calls_of_flowers_are_for_nodes(stage: Cast) -> None:
    tally = Tally()
    over_flower.knock(stage, tally)
    assert tally.opened == tally.shut == []


def test_old_tls_is_refused_by_the_server_not_by_us(stage: Cast, tmp_path: Path) -> None:
    tally = Tally()
    assert tls.knock(stage, tally) == {"tls_old_tried": 4, "tls_old_refused": 4}
    assert tally.opened == tally.shut == []
    with old_server(tmp_path) as port:
        assert tls.handshake(port, ssl.TLSVersion.TLSv1_1) == ""


@contextmanager
def old_server(folder: Path) -> Iterator[int]:
    """The port of a server that still speaks TLS 1.1, for one connection."""
    prepare_certificates(files := Certificates.below(folder), "127.0.0.1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1
    context.load_cert_chain(files.certificate, files.key)
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve_one() -> None:
            context.wrap_socket(listening.accept()[0], server_side=True).close()

        serving = threading.Thread(target=serve_one)
        serving.start()
        yield int(listening.getsockname()[1])
        serving.join()


def test_an_unknown_route_counts() -> None:
    assert all(over_http.filled(route, {}) is None for route in POLICIES if "{" in route)
    tally = Tally()
    tally.unknown("GET /api/new/{thing}")
    assert tally.opened == ["GET /api/new/{thing}: nobody knows how to call it"]
