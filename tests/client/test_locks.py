"""One run on a card at a time, whoever started it and however it ends."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from threading import Thread
from types import SimpleNamespace

import pytest

from fedshow.locks import locked
from fedshow_client import locks
from fedshow_client.commands.tune import _own_card
from fedshow_client.daemon.progress import read_progress
from fedshow_client.home import Home
from fedshow_client.locks import Busy, card_of, lock_file, one_run
from tests.client.conftest import wait_for
from tests.conftest import Call
from tests.stage.waiting import PATIENCE_SECONDS

CARD = "GPU-11111111"
HOLD = (
    "import sys, time; from fedshow_client.locks import one_run\n"
    "with one_run(sys.argv[1], 'fedshow tune --name ron', None):\n"
    "    print('held', flush=True); time.sleep(600)\n"
)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the locks of this test lie."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def other(cache: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Another process on the card."""
    command = [sys.executable, "-c", HOLD, CARD]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        yield process
        process.kill()


def test_a_second_run_is_refused_with_the_name_of_the_first(other) -> None:
    words = f"card {CARD} is in use by fedshow tune --name ron, process {other.pid}"
    with pytest.raises(Busy, match=words), one_run(CARD, "me", None):
        pass


def test_a_second_run_waits_until_the_first_is_gone_however_it_ends(other) -> None:
    told: list[str] = []

    def kill(text: str) -> None:
        told.append(text)
        if text:
            os.kill(other.pid, signal.SIGKILL)

    with one_run(CARD, "me", kill):
        assert lock_file(CARD).read_text() == f"me, process {os.getpid()}"
    assert [bool(text) for text in told] == [True, False]


def test_other_cards_and_the_processor_are_free(other, cache: Path) -> None:
    with one_run("GPU-22222222", "me", None), one_run(card_of("cpu"), "me", None):
        pass
    files = {file.name for file in (cache / "fedshow" / "cards").iterdir()}
    assert files == {"GPU-11111111.lock", "GPU-22222222.lock"}


def test_two_homes_agree_on_the_card(monkeypatch, tmp_path: Path) -> None:
    found = set()
    for home in ("one", "two"):
        monkeypatch.setenv("FEDSHOW_HOME", str(tmp_path / home))
        found.add(lock_file(CARD))
    assert len(found) == 1


def test_tuning_by_hand_refuses_with_no_wait(other, call: Call, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(locks, "card_of", lambda _: CARD)
    given = ("--name", "potter", "--class", "monster", "-o", tmp_path / "out.safetensors")
    code, _, err = call("tune", tmp_path, *given, "--device", "cpu", "--no-wait")
    assert code == 1
    assert "in use by fedshow tune --name ron" in err


def test_whoever_waits_says_so_in_the_progress(other, monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setattr(locks, "card_of", lambda _: CARD)
    progress = tmp_path / "progress.jsonl"
    progress.write_text('{"step": 50, "steps": 200, "seconds": 25}\n')
    request = SimpleNamespace(device="cuda", name="potter")
    with ExitStack() as stack:
        arguments = (_own_card(request, True, progress),)
        thread = Thread(target=stack.enter_context, args=arguments)
        thread.start()
        wait_for(lambda: read_progress(progress).waiting)
        found = read_progress(progress)
        assert "in use by fedshow tune --name ron" in found.waiting
        assert (found.step, found.steps, found.rate) == (50, 200, 2.0)
        other.kill()
        thread.join(PATIENCE_SECONDS)
        assert not thread.is_alive()
        assert read_progress(progress).waiting == ""


def test_asking_for_the_daemon_does_not_look_like_one(place: Home) -> None:
    place.make()
    place.lock.write_text("1")
    with place.lock.open() as file:  # as `client status` does for a moment
        assert locked(file, shared=True)
        assert place.daemon_pid() is None
