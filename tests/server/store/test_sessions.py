"""Sessions of browsers end with their time, with their token and with their node."""

from datetime import timedelta

import pytest

from fedshow.errors import Forbidden
from fedshow_server.store.sessions import MOST_OF_A_NODE
from tests.server.store.making import DAY


@pytest.fixture
def code(store):
    return store.members.invite("dora", DAY)


@pytest.fixture
def dora(store, code):
    """A node and its token."""
    return store.members.join(code, "key d", 9)


def ended(store, session):
    with pytest.raises(Forbidden, match="session has ended"):
        store.sessions.find(session)


def test_it_is_the_nodes_until_it_is_ended(store, dora):
    one, other = (store.sessions.begin(*dora, DAY) for _ in range(2))
    assert store.sessions.find(one) == dora[0]
    store.sessions.end(one)
    ended(store, one)
    ended(store, dora[1])
    assert store.sessions.find(other) == dora[0]


def test_it_ends_with_its_time(store, dora):
    ended(store, store.sessions.begin(*dora, -DAY))
    assert store.sessions.find(store.sessions.begin(*dora, DAY)) == dora[0]


def test_it_ends_with_its_node(store, dora):
    session = store.sessions.begin(*dora, DAY)
    store.members.revoke("dora")
    ended(store, session)


def test_it_ends_with_its_token(store, code, dora):
    session = store.sessions.begin(*dora, DAY)
    node, token = store.members.rejoin(code, "key d")
    ended(store, session)
    assert store.sessions.find(store.sessions.begin(node, token, DAY)) == node


def test_a_node_has_so_many_at_once(store, dora):
    minute = timedelta(minutes=1)
    all_of_them = [store.sessions.begin(*dora, DAY + k * minute) for k in range(MOST_OF_A_NODE + 2)]
    for first in all_of_them[:2]:
        ended(store, first)
    for later in all_of_them[2:]:
        assert store.sessions.find(later) == dora[0]
