"""Invitations, nodes and what they show: the contract of every store."""

import pytest
from sqlalchemy import select

from fedshow.errors import Forbidden, InvalidInput, NotFound
from fedshow.roles import Role
from fedshow_server.store.members import Invitation
from fedshow_server.store.tables import metadata
from tests.server.store.making import DAY


def test_invitation_works_once(store):
    secret = store.members.invite("anna", DAY)
    node, token = store.members.join(secret, "key", 2**64 - 1)
    assert (node.name, node.flower_id) == ("anna", 2**64 - 1)
    assert store.members.authenticate(token) == node
    with pytest.raises(Forbidden, match="used already"):
        store.members.join(secret, "other key", 3)


def test_invitation_expires(store):
    with pytest.raises(Forbidden, match="expired"):
        store.members.join(store.members.invite("anna", -DAY), "key", 3)


def test_unknown_secrets_and_tokens(store):
    with pytest.raises(Forbidden, match="not from this server"):
        store.members.invitation("x" * 43)
    with pytest.raises(Forbidden, match="not known"):
        store.members.authenticate("x" * 43)


def test_node_names_are_unique_while_active(store, anna):
    with pytest.raises(InvalidInput, match="'anna' already"):
        store.members.invite("anna", DAY)
    store.members.revoke("anna")
    assert store.members.invite("anna", DAY)


def test_reply_lost_on_the_way_can_be_had_again(store):
    secret = store.members.invite("anna", DAY)
    node, lost = store.members.join(secret, "key", 5)
    again, token = store.members.rejoin(secret, "key")
    assert again == node
    assert store.members.authenticate(token) == node
    with pytest.raises(Forbidden):
        store.members.authenticate(lost)
    assert store.members.rejoin(secret, "another key") is None
    assert store.members.rejoin("x" * 43, "key") is None


def test_roles_come_with_the_invitation(store):
    secret = store.members.invite("dean", DAY, Role.DOWNLOADER)
    assert store.members.invitation(secret) == Invitation("dean", Role.DOWNLOADER)
    node, token = store.members.join(secret, "key d", None)
    assert (node.role, node.flower_id) == (Role.DOWNLOADER, None)
    assert store.members.authenticate(token) == node
    with pytest.raises(Forbidden, match="key is not known"):
        store.members.holder("key d")
    other, _ = store.members.join(
        store.members.invite("dora", DAY, Role.DOWNLOADER), "key x", None
    )  # numbers are unique, having none is not
    assert other.flower_id is None


def test_keys_are_good_while_their_node_is(store, anna):
    assert store.members.holder("key a") == anna
    store.members.revoke("anna")
    with pytest.raises(Forbidden, match="'anna' was cut off"):
        store.members.holder("key a")
    with pytest.raises(Forbidden, match="not known"):
        store.members.holder("key z")


def test_revoked_node_is_out(store, anna):
    _, token = store.members.join(store.members.invite("eve", DAY), "key e", 9)
    store.members.revoke("eve")
    with pytest.raises(Forbidden, match="cut off"):
        store.members.authenticate(token)
    with pytest.raises(NotFound):
        store.members.revoke("eve")


def test_secrets_are_not_stored(store):
    secret = store.members.invite("anna", DAY)
    _, token = store.members.join(secret, "key", 5)
    with store.database.reading() as connection:
        tables = metadata.sorted_tables
        stored = str([connection.execute(select(table)).all() for table in tables])
    assert "anna" in stored
    assert secret not in stored
    assert token not in stored


def test_nodes_that_flower_does_not_list_get_another_number(store, anna, bob):
    secret = store.members.invite("dean", DAY, Role.DOWNLOADER)
    store.members.join(secret, "key d", None)
    assert store.members.unlisted({bob.flower_id}) == [(anna, "key a")]
    store.members.renumber(anna, 5)
    assert store.members.unlisted({5, bob.flower_id}) == []
    store.members.revoke("bob")
    assert [(node.name, node.flower_id) for node, _ in store.members.unlisted(set())] == [
        ("anna", 5)
    ]
