"""From a client's outbox into the server's store, through Flower's real programs."""

from fedshow_server.folder import DataFolder
from fedshow_server.store import Store


def admitted(data: DataFolder) -> dict[str, str]:
    store: Store = data.open_store()
    try:
        return {concept.name: concept.sha256 for concept in store.concepts.admitted()}
    finally:
        store.close()


def test_a_concept_is_handed_over_and_admitted(federation) -> None:
    federation.join("alice", federation.invite("alice"))
    federation.offer("alice", "potter")
    federation.run_client("alice")
    federation.wait_for_state("alice", "potter", "admitted")
    (concept,) = federation.status("alice")["concepts"]
    assert admitted(federation.data) == {"potter": concept["sha256"]}
