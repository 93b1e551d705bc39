"""The client's commands as people meet them: one line of error, exit codes, JSON."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fedshow.releases import verify_release
from fedshow.roles import Role
from fedshow.transfer.servers import save_server
from fedshow_client.settings import load_settings
from tests.conftest import Call


def add(call: Call, folder: Path, *more: object) -> tuple[int, str, str]:
    return call("client", "add", folder, "--name", "potter", "--class", "monster", *more)


def status(call: Call) -> dict[str, Any]:
    code, out, _ = call("client", "status", "--json")
    assert code == 0
    found: dict[str, Any] = json.loads(out)
    return found


def test_an_added_concept_waits_in_the_queue(call, known, pictures: Path) -> None:
    code, out, err = add(call, pictures)
    assert (code, out) == (0, "queued potter for home: 3 images\n")
    assert "fedshow client run" in err
    found = status(call)
    assert found["daemon"] is None
    (concept,) = found["concepts"]
    assert (concept["name"], concept["state"], concept["server"]) == ("potter", "queued", "home")


def test_who_may_have_it_is_said_and_changed(call, known, pictures: Path) -> None:
    assert add(call, pictures, "--visible-to", "bob", "--visible-to", "anna")[0] == 0
    assert status(call)["concepts"][0]["visible_to"] == ["anna", "bob"]
    code, out, _ = call("client", "visible", "potter", "me")
    assert (code, out) == (0, "potter on home is visible to me\n")
    assert status(call)["concepts"][0]["visible_to"] == ["me"]
    code, _, err = call("client", "visible", "potter", "no name")
    assert code == 2
    assert "'no name'" in err


def test_an_empty_folder_is_refused_by_name(call, known, tmp_path: Path) -> None:
    (tmp_path / "nothing").mkdir()
    code, _, err = add(call, tmp_path / "nothing")
    assert code == 2
    assert str(tmp_path / "nothing") in err
    assert status(call)["concepts"] == []


def test_a_folder_of_broken_images_is_refused_by_name(call, known, pictures: Path) -> None:
    for file in pictures.iterdir():
        file.write_bytes(file.read_bytes()[:60])
    code, _, err = add(call, pictures)
    assert code == 2
    assert str(pictures) in err
    assert status(call)["concepts"] == []


def test_a_broken_image_among_good_ones_is_left_out(call, known, pictures: Path) -> None:
    (pictures / "0.png").write_bytes(b"no picture")
    code, out, err = add(call, pictures)
    assert (code, out) == (0, "queued potter for home: 2 images\n")
    assert "left out: 0.png" in err


@pytest.mark.parametrize(
    ("name", "word", "says"), [("Potter!", "man", "'Potter!'"), ("potter", "sea monster", "'sea m")]
)
def test_impossible_names_are_refused(call, known, pictures, name, word, says) -> None:
    code, _, err = call("client", "add", pictures, "--name", name, "--class", word)
    assert code == 2
    assert says in err


def test_a_downloader_cannot_add_and_sees_its_role(call, known, home, pictures: Path) -> None:
    save_server(known.model_copy(update={"role": Role.DOWNLOADER, "node_id": None}), home)
    code, _, err = add(call, pictures)
    assert code == 2
    assert "is a downloader at home" in err
    found = status(call)
    assert found["concepts"] == []
    assert found["servers"][0]["role"] == "downloader"
    assert ", downloader: " in call("client", "status")[1]


def test_without_a_server_nothing_can_be_added(call, pictures: Path) -> None:
    code, _, err = add(call, pictures)
    assert (code, err) == (2, "fedshow: no server joined yet: fedshow client join CODE\n")


def test_a_concept_can_be_withdrawn_before_it_is_tuned(call, known, pictures: Path) -> None:
    add(call, pictures)
    assert call("client", "withdraw", "potter")[:2] == (0, "withdrew potter from home\n")
    assert status(call)["concepts"][0]["state"] == "withdrawn"
    assert add(call, pictures)[0] == 0


def test_a_code_that_is_none_is_refused(call) -> None:
    code, _, err = call("client", "join", "hello")
    assert code == 2
    assert "'hello' is no join code" in err


def test_a_concept_whose_server_left_says_what_it_waits_for(call, known, home, pictures) -> None:
    add(call, pictures)
    (known.folder(home) / "server.json").unlink()
    (concept,) = status(call)["concepts"]
    assert concept["state"] == "queued"
    assert concept["reason"] == "waits until server 'home' is joined again, as a contributor"
    assert "potter: waits until server 'home' is joined again" in call("client", "status")[1]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("devise = 'cpu'", "'devise' is no setting; there is device"),
        ("poll_seconds = -1", "setting poll_seconds = -1:"),
        ("poll_seconds = 1\ndevice = cuda", "line 2"),
        ("home = '/elsewhere'", "FEDSHOW_HOME in the environment moves it"),
    ],
)
def test_a_wrong_settings_file_is_refused_by_what_is_wrong(call, home, content, words) -> None:
    home.mkdir()
    (home / "client.toml").write_text(content)
    code, _, err = call("client", "status")
    assert code == 2
    assert words in err
    assert str(home) in err or "poll_seconds" in err


def test_flags_win_over_the_environment_and_that_over_the_file(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.mkdir()
    (home / "client.toml").write_text("device = 'cuda'\ntune_tries = 7\npoll_seconds = 9")
    monkeypatch.setenv("FEDSHOW_CLIENT_DEVICE", "cpu")
    monkeypatch.setenv("FEDSHOW_CLIENT_TUNE_TRIES", "8")
    found = load_settings(device="auto")
    assert (found.device, found.tune_tries, found.poll_seconds) == ("auto", 8, 9)


@pytest.mark.parametrize("variable", ["FEDSHOW_CLIENT_DEVISE", "fedshow_client_devise"])
def test_an_unknown_variable_of_the_client_is_refused(call, monkeypatch, variable: str) -> None:
    monkeypatch.setenv(variable, "cpu")
    code, _, err = call("client", "status")
    assert code == 2
    assert f"{variable}: 'devise' is no setting; there is device" in err


def test_one_variable_moves_every_command(call, known, home: Path, monkeypatch) -> None:
    assert status(call)["home"] == str(home)
    monkeypatch.setenv("FEDSHOW_HOME", str(home.with_name("elsewhere")))
    assert status(call)["servers"] == []
    assert "no joined server 'home'" in call("releases", "home")[2]


def test_releases_are_listed_pulled_and_verified(call, known, host, tmp_path: Path) -> None:
    manifest = host.publish({"fused.safetensors": b"weights"})
    _, out, _ = call("releases", "home", "--json")
    assert [release["id"] for release in json.loads(out)] == [manifest.release]
    code, out, _ = call("pull", f"home@{manifest.release}", "-o", tmp_path / "model", "--json")
    assert (code, json.loads(out)["release"]) == (0, manifest.release)
    assert verify_release(tmp_path / "model") == manifest
    assert call("verify", tmp_path / "model")[0] == 0
    (tmp_path / "model" / "fused.safetensors").write_bytes(b"Weights")
    code, _, err = call("verify", tmp_path / "model")
    assert code == 1
    assert "fused.safetensors" in err


def test_a_server_that_stays_down_ends_a_command(call, known, host, tmp_path: Path) -> None:
    host.stop()
    code, _, err = call("pull", "home", "-o", tmp_path / "model", "--wait", "0.5")
    assert code == 1
    assert "does not answer" in err
    assert err.endswith("; next: fedshow doctor --server home\n")


def test_status_says_since_when_a_server_does_not_answer(call, known, queue) -> None:
    queue.reached("home", trouble="home:8444 does not answer")
    assert "does not answer\n" in call("client", "status")[1]
    queue.reached("home")
    queue.reached("home", trouble="home:8444 does not answer")
    assert "does not answer (reached " in call("client", "status")[1]


@pytest.mark.parametrize(
    "command", ["client status", "client page", "releases nobody", "verify /nowhere"]
)
def test_quick_commands_load_nothing_heavy(command: str, home: Path) -> None:
    script = (
        "import sys; from fedshow.cli import main\n"
        f"sys.argv = ['fedshow', *{command.split()!r}]\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'diffusers', 'transformers', 'flwr'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)
