"""Pausing for real: `fedshow tune` stops at its next step, and goes on from there."""

import json
import os
from pathlib import Path
from threading import Event

import pytest

from fedshow.concepts import read_concept
from fedshow.demo.folders import Person, draw_images
from fedshow_client.daemon import tuner as tuner_module
from fedshow_client.daemon.tuner import Tuner
from fedshow_client.queue import JobState, NewJob
from fedshow_client.settings import load_settings
from tests.client.conftest import wait_for
from tests.conftest import BASE
from tests.stage.waiting import in_a_thread

STEPS, HALF = 40, 20
WAITING = f"""
import time
from fedshow_client.daemon.tune_child import main
from fedshow_client.tuning.trainer import Trainer

run = Trainer.run

def run_to_half(trainer, progress, report, stop):
    def stops():
        while progress.step == {HALF} and not stop():
            time.sleep(0.05)
        return stop()

    run(trainer, progress, report, stops)

Trainer.run = run_to_half
"""
"""`fedshow tune` that goes no further than half before it is told to stop, however fast it is."""

OPTIONS = {"steps": STEPS, "samples": False, "leakage": False, "set": ["variants=2"]}


@pytest.fixture
def person(tmp_path: Path) -> Person:
    found = Person("alice", "gloop", tmp_path / "alice")
    draw_images(found, seed=0)
    return found


def test_a_paused_run_goes_on_from_its_checkpoint(
    call, queue, place, known, card, person: Person, tmp_path: Path, monkeypatch
) -> None:
    (tmp_path / "waiting_tuner.py").write_text(WAITING)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    servers = {"home": known.model_copy(update={"base": card})}
    tuner = Tuner(place, queue, load_settings(device="cpu"), "test")
    job = queue.add(NewJob("home", "gloop", "monster", person.images, BASE, options=OPTIONS))
    told = place.job(job.id).progress

    def tune(stop: Event) -> None:
        tuner.tune_next(servers, stop)

    with monkeypatch.context() as patch:
        patch.setattr(tuner_module, "ENTRY", "waiting_tuner:main")
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
