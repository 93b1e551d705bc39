"""Flower's list of nodes follows ours, also when it is one of an earlier day."""

import pytest

from tests.server.test_doors import flowers_nodes


@pytest.fixture
def own_server(tools, tmp_path):
    """A server of this test's own."""
    found = tools.Server(tools.make_data(tmp_path / "data"))
    found.start()
    yield found
    assert found.end() == 0


def number(server):
    """Flower's number of the one node there is."""
    store = server.store()
    (node,) = store.members.nodes()
    store.close()
    return node.flower_id


def test_a_node_that_joined_after_the_last_backup_is_listed_again(own_server, joined, tools):
    anna = joined(own_server, "anna")
    assert own_server.end() == 0
    for file in (own_server.data / "flower").glob("superlink.db*"):
        file.unlink()
    own_server.start()
    tools.eventually(lambda: number(own_server) != anna.reply.node_id)
    assert flowers_nodes(own_server) == {str(number(own_server)): "registered"}
    store = own_server.store()
    assert store.audit.last(1)[0].action == "node.registered"
    store.close()
