"""Queue and server agree in the end, whichever of them forgot something."""

from pathlib import Path

import pytest

from fedshow.errors import Exhausted, InvalidInput, NotFound, Unreachable
from fedshow.v1 import concepts_pb2 as pb
from fedshow_client.daemon.courier import FORGOTTEN, GONE, reconcile
from fedshow_client.home import Home
from fedshow_client.queue import Job, JobState, NewJob, Queue
from fedshow_client.sharing import show_to
from fedshow_client.visibility import check_visible_to
from fedshow_client.withdrawing import withdraw

SHA256 = "a" * 64


@pytest.fixture
def job(queue: Queue, place: Home, known) -> Job:
    """A tuned concept in the outbox."""
    job = queue.add(NewJob("home", "potter", "man", Path("/pictures"), "toyworld"))
    queue.claim("test", 60)
    queue.finish(job.id, "test", SHA256, 9)
    place.outbox("home").mkdir(parents=True)
    place.concept_file("home", SHA256).write_bytes(b"a concept")
    return job


def test_a_tuned_concept_is_submitted_once(host, connection, queue, place, job) -> None:
    assert reconcile(connection, queue, place)
    assert queue.find("potter").state == JobState.SUBMITTED
    offered = host.concepts.pop("potter")
    assert (offered.sha256, offered.size_bytes, offered.class_word) == (SHA256, 9, "man")


def test_what_the_server_says_is_taken_over(host, connection, queue, place, job) -> None:
    reconcile(connection, queue, place)
    host.concepts["potter"].state = pb.CONCEPT_STATE_ADMITTED
    assert not reconcile(connection, queue, place)
    assert queue.find("potter").state == JobState.ADMITTED
    assert place.concept_file("home", SHA256).exists()


def test_a_refusal_keeps_its_reason(host, connection, queue, place, job) -> None:
    reconcile(connection, queue, place)
    host.concepts["potter"].state = pb.CONCEPT_STATE_REFUSED
    host.concepts["potter"].reason = "NaN in it"
    reconcile(connection, queue, place)
    found = queue.find("potter")
    assert (found.state, found.reason) == (JobState.REFUSED, "NaN in it")
    assert not place.concept_file("home", SHA256).exists()


def test_a_server_that_lost_everything_is_told_again(host, connection, queue, place, job) -> None:
    reconcile(connection, queue, place)
    host.concepts["potter"].state = pb.CONCEPT_STATE_ADMITTED
    reconcile(connection, queue, place)
    host.concepts.clear()
    assert reconcile(connection, queue, place)
    assert host.concepts["potter"].sha256 == SHA256


def test_other_peoples_concepts_are_not_ours(host, connection, queue, place, job) -> None:
    host.concepts["potter"] = pb.Concept(name="potter", sha256=SHA256, owner="stranger")
    reconcile(connection, queue, place)
    assert host.concepts["potter"].owner == "box"


def test_a_concept_removed_by_the_server_is_not_offered_again(
    host, connection, queue, place, job
) -> None:
    reconcile(connection, queue, place)
    host.concepts["potter"].state = pb.CONCEPT_STATE_WITHDRAWN
    assert not reconcile(connection, queue, place)
    assert queue.find("potter").state == JobState.WITHDRAWN


def test_a_refused_submission_is_final(host, connection, queue, place, job, monkeypatch) -> None:
    def refuse(*_: object) -> None:
        raise InvalidInput("the name belongs to another node")

    monkeypatch.setattr(connection, "concepts", connection.concepts)
    monkeypatch.setattr(connection, "call", _fails_at_submit(connection, refuse))
    reconcile(connection, queue, place)
    assert queue.find("potter").state == JobState.REFUSED
    assert "another node" in queue.find("potter").reason


def test_not_found_is_no_withdrawal_while_the_server_lists_it(
    host, connection, queue, place, job, home
) -> None:
    """To say that it is withdrawn would be a lie: everybody still has it."""
    reconcile(connection, queue, place)
    host.refusals["potter"] = NotFound("no concept 'potter' that could be taken out")
    with pytest.raises(NotFound):
        withdraw("potter", None, home, 5, lambda *_: None)
    assert queue.find("potter").state == JobState.SUBMITTED
    assert place.concept_file("home", SHA256).exists()
    queue.move(job.id, JobState.WITHDRAWN)
    with pytest.raises(NotFound):
        reconcile(connection, queue, place)
    host.concepts["potter"].owner = "stranger"
    reconcile(connection, queue, place)


def test_one_that_finds_no_room_now_holds_no_other_up(host, connection, queue, place, job) -> None:
    """Others are offered and followed; it is offered again later."""
    second = queue.add(NewJob("home", "dobby", "man", Path("/pictures"), "toyworld"))
    queue.claim("test", 60)
    queue.finish(second.id, "test", "c" * 64, 9)
    place.concept_file("home", "c" * 64).write_bytes(b"another")
    host.refusals["potter"] = full = Exhausted("the disk is nearly full: try again later", 600)
    assert reconcile(connection, queue, place)
    assert (queue.find("potter").state, queue.find("potter").reason) == (JobState.TUNED, str(full))
    assert queue.find("dobby").state == JobState.SUBMITTED
    host.concepts["dobby"].state = pb.CONCEPT_STATE_ADMITTED
    assert not reconcile(connection, queue, place)
    assert queue.find("dobby").state == JobState.ADMITTED
    host.refusals.clear()
    reconcile(connection, queue, place)
    assert (queue.find("potter").state, queue.find("potter").reason) == (JobState.SUBMITTED, "")


