"""What becomes of concepts: the contract of every store."""

import pytest

from fedshow.errors import InvalidInput, NotFound
from fedshow.roles import Role
from fedshow_server.store import State
from tests.server.store.making import DAY, LISTING, admitted, manifest, offer


def test_submitting_again_changes_nothing(store, anna):
    first = store.concepts.submit(anna.id, offer("potter", "1"), 100)
    assert first.state is State.WANTED
    assert (first.owner, first.flower_id) == ("anna", anna.flower_id)
    store.concepts.admit(first.sha256)
    again = store.concepts.submit(anna.id, offer("potter", "1"), 100)
    assert again.state is State.ADMITTED
    assert len(store.concepts.all()) == 1


def test_name_belongs_to_its_node(store, anna, bob):
    store.concepts.submit(anna.id, offer("potter", "1"), 100)
    with pytest.raises(InvalidInput, match="'potter' is taken"):
        store.concepts.submit(bob.id, offer("potter", "2"), 100)
    with pytest.raises(NotFound):
        store.concepts.withdraw("potter", bob.id)
    store.concepts.withdraw("potter", anna.id)
    assert store.concepts.submit(bob.id, offer("potter", "2"), 100).state is State.WANTED


def test_file_is_one_concept_only(store, anna, bob):
    store.concepts.submit(anna.id, offer("potter", "1"), 100)
    with pytest.raises(InvalidInput, match="another concept"):
        store.concepts.submit(bob.id, offer("dobby", "1"), 100)


def test_newer_version_replaces_when_admitted(store, anna):
    old = store.concepts.submit(anna.id, offer("potter", "1"), 100)
    store.concepts.admit(old.sha256)
    new = store.concepts.submit(anna.id, offer("potter", "2"), 100)
    assert [c.sha256 for c in store.concepts.admitted()] == [old.sha256]
    store.concepts.admit(new.sha256)
    assert [c.sha256 for c in store.concepts.admitted()] == [new.sha256]
    assert [c.state for c in store.concepts.all()] == [State.ADMITTED, State.REPLACED]


def test_an_older_one_that_arrives_later_replaces_nothing(store, anna):
    """Both are wanted while the node is away; whichever is handed over first, the newer one stays."""
    old = store.concepts.submit(anna.id, offer("potter", "1"), 100)
    new = store.concepts.submit(anna.id, offer("potter", "2"), 100)
    store.concepts.admit(new.sha256)
    store.concepts.admit(old.sha256)
    assert [c.sha256 for c in store.concepts.admitted()] == [new.sha256]
    assert [c.state for c in store.concepts.all()] == [State.ADMITTED, State.REPLACED]


def test_latest_never_has_a_withdrawn_concept(store, tools, anna):
    potter = admitted(store, anna, "potter", "potter")
    one = manifest(tools.card, "potter")
    store.releases.publish(one, LISTING)
    admitted(store, anna, "dobby", "dobby")
    two = manifest(tools.card, "dobby", "potter")
    store.releases.publish(two, LISTING)

    store.concepts.withdraw("dobby")
    assert store.releases.get("latest").id == one.release
    assert store.releases.last().id == two.release
    store.concepts.withdraw("potter")
    assert store.releases.latest() is None
    with pytest.raises(NotFound, match=f"{two.release} has dobby, potter, withdrawn"):
        store.releases.get("latest")
    assert store.releases.get(one.release).withdrawn == ["potter"]
    assert [r.withdrawn for r in store.releases.all()] == [["dobby", "potter"], ["potter"]]
    assert store.concepts.submit(anna.id, offer("potter", "potter"), 100).sha256 == potter


def test_replaced_concepts_stay_in_latest_until_withdrawn(store, tools, anna):
    admitted(store, anna, "potter", "potter")
    store.releases.publish(manifest(tools.card, "potter"), LISTING)
    admitted(store, anna, "potter", "a newer file")
    assert store.releases.latest().withdrawn == []
    store.concepts.withdraw("potter")
    assert store.releases.latest() is None
    assert {concept.state for concept in store.concepts.all()} == {State.WITHDRAWN}


def test_withdrawn_stays_withdrawn(store, anna):
    found = store.concepts.submit(anna.id, offer("potter", "1"), 100)
    store.concepts.withdraw("potter")
    store.concepts.admit(found.sha256)  # its file arrives late
    assert store.concepts.admitted() == []
    assert store.concepts.submit(anna.id, offer("potter", "1"), 100).state is State.WITHDRAWN
    with pytest.raises(NotFound):
        store.concepts.withdraw("potter")


def test_refused_keeps_its_reason(store, anna):
    found = store.concepts.submit(anna.id, offer("potter", "1"), 100)
    store.concepts.refuse(found.sha256, "NaN")
    store.concepts.admit(found.sha256)
    (after,) = store.concepts.all()
    assert (after.state, after.reason) == (State.REFUSED, "NaN")


