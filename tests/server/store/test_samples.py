"""Samples of concepts and what they measure, on every database."""

from hashlib import sha256

import pytest

from fedshow_server.store.samples import MOST_ATTEMPTS, Measure, Sample
from tests.server.store.making import LISTING, admitted, manifest, offer

MEASURE = Measure("toyworld", 0.9, b"\0" * 8)


def sample(number, content=b"picture"):
    return Sample(number, "a <x>", 1.0, 1, 20, 64, 64, sha256(content).hexdigest(), content)


def draw(store, name, measure=MEASURE):
    """All of a concept's pictures, as the worker leaves them."""
    subject = store.samples.next("toyworld")
    assert subject.name == name
    store.samples.begin(subject, 4)
    assert store.samples.add(subject, [sample(0), sample(1)])
    store.samples.finish(subject, measure)
    return subject


def names(store, scorer="toyworld"):
    """Who is drawn, in which order, when all that anybody does is to fail."""
    found = []
    while (subject := store.samples.next(scorer)) is not None:
        found.append(subject.name)
        store.samples.begin(subject, 4)
    return found


def test_every_admitted_or_pending_concept_is_drawn_once(store, anna):
    admitted(store, anna, "potter", "1")
    store.concepts.quarantine(admitted(store, anna, "dobby", "2"), "odd")
    store.concepts.submit(anna.id, offer("malfoy", "3"), 100)  # its file is still to come
    store.concepts.submit(anna.id, offer("snape", "4"), 100)
    store.concepts.refuse(offer("snape", "4").sha256, "no")
    potter = draw(store, "potter")
    assert [one.number for one in store.samples.of(potter)] == [0, 1]
    assert store.samples.of(potter)[0] == sample(0)
    draw(store, "dobby")
    assert store.samples.next("toyworld") is None
    assert store.showcase.one(anna, "potter").rank == 4, "known from its file since"


def test_what_fails_goes_behind_the_others_and_ends(store, anna):
    for name in ("potter", "dobby"):
        admitted(store, anna, name, name)
    assert names(store) == ["potter", "dobby"] * MOST_ATTEMPTS
    store.samples.try_again()
    potter = store.samples.next("toyworld")
    store.samples.give_up(potter)
    assert names(store) == ["dobby"] * MOST_ATTEMPTS


def test_being_told_to_stop_is_no_failure(store, anna):
    admitted(store, anna, "potter", "1")
    for _ in range(2 * MOST_ATTEMPTS):
        subject = store.samples.next("")
        store.samples.begin(subject, 4)
        store.samples.rest(subject)
    for number in range(2 * MOST_ATTEMPTS):
        subject = store.samples.next("")
        store.samples.begin(subject, 4)  # every picture is worth new attempts
        assert store.samples.add(subject, [sample(number)])
    assert store.samples.next("") is not None


@pytest.mark.parametrize("end", ["withdraw", "remove", "refuse", "reject", "replace"])
def test_a_concept_that_goes_takes_its_samples_with_it(store, anna, tools, end):
    digest = admitted(store, anna, "potter", "1")
    other = admitted(store, anna, "dobby", "2")
    potter, dobby = draw(store, "potter"), draw(store, "dobby")
    published = manifest(tools.card, "potter")
    store.releases.publish(published, LISTING)
    store.samples.measured(published.release, potter, "toyworld", 0.8)
    if end == "withdraw":
        store.concepts.withdraw("potter", anna.id)
    elif end == "remove":
        store.concepts.withdraw("potter")
    elif end == "refuse":
        store.concepts.refuse_admitted(digest, "no")
    elif end == "reject":
        store.concepts.quarantine(digest, "odd")
        assert store.samples.of(potter), "the owner decides by looking at them"
        store.concepts.reject("potter")
    else:
        newer = admitted(store, anna, "potter", "newer")
        assert newer != digest
        draw(store, "potter")
    assert store.samples.of(potter) == []
    assert store.showcase.identities(published.release) == {}
    assert not store.samples.add(potter, [sample(5)]), "a picture that was being drawn meanwhile"
    store.samples.measured(published.release, potter, "toyworld", 0.8)
    assert store.showcase.identities(published.release) == {}
    assert len(store.samples.of(dobby)) == 2
    assert other


def test_another_scorer_measures_again(store, anna, tools):
    admitted(store, anna, "potter", "potter")
    potter = draw(store, "potter")
    published = manifest(tools.card, "potter")
    store.releases.publish(published, LISTING)
    release, (found,) = store.samples.unmeasured([published.release], "toyworld")
    assert (release, found.name, found.measure) == (published.release, "potter", MEASURE)
    assert store.samples.unmeasured([], "toyworld") is None
    store.samples.measured(release, found, "toyworld", 0.45)
    assert store.samples.unmeasured([release], "toyworld") is None
    assert store.showcase.identities(release)["potter"].kept == pytest.approx(0.5)

    assert store.samples.next("toyworld") is None
    assert store.samples.next("") is None, "who cannot measure leaves what is measured"
    again = store.samples.next("dino")
    assert again.id == potter.id
    store.samples.finish(again, Measure("dino", 0.7, b""))
    assert store.showcase.identities(release) == {}, "numbers of two scorers never compare"
    release, (found,) = store.samples.unmeasured([release], "dino")
    store.samples.measured(release, found, "dino", 0.7)
    assert store.showcase.identities(release)["potter"].kept == 1