def _fails_at_submit(connection, refuse):
    call = connection.call

    def wrapped(method, request):
        return refuse() if isinstance(request, pb.SubmitConceptRequest) else call(method, request)

    return wrapped


@pytest.mark.parametrize("told", [False, True])
def test_a_file_that_is_gone_ends_the_wait_on_both_sides(
    host, connection, queue, place, job, told
) -> None:
    if told:
        reconcile(connection, queue, place)
    place.concept_file("home", SHA256).unlink()
    assert not reconcile(connection, queue, place)
    found = queue.find("potter")
    assert (found.state, found.reason) == (JobState.FAILED, GONE)
    states = [concept.state for concept in host.concepts.values()]
    assert states == [pb.CONCEPT_STATE_WITHDRAWN] * told


def test_withdrawing_what_the_server_never_had_is_no_error(
    host, connection, queue, place, job, home
) -> None:
    reconcile(connection, queue, place)
    host.concepts.clear()
    withdraw("potter", None, home, 5, lambda *_: None)
    assert queue.find("potter").state == JobState.WITHDRAWN


def test_withdrawing_tells_the_server_and_clears_the_outbox(
    host, connection, queue, place, job, home
) -> None:
    reconcile(connection, queue, place)
    withdraw("potter", None, home, 5, lambda *_: None)
    assert host.concepts["potter"].state == pb.CONCEPT_STATE_WITHDRAWN
    assert queue.find("potter").state == JobState.WITHDRAWN
    assert not place.concept_file("home", SHA256).exists()


def test_a_concept_withdrawn_while_on_its_way_is_taken_back(
    host, connection, queue, place, job
) -> None:
    reconcile(connection, queue, place)
    queue.move(job.id, JobState.WITHDRAWN)
    reconcile(connection, queue, place)
    assert host.concepts["potter"].state == pb.CONCEPT_STATE_WITHDRAWN


def test_withdrawing_changes_nothing_while_the_server_is_down(
    host, connection, queue, place, job, home
) -> None:
    reconcile(connection, queue, place)
    host.stop()
    with pytest.raises(Unreachable):
        withdraw("potter", None, home, 0, lambda *_: None)
    assert queue.find("potter").state == JobState.SUBMITTED


@pytest.mark.parametrize(
    ("words", "nodes"), [(["everybody"], None), (["me"], []), (["bob", "anna"], ["anna", "bob"])]
)
def test_the_server_hears_who_may_have_it(
    host, connection, queue, place, job, words, nodes
) -> None:
    """With the offer, and when it is changed while nobody can be told."""
    queue.show(job, check_visible_to(words))
    reconcile(connection, queue, place)
    assert shown(host) == nodes
    queue.show(job, ["carl"])
    reconcile(connection, queue, place)
    assert shown(host) == ["carl"]


def shown(host) -> list[str] | None:
    concept = host.concepts["potter"]
    return list(concept.visible.nodes) if concept.HasField("visible") else None


def test_showing_is_told_at_once(host, connection, queue, place, job, home) -> None:
    reconcile(connection, queue, place)
    found = show_to("potter", ["me"], None, home, 5, print)
    assert (found.visible_to, shown(host)) == (["me"], [])
    with pytest.raises(InvalidInput, match="'me' goes with no other name"):
        show_to("potter", ["me", "bob"], None, home, 5, print)
    with pytest.raises(InvalidInput, match="node name 'no name'"):
        show_to("potter", ["no name"], None, home, 5, print)
    queue.move(job.id, JobState.WITHDRAWN)
    with pytest.raises(InvalidInput, match="'potter' is withdrawn"):
        show_to("potter", ["me"], None, home, 5, print)


def test_a_receipt_is_told(host, connection, queue, place, job) -> None:
    reconcile(connection, queue, place)
    withdraw("potter", None, place.folder, 5, print)
    reconcile(connection, queue, place)
    assert queue.find("potter").reason == ""
    host.concepts["potter"].removal.remaining = 2
    reconcile(connection, queue, place)
    assert queue.find("potter").reason == FORGOTTEN


def test_one_that_the_owner_looks_at_is_not_asked_about_all_the_time(
    host, connection, queue, place, job
) -> None:
    reconcile(connection, queue, place)
    host.concepts["potter"].state = pb.CONCEPT_STATE_PENDING
    host.concepts["potter"].reason = "odd"
    assert not reconcile(connection, queue, place)
    found = queue.find("potter")
    assert (found.state, found.reason) == (JobState.SUBMITTED, "waits for the server's owner: odd")
    host.concepts["potter"].state = pb.CONCEPT_STATE_ADMITTED
    host.concepts["potter"].reason = ""
    reconcile(connection, queue, place)
    assert (queue.find("potter").state, queue.find("potter").reason) == (JobState.ADMITTED, "")
