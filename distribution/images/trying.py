"""A server and a client of the images: healthy by their own checks, joined, and ended in order."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from distribution.images.building import Image
from distribution.images.container import Container

NAME = "localhost"  # they share one loopback, as two containers of one pod
UNPRIVILEGED = "10001:10001"
OURS = "lib/python*/site-packages/fedshow*"


def try_images(
    server: Image, client: Image, work: Path, say: Callable[[str], None]
) -> dict[str, Any]:
    """What was seen; raises AssertionError when it is not what the images promise."""
    assert (server.user, client.user) == (UNPRIVILEGED, UNPRIVILEGED)
    host = Container(server, work / "server", {"FEDSHOW_SERVER_PUBLIC_NAME": NAME})
    host.start()
    say("waiting until the server is healthy")
    seen: dict[str, Any] = {"server_healthy_seconds": round(host.wait_until_healthy(), 1)}
    try:
        seen |= _try_client(Container(client, work / "client", beside=host), host, say)
    finally:
        status = host.stop()
    assert status == 0, f"the server ended with {status}: {host.log()}"
    return seen


def _try_client(guest: Container, host: Container, say: Callable[[str], None]) -> dict[str, Any]:
    seen = {"version": guest.call("--version").strip()}
    guest.call("client", "join", host.call("server", "invite", "alice").strip())
    guest.start()
    say("waiting until the client is healthy")
    seconds = guest.wait_until_healthy()
    found = json.loads(guest.call("client", "status", "--json"))
    (joined,) = found["servers"]
    assert (joined["name"], joined["node"], joined["trouble"]) == (NAME, "alice", ""), found
    status = guest.stop()
    assert status == 0, f"the client ended with {status}: {guest.log()}"
    return seen | {"client_healthy_seconds": round(seconds, 1), "joined": joined["address"]}


def size_of(image: Image) -> dict[str, Any]:
    """Megabytes of all that its steps left, and of our own part; whom it belongs to; its labels."""
    return {
        "megabytes": _megabytes(image.place("/opt/fedshow")),
        "fedshow_megabytes": sum(map(_megabytes, image.place("/opt/fedshow").glob(OURS))),
        "user": image.user,
        "labels": image.labels,
    }


def _megabytes(folder: Path) -> int:
    counted = subprocess.check_output(["du", "--summarize", "--block-size=1MB", str(folder)])
    return int(counted.split()[0])
