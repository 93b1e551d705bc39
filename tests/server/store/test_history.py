"""What members read of the audit log: owners all, others what concerns them."""

import pytest

from fedshow.roles import Role
from fedshow_server.store import Offer
from tests.server.store.making import DAY, admitted


@pytest.fixture
def people(store):
    """Two contributors and an owner."""
    roles = {"anna": Role.CONTRIBUTOR, "bob": Role.CONTRIBUTOR, "olga": Role.OWNER}
    return {
        name: store.members.join(store.members.invite(name, DAY, role), f"key {name}", k)[0]
        for k, (name, role) in enumerate(roles.items(), 1)
    }


def read(store, node):
    return [(entry.action, entry.subject) for entry in store.history.last(node, 100)]


def test_owners_read_all_and_others_what_concerns_them(store, people):
    admitted(store, people["anna"], "potter", "a")
    admitted(store, people["bob"], "rex", "b")
    assert read(store, people["anna"]) == [
        *(("node.invited", "anna"), ("node.joined", "anna")),
        *(("concept.offered", "potter"), ("concept.admitted", "potter")),
    ]
    everything = [(one.action, one.subject) for one in store.audit.last(100)]
    assert read(store, people["olga"]) == everything
    assert ("concept.admitted", "rex") in everything


def test_nobody_reads_of_a_namesake_of_its_concept(store, people):
    admitted(store, people["anna"], "potter", "a")
    store.concepts.withdraw("potter", people["anna"].id)
    other = Offer("potter", "man", "f" * 64, 10)
    store.concepts.submit(people["bob"].id, other, 100)
    assert [action for action, name in read(store, people["bob"]) if name == "potter"] == [
        "concept.offered"
    ]


def test_nothing_is_missed_or_read_twice(store, people):
    for k in range(5):
        admitted(store, people["bob"], f"thing-{k}", f"file {k}")
    for name in ("olga", "bob", "anna"):
        position, found = 0, []
        while True:
            entries, reached = store.history.after(people[name], position, 3)
            found += [(entry.action, entry.subject) for entry in entries]
            if reached == position:
                break
            position = reached
        assert found == read(store, people[name])
