"""The tutorial of the server, typed as it stands: three machines, each with a network of its own."""

from pathlib import Path

import pytest

from tests.docs.machines import Machine
from tests.docs.namespaces import network
from tests.docs.typing_in import Reader

PAGE = "docs/tutorials/server.md"
CLIENTS = ("alice", "bob")


@pytest.mark.timeout(1500)
def test_from_nothing_to_a_fused_release_with_clients_in_other_networks(tmp_path: Path) -> None:
    try:
        with network(CLIENTS, "art.example.org") as places:
            Reader(machines(tmp_path, places), {}).read(PAGE)
    except PermissionError as error:
        pytest.skip(str(error))


def machines(folder: Path, places: dict[str, tuple[str, ...]]) -> dict[str, Machine]:
    """The machines of the tutorial, by the names that the page has for them; nothing is on them."""
    found: dict[str, Machine] = {}
    for name, before in places.items():
        home = folder / name
        home.mkdir()
        found["the server" if name == "server" else f"{name}'s machine"] = Machine(home, before)
    return found
