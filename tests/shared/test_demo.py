"""The demo's folder and its child processes; the demo as a whole is tested end to end."""

import time
from pathlib import Path

import pytest

from fedshow.demo.folders import MARKER
from fedshow.demo.processes import Background, background, call, environment
from fedshow.demo.run import Demo, run_demo
from fedshow.errors import FedshowError, InvalidInput


def never(line: str) -> None:
    pytest.fail(f"the demo went on: {line}")


def test_a_folder_with_anything_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / MARKER).touch()
    (tmp_path / "diary.txt").write_text("mine")
    with pytest.raises(InvalidInput, match=r"holds diary\.txt: choose an empty folder"):
        run_demo(Demo(tmp_path), never)
    assert (tmp_path / "diary.txt").read_text() == "mine"


def test_a_folder_that_only_looks_like_a_demos_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "people").mkdir()
    with pytest.raises(InvalidInput, match="is not of an earlier demo"):
        run_demo(Demo(tmp_path), never)
    assert (tmp_path / "people").is_dir()


def test_a_base_that_is_none_is_said_before_anything_is_replaced(tmp_path: Path) -> None:
    (tmp_path / MARKER).touch()
    (tmp_path / "grid.png").write_text("old")
    with pytest.raises(InvalidInput, match="base 'nowhere'"):
        run_demo(Demo(tmp_path, base="nowhere"), never)
    assert (tmp_path / "grid.png").read_text() == "old"


@pytest.mark.parametrize(
    "name", ["FEDSHOW_SERVER_DATABASE", "fedshow_server_store", "FEDSHOW_CLIENT_ROLE"]
)
def test_nothing_of_the_owners_real_server_or_client_reaches_the_demo(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "production")
    monkeypatch.setenv("FEDSHOW_THREADS", "3")
    for found in (environment(), environment(tmp_path)):
        assert name not in list(found)
        assert found["FEDSHOW_THREADS"] == "3"


def test_a_failed_command_says_why(tmp_path: Path) -> None:
    with pytest.raises(
        FedshowError, match="fedshow releases nobody failed: no joined server 'nobody'"
    ):
        call("releases", "nobody", home=tmp_path)


def test_children_end_with_the_block(tmp_path: Path) -> None:
    with background(tmp_path) as commands:
        commands.start("client", "client", "run", home=tmp_path / "home")
        (child,) = commands._children.values()
        commands.check()
    assert child.poll() is not None


def test_a_child_that_ended_is_noticed(tmp_path: Path) -> None:
    commands = Background(tmp_path)
    commands.start("version", "--version")
    with pytest.raises(FedshowError, match=r"version ended early: \d+\.\d"):
        check_for_a_minute(commands)


def check_for_a_minute(commands: Background) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        commands.check()
        time.sleep(0.05)


def test_its_pictures_alone_are_drawn_in_a_moment(call, tmp_path: Path) -> None:
    code, out, _ = call("demo", "--images-only", "--out", tmp_path / "demo")
    images = tmp_path / "demo" / "people" / "alice" / "images"
    assert code == 0
    assert f"{images}: 8 pictures of gloop, a monster" in out
    assert len(list(images.glob("*.txt"))) == len(list(images.glob("*.mask.png"))) == 8
    assert {path.name for path in (tmp_path / "demo").iterdir()} == {MARKER, "people"}
