"""The public HTTPS door."""

import asyncio
import socket
import ssl
from contextlib import contextmanager

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from fedshow import rpc
from fedshow.errors import Forbidden
from fedshow.joining import JoinReply, JoinRequest
from fedshow.v1.releases_pb2 import ListReleasesRequest
from fedshow.wire import CA_PATH, JOIN_PATH
from fedshow_server.layout import Certificates
from fedshow_server.upkeep.certificates import fingerprint, prepare_certificates
from fedshow_server.web.https_port import hold_port

FLOWERS_OWN = [
    "/v1/control/list-runs",
    "/v1/control/start-run",
    "/v1/control/register-node",
    "/v1/control/list-nodes",
    "/v1/runtime/acquire-task",
    "/v1/runtime/get-nodes",
    "/health",
    "/docs",
    "/openapi.json",
]
TRICKS = [
    "/v1/fleet/../control/list-runs",
    "/v1/fleet/%2e%2e/control/list-runs",
    "/v1/fleet/..%2fcontrol%2flist-runs",
    "/v1/fleet//control/list-runs",
    "/v1/fleet/x/../../control/list-runs",
    "/v1/fleet/..;/control/list-runs",
    "/v1/fleet\\..\\control\\list-runs",
    "//v1/control/list-runs",
    "/v1/fleet/x%0d%0aX-Y:z",
    "/v1/fleet",
    "/v1/fleet/",
]


@contextmanager
def connected(server):
    """A connection to the HTTPS port."""
    trust = ssl.create_default_context(cafile=str(server.data / "ca" / "ca.pem"))
    with (
        socket.create_connection(("127.0.0.1", server.port), timeout=60) as plain,
        trust.wrap_socket(plain, server_hostname="127.0.0.1") as secure,
    ):
        yield secure


def head(target, headers, length=0):
    """The head of a POST, exactly as written."""
    return (
        f"POST {target} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\nConnection: close\r\n"
        + "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        + "\r\n"
    ).encode()


def raw_post(server, target, headers):
    """The status of a POST whose target is sent exactly as written."""
    with connected(server) as secure:
        secure.sendall(head(target, headers))
        answer = b""
        while block := secure.recv(65536):
            answer += block
    return int(answer.split(b" ", 2)[1])


@pytest.mark.parametrize("target", [*FLOWERS_OWN, *TRICKS])
def test_nothing_but_fleet_calls_is_forwarded(server, member, target):
    assert raw_post(server, target, member.key_header) in (400, 404, 405)


@pytest.mark.parametrize("target", FLOWERS_OWN)
def test_not_with_get_either(server, target):
    with server.http() as client:
        assert client.get(target).status_code == 404


def test_fleet_calls_reach_the_superlink(server, member):
    with server.http() as client:
        answer = client.post("/v1/fleet/pull-messages", content=b"", headers=member.key_header)
        assert answer.status_code in (400, 401, 403, 415, 422)  # Flower's own refusal
        assert "reason" not in answer.text
        assert client.get("/v1/fleet/pull-messages").status_code == 405


def test_who_leaves_in_the_midst_of_a_call_is_no_error(server, member, tools):
    """As SuperNodes do when a sign of life is not answered in time."""
    log = server.data / "server.log"
    before = len(log.read_text())
    with connected(server) as secure:
        secure.sendall(head("/v1/fleet/leaving", member.key_header, length=1000) + b"x" * 10)
    told = tools.eventually(lambda: _lines_about("/v1/fleet/leaving", log, before))
    assert ": 499 in " in told[0]
    assert "Exception in ASGI" not in log.read_text()[before:]


def _lines_about(path, log, start):
    return [told for told in log.read_text()[start:].splitlines() if path in told]


def test_health_and_authority(server):
    with server.http() as client:
        assert client.get("/healthz").json()["serving"] is True
        assert fingerprint(client.get(CA_PATH).content) == server.invite("nobody").ca_sha256


