"""Looking for concepts as a member does."""

from dataclasses import replace

import pytest

from fedshow.errors import NotFound
from fedshow.roles import Role
from fedshow_server.store import Browser, Sought, State
from tests.server.store.making import admitted, offer

EVERYTHING = tuple(State)


@pytest.fixture
def browser(store, anna, bob):
    """Four concepts, the last of which only anna may have."""
    admitted(store, anna, "potter", "1")
    admitted(store, bob, "per-cent", "2")
    store.concepts.submit(bob.id, offer("rex", "3"))
    store.concepts.submit(anna.id, replace(offer("secret", "4"), visible_to=frozenset()))
    store.concepts.withdraw("rex")
    return Browser(store.database)


def names(browser, node, start=0, most=10, **sought):
    found = browser.find(node, Sought(**sought), start, most)
    assert len(found.concepts) <= found.number
    return [concept.name for concept in found.concepts], found.number


def test_pages_newest_first(browser, anna):
    assert names(browser, anna) == (["secret", "per-cent", "potter"], 3)
    assert names(browser, anna, 1, 1) == (["per-cent"], 3)
    assert names(browser, anna, 5, 5) == ([], 3)


def test_words_are_in_name_class_or_owner(browser, anna):
    assert names(browser, anna, words="POT")[0] == ["potter"]
    assert names(browser, anna, words="bob")[0] == ["per-cent"]
    assert names(browser, anna, words="man an pot")[0] == ["potter"]
    for nothing in ("%", "_", "pot rex", "'"):
        assert names(browser, anna, words=nothing) == ([], 0)


def test_states(browser, anna):
    assert names(browser, anna, states=(State.WITHDRAWN,))[0] == ["rex"]
    assert names(browser, anna, states=EVERYTHING)[1] == 4


def test_others_and_the_owner(browser, bob):
    assert names(browser, bob, states=EVERYTHING)[1] == 3
    assert names(browser, replace(bob, role=Role.OWNER), states=EVERYTHING)[1] == 4
    with pytest.raises(NotFound, match="no concept 'secret'"):
        browser.get(bob, "secret")


def test_one_by_name_is_the_one_that_lives(browser, store, anna, bob):
    assert browser.get(anna, "rex").state is State.WITHDRAWN
    store.concepts.submit(bob.id, offer("rex", "5"))
    assert browser.get(anna, "rex").state is State.WANTED
    admitted(store, anna, "potter", "6")
    assert browser.get(anna, "potter").state is State.ADMITTED
