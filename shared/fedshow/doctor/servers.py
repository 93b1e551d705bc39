"""Servers as they are seen from here: both ports, whose certificate it is and until when, the clock."""

from collections.abc import Iterator

from fedshow.doctor.authority import expiry
from fedshow.doctor.finding import Finding, Question, fine, problem, warning
from fedshow.doctor.reaching import Answer, Blocked, ask, ask_grpc, fetch_authority
from fedshow.errors import InvalidInput
from fedshow.joining import check_address
from fedshow.transfer.servers import KnownServer, known_servers

DEFAULT_PORT = 8443

SKEW_SECONDS = 5.0
"""What Flower forgives: beyond it a server refuses what a node signs."""

JOIN_ADVICE = "ask the server's owner for a code: fedshow client join CODE"


def check_servers(question: Question) -> Iterator[Finding]:
    """The server asked about, or every joined one."""
    joined = known_servers(question.home)
    if question.server is None:
        if not joined:
            yield fine("servers", "none joined yet (fedshow client join CODE)", joined=[])
        for server in joined:
            yield from _joined(server)
        return
    for server in joined:
        if question.server in (server.name, server.address, server.grpc):
            yield from _joined(server)
            return
    yield from _stranger(_address(question.server))


def _address(given: str) -> str:
    """HOST:PORT of what somebody wrote. Raises InvalidInput."""
    address = given if given.rpartition(":")[2].isdigit() else f"{given}:{DEFAULT_PORT}"
    try:
        return check_address(address)
    except ValueError as error:
        raise InvalidInput(f"--server {given!r} {error}, or the name of a joined one") from None


def _joined(server: KnownServer) -> Iterator[Finding]:
    """By the authority that was pinned when it was joined."""
    about = f"server {server.name}"
    pinned = server.ca_pem.encode()
    again = f"join it again: fedshow client join CODE --as {server.name}"
    yield expiry(f"{about}: authority", pinned, again)
    yield from _seen(about, server.address, server.grpc, pinned, again)


def _stranger(address: str) -> Iterator[Finding]:
    """Of one that is not joined nothing can be proved: it is believed what it says of itself."""
    about = f"server {address}"
    try:
        authority = fetch_authority(address)
    except Blocked as blocked:
        yield problem(f"{about}: HTTPS", blocked.says, blocked.advice)
        return
    yield fine(about, "not joined here: whose it is cannot be told", joined=False)
    host, _, port = address.rpartition(":")
    yield from _seen(about, address, f"{host}:{int(port) + 1}", authority, JOIN_ADVICE)


def _seen(about: str, https: str, grpc: str, authority: bytes, again: str) -> Iterator[Finding]:
    try:
        answer = ask(https, authority)
    except Blocked as blocked:
        advice = again if blocked.is_another else blocked.advice
        yield problem(f"{about}: HTTPS", blocked.says, advice, address=https)
    else:
        yield _https(about, https, answer)
        yield _clock(about, answer)
        renewal = "restart the server, which renews it: fedshow server run"
        yield expiry(f"{about}: certificate", answer.certificate, renewal)
    try:
        status = ask_grpc(grpc, authority)
    except Blocked as blocked:
        yield problem(f"{about}: gRPC", blocked.says, blocked.advice, address=grpc)
    else:
        yield _grpc(about, grpc, status)


def _https(about: str, address: str, answer: Answer) -> Finding:
    about = f"{about}: HTTPS"
    if not answer.troubles:
        return fine(about, f"{address} answers in {answer.seconds:.2f} s", address=address)
    says = f"{address} answers, but is not well: {'; '.join(answer.troubles)}"
    return warning(about, says, "its owner's log says more", address=address)


def _grpc(about: str, address: str, status: str) -> Finding:
    about = f"{about}: gRPC"
    if status == "SERVING":
        return fine(about, f"{address} answers", address=address)
    return warning(about, f"{address} answers {status}", "try again soon", address=address)


def _clock(about: str, answer: Answer) -> Finding:
    about = f"{about}: clock"
    ahead = answer.clock_ahead_seconds
    facts = {"ahead_seconds": ahead}
    if abs(ahead) <= SKEW_SECONDS + answer.seconds:
        return fine(about, "as here", **facts)
    how = "behind" if ahead > 0 else "ahead of"
    says = f"this machine is {abs(ahead):.0f} s {how} it: what is signed here will be refused"
    return problem(about, says, "sudo timedatectl set-ntp true, on whichever is wrong", **facts)
