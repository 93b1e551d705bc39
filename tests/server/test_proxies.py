"""Programs of ours talk to each other past the proxies that the environment names."""

import asyncio
import ssl
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import httpx
import pytest

from fedshow.children import environment
from fedshow_server.flower.superlink import SuperLink
from fedshow_server.folder import DataFolder
from fedshow_server.upkeep.certificates import prepare_certificates

NOBODY = "http://127.0.0.1:9"


@pytest.fixture(autouse=True)
def _proxies(monkeypatch):
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, NOBODY)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv("NO_PROXY", "localhost,.corp.example")
    monkeypatch.delenv("no_proxy", raising=False)


class Here(BaseHTTPRequestHandler):
    """Answers anything."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def program() -> Iterator[ThreadingHTTPServer]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Here) as found:
        thread = Thread(target=found.serve_forever)
        thread.start()
        yield found
        found.shutdown()
        thread.join()


def test_children_reach_each_other_and_the_world_through_the_proxy(program, monkeypatch):
    for name, value in environment({}).items():
        monkeypatch.setenv(name, value)
    assert httpx.get(f"http://127.0.0.1:{program.server_port}/").status_code == 200
    with pytest.raises(httpx.ConnectError):
        httpx.get("http://a.world.example/")
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{program.server_port}")
    assert httpx.get("http://a.world.example/").status_code == 200


def test_the_superlink_is_asked_past_the_proxy(program, tmp_path):
    (tmp_path / "ca").mkdir()
    folder = DataFolder(tmp_path)
    papers = folder.certificates
    prepare_certificates(papers, "localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(papers.certificate, papers.key)
    program.socket = context.wrap_socket(program.socket, server_side=True)
    link = SuperLink(folder, papers)
    link._port = program.server_port

    async def healthy() -> bool:
        async with link.caller() as client:
            return await link._answers(client)

    assert asyncio.run(healthy())
