"""Servers as the doctor sees them: every way in which getting there can fail, provoked for real."""

import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta

import pytest

from fedshow.doctor.finding import Question, State
from fedshow.doctor.servers import check_servers
from fedshow.errors import InvalidInput
from fedshow.families.card import BaseCard
from fedshow.transfer.servers import KnownServer, save_server
from tests.stage.certificates import make_certificates
from tests.stage.doors import StandInDoors
from tests.stage.waiting import free_port

CARD = BaseCard(
    name="toyworld", sha256="b" * 64, family="sd1", slots=4, token_dim=4, layers={"unet.q": (4, 4)}
)


def join(doors: StandInDoors, home, ca: bytes | None = None) -> None:
    known = KnownServer(
        server="art",
        name="art",
        node="box",
        node_id=1,
        token="t" * 43,
        grpc=doors.grpc,
        address=doors.https,
        base=CARD,
        base_source="toyworld",
        ca_pem=(ca or doors.certificates.ca).decode(),
    )
    save_server(known, home)


def look(home, server: str | None = None) -> dict[str, tuple[State, str, str]]:
    """What was found, by its last words, with what to do."""
    found = check_servers(Question(home, server=server))
    return {one.about.rpartition(" ")[2]: (one.state, one.says, one.advice) for one in found}


def test_a_joined_server_that_is_well(home, tmp_path) -> None:
    doors = StandInDoors()
    with doors.open(tmp_path):
        join(doors, home)
        found = look(home)
    assert {state for state, _, _ in found.values()} == {State.OK}
    assert set(found) == {"authority", "HTTPS", "clock", "certificate", "gRPC"}
    assert found["clock"][1] == "as here"


@pytest.mark.parametrize(("ahead", "word"), [(600, "behind"), (-600, "ahead of")])
def test_clocks_that_differ_are_a_problem(home, tmp_path, ahead: float, word: str) -> None:
    doors = StandInDoors(clock_ahead_seconds=ahead)
    with doors.open(tmp_path):
        join(doors, home)
        state, says, advice = look(home)["clock"]
    assert state == State.PROBLEM
    assert f"s {word} it" in says
    assert "59" in says or "600" in says or "601" in says
    assert "timedatectl" in advice


def test_a_certificate_that_ended_is_a_problem(home, tmp_path) -> None:
    doors = StandInDoors(make_certificates(ends=-timedelta(days=1)))
    with doors.open(tmp_path):
        join(doors, home)
        found = look(home)
    assert found["HTTPS"][0] == found["gRPC"][0] == State.PROBLEM
    assert "certificate has expired" in found["HTTPS"][1]
    assert "restarts the server" in found["HTTPS"][2]


def test_certificates_that_end_soon_are_a_warning(home, tmp_path) -> None:
    doors = StandInDoors(make_certificates(ends=timedelta(days=3), ca_ends=timedelta(days=5)))
    with doors.open(tmp_path):
        join(doors, home)
        found = look(home)
    assert found["authority"][0] == found["certificate"][0] == State.WARNING
    assert "--as art" in found["authority"][2]
    assert found["HTTPS"][0] == State.OK


def test_another_server_at_the_same_address_is_told_from_ours(home, tmp_path) -> None:
    doors = StandInDoors()
    with doors.open(tmp_path):
        join(doors, home, ca=make_certificates().ca)
        state, says, advice = look(home)["HTTPS"]
    assert state == State.PROBLEM
    assert "another server, or somebody in between" in says
    assert advice == "join it again: fedshow client join CODE --as art"


def test_a_certificate_for_another_name_says_what_its_owner_types(home, tmp_path) -> None:
    doors = StandInDoors(make_certificates(host="127.0.0.2"))
    with doors.open(tmp_path):
        join(doors, home)
        _, says, advice = look(home)["HTTPS"]
    assert "other names" in says
    assert advice == "there: fedshow server run --public-name 127.0.0.1"


def test_parts_that_do_not_work_are_named(home, tmp_path) -> None:
    doors = StandInDoors(parts={"server": "ok", "disk": "is nearly full"}, grpc_serves=False)
    with doors.open(tmp_path):
        join(doors, home)
        found = look(home)
    assert found["HTTPS"][:2] == (
        State.WARNING,
        f"{doors.https} answers, but is not well: disk is nearly full",
    )
    assert found["gRPC"][:2] == (State.WARNING, f"{doors.grpc} answers NOT_SERVING")


def test_a_grpc_port_that_no_router_lets_through_is_told_from_the_other(home, tmp_path) -> None:
    doors = StandInDoors()
    with doors.https_open(tmp_path):
        doors.grpc_port = free_port()
        join(doors, home)
        found = look(home)
    assert found["HTTPS"][0] == State.OK
    assert found["gRPC"][0] == State.PROBLEM
    assert f"let port {doors.grpc_port} through" in found["gRPC"][2]


def test_a_stranger_is_seen_without_a_proof(home, tmp_path) -> None:
    doors = StandInDoors(https_port=_two_free_ports())
    doors.grpc_port = doors.https_port + 1
    with doors.open(tmp_path):
        found = look(home, doors.https)
    assert {state for state, _, _ in found.values()} == {State.OK}
    assert found[doors.https][1] == "not joined here: whose it is cannot be told"
    assert found["gRPC"][1] == f"{doors.grpc} answers"


def test_nobody_there_a_wrong_name_and_a_wrong_port_differ(home) -> None:
    port = free_port()
    assert "nothing listens" in look(home, f"127.0.0.1:{port}")["HTTPS"][1]
    assert "name nowhere.invalid is not known" in look(home, "nowhere.invalid")["HTTPS"][1]
    with plain_talker() as port:
        assert "speaks no TLS" in look(home, f"127.0.0.1:{port}")["HTTPS"][1]


def test_what_is_no_address_is_refused_by_what_was_written(home) -> None:
    with pytest.raises(InvalidInput, match="--server 'no/such' must be HOST:PORT"):
        look(home, "no/such")


def test_without_a_server_nothing_is_wrong(home) -> None:
    state, says, _ = look(home)["servers"]
    assert state == State.OK
    assert "fedshow client join" in says


def _two_free_ports() -> int:
    while True:
        port = free_port()
        with closing(socket.socket()) as tried:
            try:
                tried.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
        return port


@contextmanager
def plain_talker() -> Iterator[int]:
    """A port that answers in plain words, once."""

    def talk() -> None:
        connection, _ = held.accept()
        with connection:
            connection.recv(64)
            connection.sendall(b"220 mail.example ready\r\n" * 4)

    with socket.create_server(("127.0.0.1", 0)) as held:
        talking = threading.Thread(target=talk)
        talking.start()
        yield held.getsockname()[1]
        talking.join()
