"""The queue as people see and steer it: order, pauses, tries, and what the status says of them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fedshow_client.home import Home, holder_name
from fedshow_client.queue import Job, JobState, NewJob, Queue
from fedshow_client.status import ClientStatus
from fedshow_client.status.showing import duration
from tests.conftest import Call


@pytest.fixture
def put(queue: Queue, known: object) -> Callable[..., Job]:
    """Queues a concept without looking at its images."""

    def add(name: str, priority: int = 0, **options: object) -> Job:
        return queue.add(
            NewJob("home", name, "man", Path("/pictures"), "toyworld", priority, options)
        )

    return add


@pytest.fixture
def at_work(place: Home, queue: Queue) -> Callable[[], Any]:
    """Makes this process the daemon that has claimed the first job."""
    return lambda: queue.claim(holder_name(place.daemon_pid() or 0), 60)


def progress(place: Home, job: Job, **line: object) -> None:
    folder = place.job(job.id)
    folder.path.mkdir(parents=True, exist_ok=True)
    with folder.progress.open("a") as file:
        file.write(json.dumps(line) + "\n")


def status(call: Call) -> dict[str, Any]:
    code, out, _ = call("client", "status", "--json")
    assert code == 0
    found: dict[str, Any] = json.loads(out)
    return found


def concepts(call: Call) -> dict[str, dict[str, Any]]:
    return {concept["name"]: concept for concept in status(call)["concepts"]}


def test_concepts_are_listed_in_the_order_of_their_turns(call, put, queue, place, at_work) -> None:
    done = put("done")
    queue.move(done.id, JobState.ADMITTED)
    put("a"), put("b", 5), put("c")
    assert call("client", "priority", "c", "9")[:2] == (0, "priority of c: 9\n")
    with place.one_daemon():
        at_work()
        put("d", 99)
        assert list(concepts(call)) == ["c", "d", "b", "a", "done"]
        assert concepts(call)["c"]["state"] == "tuning"


def test_priority_may_be_below_zero(call, put) -> None:
    put("a")
    assert call("client", "priority", "a", "--", "-3")[0] == 0
    assert concepts(call)["a"]["priority"] == -3


def test_times_follow_from_the_rate_and_add_up(call, put, place, at_work) -> None:
    first, _, _ = put("a"), put("b", steps=100), put("c")
    progress(place, first, step=50, steps=200, seconds=25)
    with place.one_daemon():
        at_work()
        found = status(call)
        shown = {c["name"]: (c["seconds_left"], c["eta_seconds"]) for c in found["concepts"]}
        assert shown == {"a": (75, 75), "b": (50, 125), "c": (100, 225)}
        assert (found["concepts"][0]["rate"], found["eta_seconds"]) == (2, 225)
        out = call("client", "status")[1]
        assert "queue: 3 to tune, ready in about 3 min 45 s" in out
        assert "50/200" in out


def test_without_a_daemon_nothing_is_foretold(call, put, place) -> None:
    progress(place, put("a"), step=50, steps=200, seconds=25)
    found = status(call)
    assert found["eta_seconds"] is None
    assert found["concepts"][0]["eta_seconds"] is None


def test_a_paused_concept_says_so_and_others_do_not_wait_for_it(call, put, place, at_work) -> None:
    progress(place, put("a"), step=50, steps=200, seconds=25)
    put("b")
    assert call("client", "pause", "a")[0] == 0
    with place.one_daemon():
        found = concepts(call)
        assert (found["a"]["state"], found["a"]["paused"]) == ("queued", True)
        assert (found["a"]["eta_seconds"], found["b"]["eta_seconds"]) == (None, 100)
        assert "1 of them paused" in call("client", "status")[1]
        assert call("client", "resume", "a")[0] == 0
        assert concepts(call)["b"]["eta_seconds"] == 175


def test_a_paused_queue_says_so(call, put) -> None:
    put("a")
    call("client", "pause")
    assert status(call)["paused"] is True
    assert "queue paused with 1 to tune: fedshow client resume" in call("client", "status")[1]
    assert "whole queue is paused" in call("client", "resume", "a")[2]
    assert call("client", "resume")[:2] == (0, "resumed the queue\n")
    assert status(call)["paused"] is False


def test_what_is_tuned_cannot_be_paused(call, put, queue) -> None:
    queue.move(put("a").id, JobState.ADMITTED)
    code, _, err = call("client", "pause", "a")
    assert code == 2
    assert "concept 'a' is admitted; only one that waits for tuning can be paused" in err


def test_what_waits_for_the_card_says_so(call, put, place, at_work) -> None:
    job = put("a")
    progress(place, job, step=50, steps=200, seconds=25)
    progress(place, job, waiting="card 1 is in use by fedshow tune --name ron")
    with place.one_daemon():
        at_work()
        found = concepts(call)["a"]
        assert (found["state"], found["step"]) == ("tuning", 50)
        assert found["reason"] == "card 1 is in use by fedshow tune --name ron"
    assert concepts(call)["a"]["reason"] == "", "nothing waits when no daemon runs"


def test_a_failed_concept_says_why_and_is_tried_again(call, put, queue, place) -> None:
    job = put("a")
    progress(place, job, step=50, steps=200, seconds=25)
    queue.move(job.id, JobState.FAILED, "no memory")
    assert "a: no memory (fedshow client retry a)" in call("client", "status")[1]
    assert call("client", "retry", "a")[:2] == (0, "queued a again\n")
    found = concepts(call)["a"]
    assert (found["state"], found["reason"], found["step"]) == ("queued", "", 50)


def test_starting_over_forgets_the_steps(call, put, queue, place) -> None:
    job = put("a")
    progress(place, job, step=50, steps=200, seconds=25)
    assert call("client", "retry", "a", "--start-over")[0] == 2
    assert place.job(job.id).path.exists(), "a refused command deletes nothing"
    queue.move(job.id, JobState.FAILED, "other images")
    assert call("client", "retry", "a", "--start-over")[0] == 0
    assert not place.job(job.id).path.exists()


@pytest.mark.parametrize("state", ["queued", "paused", "failed", "leased by the dead"])
def test_withdrawing_deletes_the_work_and_never_the_images(
    call, known, queue, place, pictures, state: str
) -> None:
    call("client", "add", pictures, "--name", "a", "--class", "monster")
    job = queue.find("a")
    progress(place, job, step=50, steps=200, seconds=25)
    if state == "paused":
        queue.pause(job)
    if state == "failed":
        queue.move(job.id, JobState.FAILED)
    if state == "leased by the dead":
        queue.claim(holder_name(1), 3600)
    before = {file.name: file.read_bytes() for file in pictures.iterdir()}
    assert call("client", "withdraw", "a")[0] == 0
    assert concepts(call)["a"]["state"] == "withdrawn"
    assert not place.job(job.id).path.exists()
    assert {file.name: file.read_bytes() for file in pictures.iterdir()} == before


@pytest.mark.parametrize("state", [JobState.HELD, JobState.FAILED, JobState.REFUSED])
def test_withdrawing_takes_along_what_was_tried_before(call, put, queue, place, state) -> None:
    old, other = put("a"), put("b")
    for job in (old, other):
        progress(place, job, step=50, steps=200, seconds=25)
        queue.move(job.id, state, "too bad")
    new = put("a")
    progress(place, new, step=50, steps=200, seconds=25)
    assert call("client", "withdraw", "a")[0] == 0
    assert {queue.get(job.id).state for job in (old, new)} == {JobState.WITHDRAWN}
    assert not place.job(old.id).path.exists()
    assert not place.job(new.id).path.exists()
    assert queue.get(other.id).state == state
    assert place.job(other.id).path.exists()


def test_recipe_settings_are_kept_with_the_concept(call, known, pictures) -> None:
    given = (
        "--steps",
        "9",
        "--method",
        "lora",
        "--no-flip",
        "--set",
        "batch=2",
        "--set",
        "ema=0.9",
    )
    call("client", "add", pictures, "--name", "a", "--class", "monster", *given)
    assert concepts(call)["a"]["options"] == {
        "steps": 9,
        "method": "lora",
        "flip": False,
        "set": ["batch=2", "ema=0.9"],
    }


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("--set", "bach=2"), "did you mean batch"),
        (("--set", "batch=many"), "a whole number"),
        (("--set", "batch=0"), "batch = 0"),
        (("--method", "magic"), "method 'magic': use ed-lora"),
        (("--rank", "5000"), "rank = 5000"),
    ],
)
def test_wrong_settings_are_refused_at_once(call, known, pictures, given, words) -> None:
    code, _, err = call("client", "add", pictures, "--name", "a", "--class", "monster", *given)
    assert code == 2
    assert words in err
    assert status(call)["concepts"] == []


def test_a_caption_that_the_base_cannot_read_is_refused_at_once(call, known, pictures) -> None:
    (pictures / "1.txt").write_text("a monster " + "on the meadow " * 12)
    code, _, err = call("client", "add", pictures, "--name", "a", "--class", "monster")
    assert code == 2
    assert "caption of 1.png: 41 tokens, base 'toyworld' reads 32" in err
    assert status(call)["concepts"] == []


def test_a_class_of_several_tokens_is_refused_at_once(call, known, pictures) -> None:
    code, _, err = call("client", "add", pictures, "--name", "a", "--class", "wizard")
    assert code == 2
    assert "use a word that is one token" in err


def test_a_base_that_is_not_here_yet_is_no_reason_to_refuse(call, known, pictures, home) -> None:
    record = known.folder(home) / "server.json"
    record.write_text(record.read_text().replace('"toyworld"', '"nobody/nothing"'))
    code, _, err = call("client", "add", pictures, "--name", "a", "--class", "wizard")
    assert code == 0, err
    assert "nobody/nothing" in err


def test_the_schema_describes_every_field_of_the_answer(call, put) -> None:
    put("a")
    schema = json.loads(call("client", "status", "--schema")[1])
    assert schema == ClientStatus.model_json_schema(mode="serialization")
    described = schema["$defs"]["ConceptStatus"]["properties"]
    assert set(concepts(call)["a"]) == set(described)
    assert set(status(call)) == set(schema["properties"])


def test_only_the_newest_of_a_name_is_shown_to_people(call, put, queue) -> None:
    queue.move(put("a").id, JobState.FAILED, "no memory")
    put("a")
    assert len(status(call)["concepts"]) == 2
    out = call("client", "status")[1]
    assert "no memory" not in out
    assert "queued" in out


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(59.4, "59 s"), (60, "1 min 0 s"), (3700, "1 h 1 min"), (90000, "1 d 1 h")],
)
def test_durations_are_said_in_two_units(seconds: float, words: str) -> None:
    assert duration(seconds) == words