def test_what_was_admitted_can_be_refused_after_all(store, anna):
    digest = admitted(store, anna, "potter", "1")
    waiting = store.concepts.submit(anna.id, offer("dobby", "2"), 100)
    for sha in (digest, waiting.sha256):
        store.concepts.refuse_admitted(sha, "draws nothing")
    assert [c.state for c in store.concepts.all()] == [State.WANTED, State.REFUSED]
    assert store.concepts.admitted() == []


def test_odd_concepts_wait_for_the_owner(store, anna, bob):
    for name in ("potter", "dobby"):
        found = store.concepts.submit(anna.id, offer(name, name), 100)
        store.concepts.admit(found.sha256)
        store.concepts.quarantine(found.sha256, "odd")
        store.concepts.quarantine(found.sha256, "odd")  # changes nothing
    assert store.concepts.admitted() == []
    with pytest.raises(InvalidInput, match="taken"):
        store.concepts.submit(bob.id, offer("potter", "other"), 100)
    approved, rejected = store.concepts.approve("potter"), store.concepts.reject("dobby")
    assert (approved.state, approved.approved, approved.reason) == (State.ADMITTED, True, "")
    assert (rejected.state, rejected.reason) == (
        State.REFUSED,
        "rejected by the server's owner: odd",
    )
    assert [concept.name for concept in store.concepts.admitted()] == ["potter"]
    with pytest.raises(NotFound, match="no concept 'potter' waits"):
        store.concepts.approve("potter")
    actions = [entry.action for entry in store.audit.last(50)]
    assert actions.count("concept.pending") == 2
    assert {"concept.approved", "concept.rejected"} <= set(actions)


def test_a_newer_one_takes_the_place_of_a_pending_one(store, anna):
    old, new = (offer("potter", text) for text in ("old", "new"))
    store.concepts.submit(anna.id, old, 100)
    store.concepts.admit(old.sha256)
    store.concepts.quarantine(old.sha256, "odd")
    store.concepts.submit(anna.id, new, 100)
    store.concepts.admit(new.sha256)
    with pytest.raises(NotFound):
        store.concepts.approve("potter")
    store.concepts.quarantine(new.sha256, "odd")
    assert store.concepts.withdraw("potter", anna.id).state is State.WITHDRAWN


@pytest.mark.parametrize("decide", ["approve", "reject"])
def test_a_decision_is_about_the_file_that_was_looked_at(store, anna, decide):
    digests = [offer("potter", text).sha256 for text in ("first", "second")]
    for text, digest in zip(("first", "second"), digests, strict=True):
        store.concepts.submit(anna.id, offer("potter", text), 100)
        store.concepts.admit(digest)
        store.concepts.quarantine(digest, "odd")
    call = getattr(store.concepts, decide)
    with pytest.raises(InvalidInput, match=f"now file {digests[1]}, not '{digests[0]}'"):
        call("potter", digests[0])
    assert [one.state for one in store.concepts.all()] == [State.PENDING, State.REPLACED]
    assert call("potter", digests[1]).sha256 == digests[1]


def test_revoked_nodes_are_not_asked(store, anna):
    store.concepts.submit(anna.id, offer("potter", "1"), 100)
    assert len(store.concepts.wanted()) == 1
    store.members.revoke("anna")
    assert store.concepts.wanted() == []


def test_who_is_invited_again_under_a_name_has_its_concepts(store, anna, bob):
    """A name stands for the same person: with a new key, too, one's own can be hidden and taken back."""
    kept, asked = admitted(store, anna, "potter", "1"), offer("dobby", "2")
    store.concepts.submit(anna.id, asked, 100)
    store.concepts.show("potter", anna.id, frozenset())
    store.members.revoke("anna")
    again = store.members.join(store.members.invite("anna", DAY), "key c", 11)[0]
    assert {concept.name for concept in store.concepts.seen_by(again)} == {"potter", "dobby"}
    assert [(one.sha256, one.flower_id) for one in store.concepts.wanted()] == [(asked.sha256, 11)]
    assert store.concepts.submit(again.id, asked, 100).state == State.WANTED
    assert store.concepts.show("potter", again.id, None).sha256 == kept
    store.concepts.submit(again.id, offer("potter", "3"), 100)
    assert store.concepts.withdraw("potter", again.id).state == State.WITHDRAWN
    assert store.concepts.admitted() == []
    with pytest.raises(NotFound):
        store.concepts.withdraw("dobby", bob.id)


def test_who_is_invited_again_as_a_downloader_may_still_take_back(store, anna):
    admitted(store, anna, "potter", "1")
    store.concepts.submit(anna.id, offer("dobby", "2"), 100)
    store.members.revoke("anna")
    again = store.members.join(store.members.invite("anna", DAY, Role.DOWNLOADER), "key c", None)[0]
    assert store.concepts.wanted() == []
    for name in ("potter", "dobby"):
        assert store.concepts.withdraw(name, again.id).flower_id is None