def line(tools):
    return tools.openssh_line(ec.generate_private_key(ec.SECP384R1()))


def test_join_code_works_once(server, tools):
    secret = server.invite("carl").secret
    body = JoinRequest(secret=secret, public_key=line(tools)).model_dump()
    with server.http() as client:
        first = JoinReply.model_validate_json(client.post(JOIN_PATH, json=body).content)
        assert (first.node, first.base) == ("carl", tools.card)
        other = client.post(JOIN_PATH, json=body | {"public_key": line(tools)})
        assert (other.status_code, other.json()["reason"]) == (403, "FORBIDDEN")
        assert "used already" in other.json()["message"]


def test_join_whose_reply_was_lost(server, joined):
    dora = joined(server, "dora")
    with server.http() as client:
        answer = client.post(JOIN_PATH, json=dora.request.model_dump())
    again = JoinReply.model_validate_json(answer.content)
    assert (again.node, again.node_id) == (dora.reply.node, dora.reply.node_id)
    with dora.calls(again.token) as calls, rpc.typed_errors():
        calls.releases.ListReleases(ListReleasesRequest(), timeout=60)
    with dora.calls() as calls, pytest.raises(Forbidden), rpc.typed_errors():
        calls.releases.ListReleases(ListReleasesRequest(), timeout=60)


@pytest.mark.parametrize(
    ("change", "status", "words"),
    [
        ({"secret": "x" * 43}, 403, "not from this server"),
        ({"secret": "short"}, 400, "secret"),
        ({"public_key": "ssh-ed25519 AAAA"}, 400, "public_key"),
        ({"public_key": "ecdsa-sha2-nistp384 " + "A" * 200}, 400, "no"),
        ({"more": 1}, 400, "more"),
        ({"public_key": "x" * 20000}, 400, "bytes"),
    ],
)
def test_bad_joins_are_refused(server, tools, change, status, words):
    body = {"secret": "y" * 43, "public_key": line(tools)} | change
    with server.http() as client:
        answer = client.post(JOIN_PATH, json=body)
    assert answer.status_code == status
    assert words in answer.json()["message"]


def test_certificates_follow_the_name_and_keep_the_authority(tmp_path):
    papers = Certificates.below(tmp_path)
    prepare_certificates(papers, "fuse.example")
    authority, server_pem = papers.ca_pem, papers.certificate.read_bytes()
    prepare_certificates(papers, "fuse.example")
    assert papers.certificate.read_bytes() == server_pem
    prepare_certificates(papers, "other.example")
    assert papers.certificate.read_bytes() != server_pem
    assert papers.ca_pem == authority
    assert papers.ca_key.stat().st_mode & 0o777 == 0o600
    assert papers.key.stat().st_mode & 0o777 == 0o600


def test_certificate_without_its_key_is_made_anew(tmp_path):
    """A crash between writing the key and the certificate must not keep the server down."""
    papers, others = (Certificates.below(tmp_path / folder) for folder in ("a", "b"))
    for each in (papers, others):
        each.ca.parent.mkdir()
        prepare_certificates(each, "fuse.example")
    authority = papers.ca_pem
    papers.key.write_bytes(others.key.read_bytes())
    prepare_certificates(papers, "fuse.example")
    ssl.create_default_context().load_cert_chain(papers.certificate, papers.key)
    assert papers.ca_pem == authority


def test_small_answers_leave_at_once():
    """Without TCP_NODELAY each takes 40 ms on a connection that is kept."""

    async def accepted_without_delay():
        found = asyncio.get_running_loop().create_future()

        async def on_connect(_, writer):
            sock = writer.get_extra_info("socket")
            found.set_result(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()

        with hold_port("127.0.0.1", 0) as held:
            async with await asyncio.start_server(on_connect, sock=held):
                _, writer = await asyncio.open_connection(*held.getsockname())
                writer.close()
                return await found

    assert asyncio.run(accepted_without_delay())
