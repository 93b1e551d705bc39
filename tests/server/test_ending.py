"""A server that ends does so in order, and one that goes on for years renews its certificate."""

import signal
import socket
import ssl
import threading
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from fedshow import rpc
from fedshow.errors import Unreachable
from fedshow.v1 import releases_pb2 as pb
from tests.server.test_web import weights
from tests.stage.processes import children
from tests.stage.publishing import put_release

LARGE = bytes(48 << 20)
"""More than the buffers of a connection take: it is sent only as fast as it is read."""


@pytest.fixture
def own_server(tools, tmp_path):
    """A server of this test's own."""
    found = tools.Server(tools.make_data(tmp_path / "data"))
    found.start()
    return found


def test_running_downloads_end_well_and_waiting_ones_at_once(own_server, joined, tools):
    release = put_release(own_server, "potter", {"unet/weights.safetensors": LARGE})
    anna = joined(own_server, "anna")
    headers = {"authorization": f"Bearer {anna.reply.token}"}
    with anna.calls() as calls, own_server.http() as client:
        watch = calls.releases.WatchReleases(pb.WatchReleasesRequest())
        next(watch)
        with client.stream("GET", weights(release), headers=headers) as answer:
            blocks = answer.iter_raw(1000)
            came = len(next(blocks))
            ending = threading.Thread(target=own_server.end)
            ending.start()
            with pytest.raises(Unreachable, match="server stops"), rpc.typed_errors():
                next(watch)
            assert ending.is_alive()
            came += sum(map(len, blocks))
            assert came == int(answer.headers["content-length"])
        ending.join()
    assert own_server.process.returncode == 0
    log = (own_server.data / "server.log").read_text()
    assert "stopping" in log
    assert "Traceback" not in log


def shown_by(server, port):
    """The certificate on a port."""
    trust = ssl.create_default_context(cafile=str(server.data / "ca" / "ca.pem"))
    trust.set_alpn_protocols(["h2", "http/1.1"])
    with (
        socket.create_connection(("127.0.0.1", port), timeout=60) as plain,
        trust.wrap_socket(plain, server_hostname="127.0.0.1") as secure,
    ):
        return x509.load_der_x509_certificate(secure.getpeercert(binary_form=True))


def put_nearly_expired(folder):
    """The server's certificate as it will be in a year, signed by the same authority."""
    key = serialization.load_pem_private_key((folder / "ca.key").read_bytes(), None)
    now = x509.load_pem_x509_certificate((folder / "server.pem").read_bytes())
    builder = x509.CertificateBuilder(
        now.issuer,
        now.subject,
        now.public_key(),
        now.serial_number,
        now.not_valid_before_utc,
        datetime.now(UTC) + timedelta(days=3),
        list(now.extensions),
    )
    soon = builder.sign(key, hashes.SHA256())
    (folder / "server.pem").write_bytes(soon.public_bytes(serialization.Encoding.PEM))


def test_certificate_is_renewed_while_running(own_server, joined, tools):
    anna = joined(own_server, "anna")
    ports = (own_server.port, own_server.grpc_port)
    before = [shown_by(own_server, port).serial_number for port in ports]
    assert len(set(before)) == 1
    with anna.calls() as calls:
        watch = calls.releases.WatchReleases(pb.WatchReleasesRequest())
        next(watch)
        put_nearly_expired(own_server.data / "ca")
        (superlink,) = children(own_server.process.pid, "superlink_process")
        own_server.process.send_signal(signal.SIGHUP)
        for port in ports:
            tools.eventually(
                lambda port=port: shown_by(own_server, port).serial_number not in before
            )
            left = shown_by(own_server, port).not_valid_after_utc - datetime.now(UTC)
            assert left > timedelta(days=300)
        assert not watch.done()  # connections stay
        watch.cancel()
    with own_server.http() as client:
        tools.eventually(  # SuperLink takes it, too
            lambda: children(own_server.process.pid, "superlink_process") not in ([], [superlink])
        )
        tools.eventually(lambda: client.get("/healthz").status_code == 200)
    with anna.calls() as calls, rpc.typed_errors():
        calls.releases.ListReleases(pb.ListReleasesRequest(), timeout=60)
    assert own_server.end() == 0
