"""Who sees which concepts in the gallery, found by words, page by page; on every database."""

from hashlib import sha256

import pytest
from sqlalchemy import event

from fedshow.errors import NotFound
from fedshow.releases import FileEntry
from fedshow.roles import Role
from fedshow_server.samples.current import current_releases
from fedshow_server.store import Offer
from fedshow_server.store.cards import Search, Status
from fedshow_server.store.samples import Measure, Sample
from tests.releases import standin_manifest
from tests.server.store.making import DAY

LIVELY = (Status.WAITING, Status.QUARANTINED, Status.ADMITTED)


@pytest.fixture
def people(store):
    """Nodes of every role by name."""
    roles = {
        "anna": Role.CONTRIBUTOR,
        "bob": Role.CONTRIBUTOR,
        "dean": Role.DOWNLOADER,
        "olga": Role.OWNER,
    }

    def join(name, role):
        number = None if role is Role.DOWNLOADER else sum(name.encode())
        return store.members.join(store.members.invite(name, DAY, role), f"key {name}", number)[0]

    return {name: join(name, role) for name, role in roles.items()}


def digest(name):
    return sha256(name.encode()).hexdigest()


def bring(store, node, name, visible_to=None, class_word="man", admit=True):
    store.concepts.submit(node.id, Offer(name, class_word, digest(name), 10, visible_to), 100)
    if admit:
        store.concepts.admit(digest(name), 4)


def draw_all(store):
    """Two pictures of each concept, of which the second is measured."""
    while subject := store.samples.next("toyworld"):
        contents = [f"{subject.name} {number}".encode() for number in range(2)]
        pictures = [
            Sample(number, "a <x>", number, 1, 20, 64, 48, sha256(content).hexdigest(), content)
            for number, content in enumerate(contents)
        ]
        store.samples.add(subject, pictures)
        store.samples.finish(subject, Measure("toyworld", 0.8, b""))


@pytest.fixture
def full(store, people):
    """Concepts of every state, one that anna shows to bob, and one that is hers alone."""
    anna, bob = people["anna"], people["bob"]
    bring(store, anna, "potter")
    bring(store, anna, "dobby", frozenset({"bob"}), "elf")
    bring(store, anna, "own", frozenset())
    bring(store, bob, "odd", class_word="monster")
    store.concepts.quarantine(digest("odd"), "does too much")
    bring(store, bob, "coming", admit=False)
    bring(store, bob, "bad", admit=False)
    store.concepts.refuse(digest("bad"), "NaN")
    bring(store, bob, "gone")
    store.concepts.withdraw("gone", bob.id)
    draw_all(store)
    return store


SEEN = {
    "anna": {"potter", "dobby", "own"},
    "bob": {"potter", "dobby", "odd", "coming", "bad", "gone"},
    "dean": {"potter"},
    "olga": {"potter", "dobby", "own", "odd", "coming", "bad", "gone"},
}


def found(store, viewer, **search):
    return [card.name for card in store.showcase.page(viewer, Search(**search)).cards]


def test_everybody_sees_what_they_may(full, people):
    for name, viewer in people.items():
        check_seen(full, name, viewer)


def check_seen(full, name, viewer):
    assert set(found(full, viewer)) == SEEN[name]
    assert sum(full.showcase.choices(viewer).statuses.values()) == len(SEEN[name])
    for concept in SEEN["olga"]:
        picture = digest(f"{concept} 1")
        drawn = concept in ("potter", "dobby", "own", "odd")
        if concept in SEEN[name]:
            card = full.showcase.one(viewer, concept)
            assert [one.number for one in card.pictures] == ([0, 1] if drawn else [])
        else:
            with pytest.raises(NotFound, match=f"no concept '{concept}'"):
                full.showcase.one(viewer, concept)
        if concept in SEEN[name] and drawn:
            told = full.showcase.picture(viewer, concept, picture[:16])
            assert told == (picture, f"{concept} 1".encode())
        else:
            with pytest.raises(NotFound, match="no such sample"):
                full.showcase.picture(viewer, concept, picture)


def test_a_card_tells_its_concept(full, people):
    card = full.showcase.one(people["olga"], "odd")
    assert (card.status, card.reason) == (Status.QUARANTINED, "does too much")
    assert (card.owner, card.class_word, card.size_bytes, card.rank) == ("bob", "monster", 10, 4)
    assert (card.mine, card.visible_to) == (False, None)
    assert (card.pictures[1].width, card.pictures[1].height) == (64, 48)
    assert card.pictures[1].sha256 == digest("odd 1")
    assert (card.identity.before, card.identity.after, card.identity.kept) == (0.8, None, None)
    coming = full.showcase.one(people["bob"], "coming")
    assert (coming.status, coming.mine, coming.rank) == (Status.WAITING, True, None)
    assert coming.identity is None


