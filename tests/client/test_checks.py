"""What the doctor says of a user's machine: settings, daemon, queue, the page's port."""

import os
import socket
import sqlite3
from pathlib import Path

import pytest

from fedshow.doctor.finding import Finding, Question, State
from fedshow_client.checks import check_client
from fedshow_client.home import Home
from fedshow_client.queue import Queue
from tests.stage.waiting import free_port


def look(home: Path) -> dict[str, Finding]:
    return {one.about: one for one in check_client(Question(home))}


@pytest.fixture
def page_port(monkeypatch: pytest.MonkeyPatch) -> int:
    """A port of this test's own."""
    port = free_port()
    monkeypatch.setenv("FEDSHOW_CLIENT_PAGE_PORT", str(port))
    return port


def test_a_new_home_is_fine(home: Path, page_port: int) -> None:
    found = look(home)
    assert {one.state for one in found.values()} == {State.OK}
    assert set(found) == {"client settings", f"port {page_port}", "client daemon"}
    assert not home.exists()


def test_a_broken_settings_file_is_a_problem_and_hides_nothing_else(home: Path) -> None:
    home.mkdir()
    (home / "client.toml").write_text("devise = 'cpu'")
    found = look(home)
    assert found["client settings"].state == State.PROBLEM
    assert "'devise' is no setting; there is device" in found["client settings"].says
    assert str(home / "client.toml") in found["client settings"].advice
    assert "client daemon" in found


def test_settings_that_were_chosen_are_told(home: Path, page_port: int) -> None:
    home.mkdir()
    (home / "client.toml").write_text("tune_tries = 7")
    found = look(home)["client settings"]
    assert found.facts["chosen"] == {"tune_tries": 7, "page_port": page_port}
    assert "tune_tries = 7" in found.says


def test_somebody_else_on_the_page_s_port_is_a_warning(home: Path, page_port: int) -> None:
    with socket.create_server(("127.0.0.1", page_port)):
        found = look(home)[f"port {page_port}"]
        assert (found.state, str(os.getpid()) in found.says) == (State.WARNING, True)
        assert "page_port" in found.advice
        with Home(home).one_daemon():
            assert look(home)[f"port {page_port}"].state == State.OK


def test_a_daemon_that_a_joined_server_waits_for_is_missed(home: Path, known, page_port) -> None:
    found = look(home)["client daemon"]
    assert (found.state, found.advice) == (State.WARNING, "fedshow client run")
    with Home(home).one_daemon():
        found = look(home)["client daemon"]
    assert (found.state, found.facts["process"]) == (State.OK, os.getpid())


def test_a_queue_is_looked_at_and_left_as_it_is(home: Path, page_port: int) -> None:
    file = Home(home).database
    Queue(file).close()
    assert look(home)["client queue"].state == State.OK
    with sqlite3.connect(file) as database:
        database.execute("PRAGMA user_version = 99")
    found = look(home)["client queue"]
    assert (found.state, found.facts["version"]) == (State.PROBLEM, 99)
    assert "pip install --upgrade" in found.advice
    file.write_bytes(b"no database" * 500)
    found = look(home)["client queue"]
    assert (found.state, "damaged" in found.says) == (State.PROBLEM, True)
    assert f"mv {file}" in found.advice
