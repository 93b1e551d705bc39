"""What the doctor says of a server on this machine: settings, ports, keys, database, room."""

import fcntl
import socket
from datetime import timedelta
from types import SimpleNamespace

import pytest
from sqlalchemy import text

from fedshow import locks
from fedshow.doctor.authority import expiry
from fedshow.doctor.finding import Question, State
from fedshow.doctor.reaching import ask, ask_grpc, fetch_authority
from fedshow.doctor.servers import SKEW_SECONDS
from fedshow_server.checks import check_server
from fedshow_server.folder import DataFolder, Facts
from fedshow_server.store import open_store
from fedshow_server.upkeep.certificates import prepare_certificates
from tests.stage.certificates import make_certificates
from tests.stage.waiting import free_port


@pytest.fixture
def port(monkeypatch):
    """Where this test's server would listen."""
    found = free_port()
    monkeypatch.setenv("FEDSHOW_SERVER_LISTEN", f"127.0.0.1:{found}")
    monkeypatch.setenv("FEDSHOW_SERVER_GRPC_LISTEN", f"127.0.0.1:{free_port()}")
    return found


@pytest.fixture
def folder(tmp_path, port):
    """A folder as a server leaves it."""
    made = DataFolder(tmp_path / "server")
    made.make()
    prepare_certificates(made.certificates, "localhost")
    database = f"sqlite:///{made.path / 'fedshow.db'}"
    made.keep_facts(Facts(name="art", address=f"art:{port}", grpc="art:8444", database=database))
    open_store(database, made.blobs).close()
    return made


@pytest.fixture
def look(home):
    def look(folder):
        question = Question(home, data=folder and folder.path)
        return {one.about: one for one in check_server(question)}

    return look


def test_a_server_that_runs_is_fine(look, folder, port):
    with folder.claimed(), socket.create_server(("127.0.0.1", port)):
        found = look(folder)
    assert {one.state for one in found.values()} == {State.OK}
    assert found[f"port {port}"].says == "HTTPS of the server that runs here"
    assert found["server database"].facts["version"] == found["server database"].facts["newest"]


def test_being_looked_at_does_not_keep_a_server_from_starting(look, folder, monkeypatch):
    assert look(folder)["server"].facts["running"] is False
    with (folder.path / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        pause = SimpleNamespace(sleep=lambda _: fcntl.flock(lock, fcntl.LOCK_UN))
        monkeypatch.setattr(locks, "time", pause)
        with folder.claimed():
            assert folder.is_claimed()


def test_a_real_server_is_reached_on_both_ports(server):
    authority = (server.data / "ca" / "ca.pem").read_bytes()
    assert fetch_authority(server.address) == authority
    answer = ask(server.address, authority)
    assert answer.troubles == []
    assert abs(answer.clock_ahead_seconds) <= SKEW_SECONDS + answer.seconds
    assert expiry("certificate", answer.certificate, "").state == State.OK
    assert ask_grpc(f"{server.host}:{server.grpc_port}", authority) == "SERVING"


def test_an_empty_folder_is_no_problem_yet(look, folder):
    (folder.path / "server.json").unlink()
    found = look(folder)["server database"]
    assert (found.state, "no server has run on" in found.says) == (State.WARNING, True)


def test_one_that_does_not_run_says_how_to_start_it(look, folder):
    found = look(folder)["server"]
    assert found.state == State.WARNING
    assert found.advice == f"fedshow server run --data {folder.path}"


def test_no_server_at_all_is_fine(look, home, port, monkeypatch):
    monkeypatch.setenv("FEDSHOW_SERVER_DATA", str(home / "nothing"))
    assert look(None)["server"].state == State.OK
    with socket.create_server(("127.0.0.1", port)):
        assert look(None)[f"port {port}"].state == State.WARNING


def test_a_port_that_another_program_has_is_a_problem_for_this_server(look, folder, port):
    with socket.create_server(("127.0.0.1", port)):
        found = look(folder)[f"port {port}"]
    assert found.state == State.PROBLEM
    assert "is in use by process" in found.says
    assert f"--listen 127.0.0.1:{port + 1000}" in found.advice


def test_an_unknown_setting_is_named_with_its_file_and_what_was_meant(look, folder):
    (folder.path / "server.toml").write_text("quiet_second = 3")
    found = look(folder)
    assert set(found) == {"server settings"}
    assert found["server settings"].state == State.PROBLEM
    assert found["server settings"].says == (
        f"settings file {folder.path}/server.toml: quiet_second = 3: no such setting; "
        "did you mean quiet_seconds?"
    )


def test_certificates_that_end_and_keys_that_others_may_read(look, folder):
    old = make_certificates(ends=-timedelta(days=1), ca_ends=timedelta(days=2))
    (folder.ca / "server.pem").write_bytes(old.server)
    (folder.ca / "ca.pem").write_bytes(old.ca)
    (folder.ca / "ca.key").chmod(0o644)
    found = look(folder)
    assert found["server certificate"].state == State.PROBLEM
    assert "restart it, which renews it" in found["server certificate"].advice
    assert found["server authority"].state == State.WARNING
    assert found["server keys"].advice == f"chmod 600 {folder.ca / 'ca.key'}"


def test_a_full_disk_is_a_problem_before_the_server_says_so(look, folder, monkeypatch):
    monkeypatch.setenv("FEDSHOW_SERVER_FREE_DISK_BYTES", str(1 << 60))
    found = look(folder)["disk of the server"]
    assert (found.state, "no concept is taken" in found.says) == (State.PROBLEM, True)


def test_content_on_a_disk_of_its_own_is_looked_at_too(look, folder, tmp_path, monkeypatch):
    monkeypatch.setenv("FEDSHOW_SERVER_STORE", str(tmp_path / "content"))
    monkeypatch.setenv("FEDSHOW_SERVER_FREE_DISK_BYTES", str(1 << 60))
    found = look(folder)["disk of the server's content"]
    assert (found.state, str(tmp_path / "content") in found.says) == (State.PROBLEM, True)


def version(folder, number):
    database = folder.open_store().database
    with database.writing() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :n"), {"n": number})
    database.close()


def test_a_database_of_an_older_fedshow_is_left_so_and_a_backup_advised(look, folder):
    version(folder, "0007")
    found = look(folder)["server database"]
    assert (found.state, found.facts["version"]) == (State.WARNING, "0007")
    assert "fedshow server backup" in found.advice
    assert look(folder)["server database"].facts["version"] == "0007"


def test_a_database_of_a_newer_fedshow_is_a_problem(look, folder):
    version(folder, "9999")
    found = look(folder)["server database"]
    assert found.state == State.PROBLEM
    assert "pip install --upgrade" in found.advice


def test_a_database_that_is_gone_or_no_database(look, folder):
    file = folder.path / "fedshow.db"
    file.write_bytes(b"nonsense" * 999)
    assert "does not answer: file is not a database" in look(folder)["server database"].says
    file.unlink()
    found = look(folder)["server database"]
    assert (found.state, found.says) == (State.PROBLEM, f"{file} is missing")
    assert not file.exists()


def test_a_postgresql_that_is_down(look, folder):
    url = f"postgresql://me:secret@127.0.0.1:{free_port()}/fedshow"
    folder.keep_facts(folder.facts().model_copy(update={"database": url}))
    found = look(folder)["server database"]
    assert found.state == State.PROBLEM
    assert "pg_isready" in found.advice
    assert "secret" not in found.says
