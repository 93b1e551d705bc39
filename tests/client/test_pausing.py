"""Pausing for real: `fedshow tune` stops at its next step, and goes on from there."""

import json
from pathlib import Path
from threading import Event

import pytest

from fedshow.concepts import read_concept
from fedshow.demo.folders import Person, draw_images
from fedshow_client.daemon.tuner import Tuner
from fedshow_client.queue import JobState, NewJob
from fedshow_client.settings import load_settings
from tests.client.conftest import wait_for
from tests.conftest import BASE
from tests.stage.waiting import in_a_thread

STEPS = 100
OPTIONS = {"steps": STEPS, "samples": False, "leakage": False, "set": ["variants=2"]}


@pytest.fixture
def person(tmp_path: Path) -> Person:
    found = Person("alice", "gloop", tmp_path / "alice")
    draw_images(found, seed=0)
    return found


def test_a_paused_run_goes_on_from_its_checkpoint(
    call, queue, place, known, card, person: Person
) -> None:
    servers = {"home": known.model_copy(update={"base": card})}
    tuner = Tuner(place, queue, load_settings(device="cpu"), "test")
    job = queue.add(NewJob("home", "gloop", "monster", person.images, BASE, options=OPTIONS))
    told = place.job(job.id).progress

    def tune(stop: Event) -> None:
        tuner.tune_next(servers, stop)

    with in_a_thread(tune):
        wait_for(told.exists)
        assert call("client", "pause", "gloop")[0] == 0
    assert queue.get(job.id).state == JobState.QUEUED
    assert (place.job(job.id).work / "checkpoint.safetensors").exists()
    paused_after = len(told.read_text().splitlines())
    assert call("client", "resume", "gloop")[0] == 0
    tune(Event())
    steps = [json.loads(line)["step"] for line in told.read_text().splitlines()]
    assert paused_after < len(steps)
    assert steps == list(range(10, STEPS + 1, 10)), "no step was done twice"
    found = queue.get(job.id)
    assert (found.state, found.reason) == (JobState.TUNED, "")
    assert read_concept(place.concept_file("home", found.sha256)).header.name == "gloop"
