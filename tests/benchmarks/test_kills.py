"""What the benchmark of kills counts: it would notice a loss, and it kills what it says."""

import sys
from collections import Counter
from random import Random
from threading import Event, Timer
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
from safetensors.numpy import save_file

from benchmarks.federating import kills
from benchmarks.federating.victims import Kind
from tests.stage.service import Service
from tests.stage.waiting import eventually

SLEEP = (sys.executable, "-c", "import time; time.sleep(600)")


@pytest.fixture
def service(tmp_path):
    """A program that is kept running."""
    found = Service(SLEEP, tmp_path / "sleep.log")
    yield found
    found.stop()


def kind(service, within_seconds=0.01):
    return Kind(lambda: [service.pid], lambda pid: psutil.Process(pid).kill(), within_seconds)


@pytest.fixture
def no_pause(monkeypatch):
    """Kills come at once."""
    monkeypatch.setattr(kills, "LONGEST_PAUSE_SECONDS", 0.01)


def test_a_killed_service_runs_again(service, no_pause):
    first = service.pid
    assert kills._kill_one(kind(service), Random(0), Event())
    eventually(lambda: service.pid != first)
    assert psutil.Process(service.pid).is_running()
    assert service.restarts == 1


def test_nobody_to_kill_is_no_kill(no_pause):
    ended = Event()
    nobody = Kind(list, pytest.fail, 0.01)
    timer = Timer(0.2, ended.set)
    timer.start()
    count: Counter[str] = Counter()
    kills._hunt(lambda: kills._kill_one(nobody, Random(0), ended), "ghost", 1, count)
    timer.join()
    assert count.total() == 0


def test_a_victim_that_left_before_is_no_kill(no_pause):
    """What was seen alive ended by itself before its moment came: the next one is hit."""
    lives, killed = iter(([1], [], [2], [2])), []
    assert kills._kill_one(Kind(lambda: next(lives), killed.append, 0.01), Random(0), Event())
    assert killed == [2]


def federation(**changes):
    """One that ended well, but for `changes`."""
    found = {
        "states": lambda: {"pip": "admitted"},
        "releases": lambda: {"r1": set(), "r2": {"pip"}},
        "downloader": SimpleNamespace(pulled={"r1"}, damaged=[]),
        "audit": lambda: "",
    }
    return SimpleNamespace(**(found | changes))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"releases": lambda: {"r1": {"pip"}, "r2": set()}}, "pip is not in the last release"),
        ({"states": lambda: {"pip": "failed"}}, "pip is failed"),
        ({"releases": lambda: {"r2": {"pip"}}}, "release r1 is gone"),
        ({"downloader": SimpleNamespace(pulled={"r3"}, damaged=[])}, "release r3 is unknown"),
        ({"downloader": SimpleNamespace(pulled=set(), damaged=["x"])}, "download: x"),
        ({"audit": lambda: "entry 3"}, "audit log: entry 3"),
    ],
)
def test_every_loss_is_counted(changes, words):
    announced = {"r1": set(), "r2": {"pip"}}
    assert kills._lost(federation(), {"pip"}, announced) == []
    assert words in kills._lost(federation(**changes), {"pip"}, announced)


def test_releases_are_compared_by_what_they_hold(tmp_path):
    tensors = {"unet.a.lora_A.weight": np.ones((2, 3), np.float32)}
    changed = {name: tensor + 0.5 for name, tensor in tensors.items()}
    other = {"unet.b.lora_A.weight": np.ones((2, 3), np.float32)}
    for name, content in (("a", tensors), ("b", changed), ("c", other)):
        (tmp_path / name).mkdir()
        save_file(content, tmp_path / name / "fused.safetensors")
    assert kills.difference(tmp_path / "a", tmp_path / "a") == 0
    assert kills.difference(tmp_path / "a", tmp_path / "b") == pytest.approx(0.5)
    assert kills.difference(tmp_path / "a", tmp_path / "c") == float("inf")
