"""Two nodes of an empty store."""

import pytest

from tests.server.store.making import DAY


@pytest.fixture
def anna(store):
    return store.members.join(store.members.invite("anna", DAY), "key a", 2**64 - 1)[0]


@pytest.fixture
def bob(store):
    return store.members.join(store.members.invite("bob", DAY), "key b", 7)[0]
