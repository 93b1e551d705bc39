"""The tutorial of the server, typed as it stands: three machines, each with a network of its own."""

from pathlib import Path

import pytest

from tests.docs.machines import Machine
from tests.docs.namespaces import network
from tests.docs.typing_in import Reader
from tests.stage.waiting import free_port

PAGE = "docs/tutorials/server.md"
CLIENTS = ("alice", "bob")
NAME = "art.example.org"


@pytest.mark.timeout(2400)
def test_from_nothing_to_a_fused_release_with_clients_in_other_networks(tmp_path: Path) -> None:
    try:
        with network(CLIENTS, NAME) as places:
            Reader(machines(tmp_path, places), {}).read(PAGE)
    except PermissionError as error:
        everywhere: dict[str, tuple[str, ...]] = dict.fromkeys(("server", *CLIENTS), ())
        Reader(machines(tmp_path, everywhere), on_loopback()).read(PAGE)
        pytest.skip(f"typed on loopback only: {error}")


def machines(folder: Path, places: dict[str, tuple[str, ...]]) -> dict[str, Machine]:
    """The machines of the tutorial, by the names that the page has for them; nothing is on them."""
    found: dict[str, Machine] = {}
    for name, before in places.items():
        home = folder / name
        home.mkdir()
        found["the server" if name == "server" else f"{name}'s machine"] = Machine(home, before)
    return found


def on_loopback() -> dict[str, str]:
    """What stands for the server's name and ports where all machines are one."""
    https, grpc = free_port(), free_port()
    return {
        "--listen 0.0.0.0:8443": f"--listen 127.0.0.1:{https} --grpc-listen 127.0.0.1:{grpc}",
        f"{NAME}:8443": f"127.0.0.1:{https}",
        f"{NAME}:8444": f"127.0.0.1:{grpc}",
        NAME: "127.0.0.1",
    }
