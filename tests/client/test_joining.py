"""Joining: the fingerprint decides whom we talk to, and the secret goes nowhere else."""

import itertools
import json
import os
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_ssh_private_key,
)

from fedshow.errors import FedshowError, Forbidden, InvalidInput, Unreachable
from fedshow.joining import JoinCode
from fedshow.roles import Role
from fedshow.transfer.backoff import Patience
from fedshow.transfer.servers import find_server, known_servers
from fedshow_client.joining import join

SECRET = "s" * 43


@dataclass
class Edge:
    """A small HTTPS server with the two paths of joining."""

    ca: bytes
    reply: dict[str, Any]
    status: int = 200
    posts: list[dict[str, Any]] = field(default_factory=list)
    address: str = ""

    def code(self, **changes: str) -> str:
        der = x509.load_pem_x509_certificate(self.ca).public_bytes(Encoding.DER)
        fields = {
            "address": self.address,
            "ca_sha256": sha256(der).hexdigest(),
            "secret": SECRET,
            **changes,
        }
        return JoinCode(**fields).encode()


@pytest.fixture
def edge(certificates, small_card, tmp_path: Path) -> Iterator[Edge]:
    reply = {
        "server": "studio",
        "node": "box",
        "node_id": 5,
        "token": "t" * 43,
        "grpc": "127.0.0.1:1",
        "base": small_card.model_dump(mode="json"),
    }
    edge = Edge(certificates.ca, reply)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.answer(200, edge.ca)

        def do_POST(self) -> None:
            length = int(self.headers["content-length"])
            edge.posts.append(json.loads(self.rfile.read(length)))
            self.answer(edge.status, json.dumps(edge.reply).encode())

        def answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    (tmp_path / "server.pem").write_bytes(certificates.server)
    (tmp_path / "server.key").write_bytes(certificates.key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem", tmp_path / "server.key")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        edge.address = f"127.0.0.1:{server.server_port}"
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield edge
        server.shutdown()
        thread.join()


def test_a_joined_server_is_remembered_with_a_key_of_its_own(edge: Edge, home: Path) -> None:
    server = join(edge.code(), home, Patience(5))
    assert find_server("studio", home) == server
    folder = server.folder(home)
    private = load_ssh_private_key((folder / "key").read_bytes(), None)
    assert private.curve.name == "secp384r1"
    assert edge.posts == [{"secret": SECRET, "public_key": (folder / "key.pub").read_text()}]
    for file in folder.iterdir():
        assert file.stat().st_mode & 0o077 == 0, file
    assert folder.stat().st_mode & 0o077 == 0


def test_the_role_is_remembered(edge: Edge, home: Path) -> None:
    edge.reply |= {"role": "downloader", "node_id": None}
    join(edge.code(), home, Patience(5))
    assert find_server("studio", home).role is Role.DOWNLOADER


def test_a_wrong_fingerprint_is_refused_before_the_secret_is_told(edge: Edge, home: Path) -> None:
    with pytest.raises(Forbidden, match="not the server that the join code names"):
        join(edge.code(ca_sha256="f" * 64), home, Patience(5))
    assert edge.posts == []
    assert not (home / "servers").exists()


def test_a_certificate_authority_that_did_not_sign_the_server_is_refused(
    edge: Edge, home: Path, certificates_of_another
) -> None:
    edge.ca = certificates_of_another.ca
    with pytest.raises(Unreachable, match="certificate"):
        join(edge.code(), home, Patience(0))
    assert edge.posts == []


def test_a_spent_code_shows_the_servers_words(edge: Edge, home: Path) -> None:
    edge.status, edge.reply = 403, {"reason": "FORBIDDEN", "message": "this code was used"}
    with pytest.raises(Forbidden, match="this code was used"):
        join(edge.code(), home, Patience(5))


def test_trying_again_shows_the_same_key(edge: Edge, home: Path) -> None:
    good, edge.status, edge.reply = edge.reply, 503, {}
    with pytest.raises(Unreachable, match="503"):
        join(edge.code(), home, Patience(0))
    edge.status, edge.reply = 200, good
    join(edge.code(), home, Patience(5))
    first, second = edge.posts
    assert first == second


class Crash(BaseException):
    """The process ends here."""


def crash_before_move(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ends the process instead of the move with this number; 0 for none."""
    left = itertools.count(1)

    def replace(source: Path, target: Path) -> Path:
        if next(left) == number:
            raise Crash
        os.replace(source, target)
        return target

    monkeypatch.setattr(Path, "replace", replace)


@pytest.mark.parametrize("before", [False, True], ids=["first time", "joined before"])
def test_a_crash_leaves_a_joined_server_or_none_and_the_code_works_again(
    edge: Edge, tmp_path: Path, before: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for move in itertools.count(1):
        home = tmp_path / f"crash-{move}"
        edge.posts.clear()
        crash_before_move(0, monkeypatch)
        if before:
            join_with("o" * 43, edge, home)
        crash_before_move(move, monkeypatch)
        try:
            join_with(SECRET, edge, home)
            break
        except Crash:
            assert joined(home, edge) in ("o" * 43 if before else None, None, SECRET)
        crash_before_move(0, monkeypatch)
        join_with(SECRET, edge, home)
        assert joined(home, edge) == SECRET
    assert move > 6
    assert not any((home / "joining").iterdir())


def join_with(secret: str, edge: Edge, home: Path) -> None:
    """Joins; the token given tells which code it was."""
    edge.reply["token"] = secret
    join(edge.code(secret=secret), home, Patience(5))


def joined(home: Path, edge: Edge) -> str | None:
    """The secret that the joined server's record and key belong to, if there is a joined server."""
    for server in known_servers(home):
        private = load_ssh_private_key((server.folder(home) / "key").read_bytes(), None)
        public = private.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
        told = {post["public_key"] for post in edge.posts if post["secret"] == server.token}
        assert told == {public.decode()}  # one key, however often it was tried
        return server.token
    return None


def test_a_base_of_the_owners_own_must_be_given_before_the_code_is_spent(
    edge: Edge, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    edge.reply["base"]["name"] = "local"
    for wrong in (None, str(tmp_path / "nowhere"), str(tmp_path)):
        with pytest.raises(InvalidInput, match=r"--base FOLDER|model_index"):
            join(edge.code(base="local"), home, Patience(5), base_source=wrong)
    assert edge.posts == []
    (tmp_path / "model_index.json").write_text("{}")
    monkeypatch.chdir(tmp_path.parent)
    server = join(edge.code(base="local"), home, Patience(5), base_source=tmp_path.name)
    assert server.base_source == str(tmp_path)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("toyworld", "base toyworld: part of fedshow"),
        ("people/model", "base people/model: http://hub.example/people/model, downloaded when"),
    ],
)
def test_joining_says_where_the_base_comes_from(edge, call, monkeypatch, name, words) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://hub.example")
    edge.reply["base"]["name"] = name
    code, out, _ = call("client", "join", edge.code(base=name))
    assert code == 0
    assert words in out


@pytest.mark.parametrize("name", ["local", "secret", "/etc", "../other", "~/model"])
def test_a_server_cannot_name_a_folder_of_ours(edge: Edge, home: Path, name: str) -> None:
    edge.reply["base"]["name"] = name
    with pytest.raises(FedshowError):
        join(edge.code(), home, Patience(5))
    assert known_servers(home) == []


def test_a_code_redeemed_twice_says_where_the_server_is_joined(edge: Edge, home: Path) -> None:
    join(edge.code(), home, Patience(5))
    edge.status, edge.reply = 403, {"reason": "FORBIDDEN", "message": "this code was used"}
    with pytest.raises(
        Forbidden, match=r"this code was used; it is joined here already, as 'studio'"
    ):
        join(edge.code(), home, Patience(5))


def test_another_server_of_the_same_name_gets_a_number(edge: Edge, home: Path, known) -> None:
    edge.reply["server"] = "home"
    record = home / "servers" / "home" / "server.json"
    content = json.loads(record.read_text())
    record.write_text(json.dumps({**content, "ca_pem": "another"}))
    assert join(edge.code(), home, Patience(5)).name == "home-2"


def test_something_else_at_the_address_is_named(edge: Edge, home: Path) -> None:
    edge.ca, code = b"<html>", edge.code()
    with pytest.raises(FedshowError, match="no fedshow server"):
        join(code, home, Patience(5))


def test_a_server_that_is_down_is_waited_for_and_given_up(home: Path, edge: Edge) -> None:
    code = edge.code(address="127.0.0.1:9")
    with pytest.raises(Unreachable, match=r"127\.0\.0\.1:9 does not answer"):
        join(code, home, Patience(0.3))


def test_half_a_code_is_refused(home: Path, edge: Edge) -> None:
    with pytest.raises(InvalidInput, match="copy the whole line"):
        join(edge.code()[:-9], home, Patience(0))
