"""Join codes, as people paste them.

A code is bad unless it is `fedshow-join:` and base64url of strict JSON with exactly an address that a
machine can have (a name, IPv4 or IPv6 address, and a port), 64 hexadecimal digits, a secret of 43
signs, and perhaps a base's public name; and unless it is read as just these.
"""

import base64
import binascii
import json
import re
from ipaddress import IPv6Address

from hypothesis import strategies as st

from benchmarks.federating.fuzzing import strictly
from benchmarks.federating.fuzzing.mutating import Raw, odd_bytes, odd_documents
from benchmarks.federating.fuzzing.strictly import Bad, demand
from benchmarks.federating.fuzzing.target import Target
from fedshow.errors import InvalidInput
from fedshow.joining import PREFIX, JoinCode

SECRET = re.compile(r"[A-Za-z0-9_-]{43}")
LABEL = re.compile(r"(?![-])[A-Za-z0-9_-]{1,63}(?<![-])")
CODES = (
    {"a": "fuse.example:8443", "f": "0f" * 32, "s": "aB3_-" * 8 + "xyz", "b": "toyworld"},
    {"a": "[::1]:65535", "f": "ab" * 32, "s": "s" * 43, "b": "owner/base"},
    {"a": "127.0.0.1:1", "f": "00" * 32, "s": "-" * 43},
)
ADDRESSES = st.sampled_from(
    [
        *("a:0", "a:65536", "a:99999", "a:00080", "a:", ":1", "a", "..:1", "-:1", "a b:1", "a\n:1"),
        *(
            "[::1:1",
            "::1:1",
            "[:::::]:1",
            "[1:2]:1",
            "user@a:1",
            "a/b:1",
            "a:1/x",
            "a:1 ",
            "a..b:1",
        ),
        *("\u0661.1.1.1:1", "a:\u0661", f"{'a' * 300}:1", f"{'a.' * 200}a:1", "[::1%25eth0]:1"),
    ]
).map(lambda it: Raw(json.dumps(it)))


def target() -> Target:
    """Codes with and without a base."""
    valid = tuple(_encoded(json.dumps(code)) for code in CODES)
    documents = st.one_of(*(odd_documents(code, ADDRESSES) for code in CODES))
    inner = odd_bytes(*(json.dumps(code).encode() for code in CODES))
    cases = st.one_of(
        documents.map(_encoded), inner.map(_enveloped), odd_bytes(*valid), st.text().map(str.encode)
    )
    return Target("join codes", cases, valid, feed, fault)


def _encoded(text: str) -> bytes:
    return _enveloped(text.encode("utf-8", "surrogatepass"))


def _enveloped(content: bytes) -> bytes:
    return PREFIX.encode() + base64.urlsafe_b64encode(content).rstrip(b"=")


def feed(case: bytes) -> JoinCode:
    """What a terminal hands over is text; what is none never arrives."""
    try:
        text = case.decode()
    except UnicodeDecodeError:
        raise InvalidInput("no text") from None
    return JoinCode.parse(text)


def fault(case: bytes, made: JoinCode) -> str | None:
    """Why the code is bad, or was read as something else."""
    try:
        found = _judged(case)
    except Bad as error:
        return str(error)
    read = {"a": made.address, "f": made.ca_sha256, "s": made.secret, "b": made.base}
    return None if read == {"b": "", **found} else "read as something else"


def _judged(case: bytes) -> dict[str, str]:
    word = case.decode().strip()
    demand(word.startswith(PREFIX) and len(word) <= 1024, "no prefix, or too long")
    body = word.removeprefix(PREFIX)
    demand(re.fullmatch(r"[A-Za-z0-9_-]*={0,2}", body), "no base64url")
    try:
        content = base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))
    except binascii.Error as error:
        raise Bad(f"no base64url: {error}") from None
    found = strictly.entries(strictly.document(content), {"a", "f", "s"}, {"b"}, "code")
    strictly.text(found["f"], strictly.SHA256, "fingerprint")
    strictly.text(found["s"], SECRET, "secret")
    demand(found.get("b", "") == "" or strictly.text(found["b"], strictly.BASE, "base"), "base")
    _judge_address(strictly.text(found["a"], re.compile(".*"), "address"))
    return found


def _judge_address(address: str) -> None:
    host, _, port = address.rpartition(":")
    demand(re.fullmatch("[0-9]{1,5}", port) and 1 <= int(port) <= 65535, f"port {port:.20}")
    if host.startswith("["):
        try:
            IPv6Address(host.removeprefix("[").removesuffix("]"))
        except ValueError:
            raise Bad(f"host {host:.40}") from None
        demand(host.endswith("]") and "%" not in host, f"host {host:.40}")
    else:
        demand(len(host) <= 253 and all(map(LABEL.fullmatch, host.split("."))), f"host {host:.40}")
