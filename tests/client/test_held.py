"""A concept that gives back too much of its pictures is held, and leaves only when it may."""

import json
from pathlib import Path
from threading import Event

import pytest
from PIL import Image

from fedshow_client.daemon.tuner import Tuner
from fedshow_client.queue import JobState, NewJob
from fedshow_client.settings import load_settings
from tests.conftest import Call


@pytest.mark.parametrize(
    ("metrics", "options", "words"),
    [
        ({"leakage": 0.62}, {"max_leakage": 0.5}, "leakage 0.62 is above the limit 0.5"),
        ({"leakage": 0.62}, {}, "leakage 0.62 is above the limit 0.6"),
        ({}, {"max_leakage": 0.5}, "its leakage was not measured, and the limit is 0.5"),
    ],
)
def test_what_gives_back_too_much_is_held_and_its_file_stays(
    place, queue, known, stand_in, concept_blob, metrics, options, words
) -> None:
    stand_in.write_bytes(concept_blob(metrics=metrics))
    queue.add(NewJob("home", "potter", "man", Path("/p"), "toyworld", options=options))
    settings = load_settings(max_leakage=0.6)
    Tuner(place, queue, settings, "test").tune_next({"home": known}, Event())
    job = queue.find("potter")
    file = place.job(job.id).result("potter")
    assert (job.state, job.reason) == (JobState.HELD, f"{words}; the file stays at {file}")
    assert file.read_bytes() == stand_in.read_bytes()
    assert not list(place.job(job.id).path.rglob("latents*")), "the private pictures in other words"
    assert not place.outbox("home").exists()
    assert not queue.jobs(JobState.TUNED)


@pytest.mark.parametrize("options", [{"max_leakage": 0.7}, {"max_leakage": 1.0}])
def test_a_jobs_own_limit_counts_before_the_settings(
    place, queue, known, stand_in, concept_blob, options
) -> None:
    stand_in.write_bytes(concept_blob(metrics={"leakage": 0.62}))
    queue.add(NewJob("home", "potter", "man", Path("/p"), "toyworld", options=options))
    settings = load_settings(max_leakage=0.1)
    Tuner(place, queue, settings, "test").tune_next({"home": known}, Event())
    assert queue.find("potter").state == JobState.TUNED


def test_a_held_concept_is_offered_without_tuning_again_once_it_may(
    place, queue, known, stand_in, concept_blob, monkeypatch
) -> None:
    stand_in.write_bytes(concept_blob(metrics={"leakage": 0.62}))
    queue.add(NewJob("home", "potter", "man", Path("/p"), "toyworld"))
    Tuner(place, queue, load_settings(max_leakage=0.5), "test").tune_next({"home": known}, Event())
    monkeypatch.setenv("STAND_IN_CODE", "1")  # whoever tunes now fails
    queue.retry(queue.find("potter"))
    Tuner(place, queue, load_settings(max_leakage=0.7), "test").tune_next({"home": known}, Event())
    job = queue.find("potter")
    assert job.state == JobState.TUNED
    assert place.concept_file("home", job.sha256).read_bytes() == stand_in.read_bytes()


def test_the_limit_travels_from_the_command_to_where_things_leave(
    call: Call, place, queue, known, stand_in, concept_blob, tmp_path
) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    Image.new("RGB", (64, 64), (80, 9, 9)).save(pictures / "0.png")
    wanted = (pictures, "--name", "potter", "--class", "monster", "--max-leakage", "0.5")
    code, _, told = call("client", "add", *wanted)
    assert code == 0, told
    stand_in.write_bytes(concept_blob(class_word="monster", metrics={"leakage": 0.62}))
    Tuner(place, queue, load_settings(), "test").tune_next({"home": known}, Event())
    code, out, _ = call("client", "status", "--json")
    (concept,) = json.loads(out)["concepts"]
    assert (code, concept["state"]) == (0, "held")
    assert concept["reason"].startswith("leakage 0.62 is above the limit 0.5; the file stays at ")