def test_a_name_means_the_concept_that_is_live(store, people):
    anna = people["anna"]
    bring(store, anna, "potter")
    store.concepts.submit(anna.id, Offer("potter", "elf", digest("newer"), 10), 100)
    store.concepts.refuse(digest("newer"), "NaN")
    assert store.showcase.one(anna, "potter").class_word == "man"
    store.concepts.withdraw("potter", anna.id)
    assert store.showcase.one(anna, "potter").status is Status.REFUSED


def test_cards_by_their_names_are_those_that_one_may_see(full, people):
    names = [
        "mimi",
        "nobody",
        *(card.name for card in full.showcase.page(people["olga"], Search()).cards),
    ]
    for viewer in people.values():
        seen = full.showcase.page(viewer, Search(limit=200)).cards
        live = {card.name: card for card in seen if card.status in LIVELY}
        assert full.showcase.named(viewer, names) == live


def test_only_its_node_and_the_owner_know_who_else_may_have_it(full, people):
    told = {name: full.showcase.one(people[name], "dobby").visible_to for name in ("anna", "bob")}
    assert told == {"anna": ("bob",), "bob": None}
    assert full.showcase.one(people["olga"], "own").visible_to == ()


SEARCHES = [
    ({"text": "OT"}, {"potter"}),
    ({"text": "Elf"}, {"dobby"}),
    ({"text": "bob"}, {"odd", "coming", "bad", "gone"}),
    ({"text": "an  Dob"}, {"dobby"}),
    ({"text": "%"}, set()),
    ({"text": "_"}, set()),
    ({"class_word": "man"}, {"potter", "own", "coming", "bad", "gone"}),
    ({"owner": "anna"}, {"potter", "dobby", "own"}),
    ({"statuses": (Status.REFUSED, Status.WITHDRAWN)}, {"bad", "gone"}),
    ({"statuses": (Status.ADMITTED,), "class_word": "elf"}, {"dobby"}),
    ({"text": "o", "owner": "bob", "class_word": "monster"}, {"odd"}),
]


def test_search(full, people):
    for search, names in SEARCHES:
        page = full.showcase.page(people["olga"], Search(**search))
        assert ({card.name for card in page.cards}, page.total) == (names, len(names)), search
        seen = set(found(full, people["dean"], **search))
        assert seen == names & SEEN["dean"], "no search shows more than one may see"


def test_choices(full, people):
    choices = full.showcase.choices(people["bob"])
    assert choices.classes == {"elf": 1, "man": 4, "monster": 1}
    assert choices.owners == {"anna": 2, "bob": 4}
    assert choices.statuses[Status.ADMITTED] == 2
    assert full.showcase.choices(people["dean"]).owners == {"anna": 1}


def test_pages(store, people):
    for number in range(7):
        bring(store, people["anna"], f"c{number}")
    pages = [found(store, people["dean"], limit=3, offset=start) for start in (0, 3, 6, 9)]
    assert pages == [["c6", "c5", "c4"], ["c3", "c2", "c1"], ["c0"], []]
    assert store.showcase.page(people["dean"], Search(limit=3)).total == 7


def test_a_page_costs_the_same_queries_however_long_it_is(store, people):
    seen = []
    event.listen(
        store.database._engine, "before_cursor_execute", lambda *told: seen.append(told[2])
    )
    counted = []
    for name in ("potter", *(f"c{number}" for number in range(9))):
        bring(store, people["anna"], name, frozenset({"bob"}))
        draw_all(store)
        seen.clear()
        assert store.showcase.page(people["bob"], Search()).cards
        counted.append(len([query for query in seen if query.startswith("SELECT")]))
    assert len(set(counted)) == 1, counted
    assert counted[0] <= 6


def test_identity_is_that_of_the_newest_release_one_may_have(full, people, tools):
    def publish(*names):
        members = {name: digest(name) for name in names}
        made = standin_manifest({"x": repr(names).encode()}, members, tools.card.ref)
        full.releases.publish(made, FileEntry(sha256=digest(repr(names)), size_bytes=1))
        return made.release

    general, shared = publish("potter"), publish("potter", "dobby")
    kept = {general: 0.4, shared: 0.6}
    assert current_releases(full) == {general, shared}
    for _ in kept:
        release, subjects = full.samples.unmeasured(list(kept), "toyworld")
        for subject in subjects:
            full.samples.measured(release, subject, "toyworld", kept[release])
    assert full.samples.unmeasured(list(kept), "toyworld") is None
    told = {name: full.showcase.one(people[name], "potter").identity for name in SEEN}
    assert {name: identity.release for name, identity in told.items()} == {
        "anna": shared,
        "bob": shared,
        "dean": general,
        "olga": shared,
    }
    assert (told["dean"].before, told["dean"].after) == (0.8, 0.4)
    assert told["dean"].kept == pytest.approx(0.5)
    assert {*full.showcase.identities(shared)} == {"potter", "dobby"}
