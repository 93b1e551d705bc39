"""From a client's outbox into the server's store, through Flower's real programs and past crashes."""

import os
import signal

import pytest

from fedshow_server.folder import DataFolder
from fedshow_server.store import Store


def admitted(data: DataFolder) -> dict[str, str]:
    store: Store = data.open_store()
    try:
        return {concept.name: concept.sha256 for concept in store.concepts.admitted()}
    finally:
        store.close()


@pytest.mark.timeout(1500)
@pytest.mark.slow  # Flower takes a killed node for online for up to a minute
def test_concepts_arrive_although_both_sides_are_killed(federation) -> None:
    alice = federation.home("alice")
    federation.join("alice", federation.invite("alice"))
    federation.offer("alice", "potter")
    daemon = federation.run_client("alice")
    federation.wait_for_state(alice, "potter", "admitted")

    for process in (daemon, federation.server):
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    federation.offer("alice", "hermione")
    federation.run_client("alice")  # before its server: it waits
    federation.start_server()
    federation.wait_for_state(alice, "hermione", "admitted")

    known = {
        concept["name"]: concept["sha256"] for concept in federation.status("alice")["concepts"]
    }
    assert admitted(federation.data) == known
