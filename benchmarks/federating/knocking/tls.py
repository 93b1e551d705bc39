"""Connections that are no TLS, or TLS of a version that is broken."""

import socket
import ssl
import warnings

from benchmarks.federating.knocking.cast import Cast
from benchmarks.federating.knocking.tally import Tally

OLD = (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1)
NEW = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)
SERVERS_WORDS = ("ALERT_PROTOCOL_VERSION", "ALERT_HANDSHAKE_FAILURE", "UNEXPECTED_EOF", "RESET")
"""How a server ends a handshake; if it is our own side that gives up, nothing was measured."""
PLAIN_TEXTS = {
    "HTTP/1.1": b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0)),
}
ANSWERS = (b"HTTP/1.1 20", b"\x00\x00")
"""How one begins that is an answer: a success, or a frame of HTTP/2."""
PATIENCE_SECONDS = 10


def knock(cast: Cast, tally: Tally) -> dict[str, int]:
    """Tries both ports in every version; how many handshakes of old ones were refused."""
    refused = tried = 0
    for name, port in {"HTTPS": cast.server.port, "gRPC": cast.server.grpc_port}.items():
        for version in NEW:
            told = handshake(port, version)
            tally.guest(f"{version.name} at {name}", told, admitted=told == "")
        for version in OLD:
            told = handshake(port, version)
            is_refused = any(word in told for word in SERVERS_WORDS)
            tally.stranger(f"{version.name} at {name}", told or "a connection", refused=is_refused)
            tried, refused = tried + 1, refused + is_refused
        for text, content in PLAIN_TEXTS.items():
            told_back = say(port, content)
            is_open = told_back.startswith(ANSWERS)
            tally.stranger(f"plain {text} at {name}", told_back[:40], refused=not is_open)
    return {"tls_old_tried": tried, "tls_old_refused": refused}


def handshake(port: int, version: ssl.TLSVersion) -> str:
    """Why there is no connection in this version; empty when there is one."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")  # or our own side would refuse the old ones
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = context.maximum_version = version
    context.set_alpn_protocols(["h2", "http/1.1"])

    try:
        with (
            socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_SECONDS) as plain,
            context.wrap_socket(plain, server_hostname="127.0.0.1"),
        ):
            return ""
    except OSError as error:
        return f"{type(error).__name__} {error}".upper()


def say(port: int, content: bytes) -> bytes:
    """What comes back when this is said without TLS; nothing when the server hangs up."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_SECONDS) as plain:
            plain.sendall(content)
            return plain.recv(4096)
    except OSError:
        return b""
