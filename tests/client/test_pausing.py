"""Pausing for real: `fedshow tune` stops at its next step, and goes on from there."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

import pytest

from fedshow.concepts import read_concept
from fedshow.demo.folders import Person, draw_images
from fedshow_client.daemon.tuner import Tuner
from fedshow_client.queue import JobState, NewJob
from fedshow_client.settings import load_settings
from tests.client.conftest import wait_for
from tests.conftest import BASE

STEPS = 100
OPTIONS = {"steps": STEPS, "samples": False, "leakage": False, "set": ["variants=2"]}


@pytest.fixture
def person(tmp_path: Path) -> Person:
    found = Person("alice", "gloop", tmp_path / "alice")
    draw_images(found, seed=0)
    return found


@contextmanager
def in_a_thread(tuner: Tuner, servers: dict[str, object]) -> Iterator[None]:
    thread = Thread(target=tuner.tune_next, args=(servers, Event()))
    thread.start()
    yield
    thread.join(120)
    assert not thread.is_alive()


def test_a_paused_run_goes_on_from_its_checkpoint(
    call, queue, place, known, card, person: Person
) -> None:
    servers = {"home": known.model_copy(update={"base": card})}
    tuner = Tuner(place, queue, load_settings(device="cpu"), "test")
    job = queue.add(NewJob("home", "gloop", "monster", person.images, BASE, options=OPTIONS))
    told = place.job(job.id).progress
    with in_a_thread(tuner, servers):
        wait_for(told.exists, 120)
        assert call("client", "pause", "gloop")[0] == 0
    assert queue.get(job.id).state == JobState.QUEUED
    assert (place.job(job.id).work / "checkpoint.safetensors").exists()
    paused_after = len(told.read_text().splitlines())
    assert call("client", "resume", "gloop")[0] == 0
    with in_a_thread(tuner, servers):
        pass
    steps = [json.loads(line)["step"] for line in told.read_text().splitlines()]
    assert paused_after < len(steps)
    assert steps == list(range(10, STEPS + 1, 10)), "no step was done twice"
    found = queue.get(job.id)
    assert (found.state, found.reason) == (JobState.TUNED, "")
    assert read_concept(place.concept_file("home", found.sha256)).header.name == "gloop"
