"""A server and a client of the images: healthy by their own checks, one concept from pictures to release."""

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from distribution.images.building import Image
from distribution.images.container import PATIENCE_SECONDS, Container

NAME = "localhost"  # they share one loopback, as two containers of one pod
UNPRIVILEGED = "10001:10001"
PICTURES = "/home/fedshow/.cache/alice/images"
DRAW = f"""
from pathlib import Path
from fedshow.demo.folders import Person, draw_images
draw_images(Person("alice", "gloop", Path("{PICTURES}").parent), 0)
"""
OURS = "lib/python*/site-packages/fedshow*"


def try_images(
    server: Image, client: Image, work: Path, say: Callable[[str], None]
) -> dict[str, Any]:
    """What was seen; raises AssertionError when it is not what the images promise."""
    assert (server.user, client.user) == (UNPRIVILEGED, UNPRIVILEGED)
    with Container(server, work / "server", {"FEDSHOW_SERVER_PUBLIC_NAME": NAME}) as host:
        host.start()
        say("waiting until the server is healthy")
        seen: dict[str, Any] = {"server_healthy_seconds": round(host.wait_until_healthy(), 1)}
        with Container(client, work / "client", beside=host) as guest:
            seen |= _try_client(guest, host, say)
        status = host.stop()
    assert status == 0, f"the server ended with {status}: {host.log()}"
    return seen


def _try_client(guest: Container, host: Container, say: Callable[[str], None]) -> dict[str, Any]:
    seen = {"version": guest.call("--version").strip()}
    guest.call("client", "join", host.call("server", "invite", "alice").strip())
    guest.start()
    say("waiting until the client is healthy")
    seconds = guest.wait_until_healthy()
    say("waiting for a release with the client's concept in it")
    guest.run("python", "-c", DRAW)
    guest.call("client", "add", PICTURES, "--name", "gloop", "--class", "monster", "--steps", "20")
    release = _released(guest)
    status = guest.stop()
    assert status == 0, f"the client ended with {status}: {guest.log()}"
    return seen | {"client_healthy_seconds": round(seconds, 1), "release": release}


def _released(guest: Container) -> str:
    """The server's newest release, once there is one."""
    end = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < end:
        found = json.loads(guest.call("client", "status", "--json"))
        (server,) = found["servers"]
        assert (server["name"], server["node"]) == (NAME, "alice"), found
        if server["release"]:
            assert server["release"]["concepts"] == ["gloop"], found
            return str(server["release"]["id"])
        assert found["concepts"][0]["state"] not in ("failed", "refused", "held"), found
        time.sleep(5)
    raise TimeoutError(f"no release: {guest.log()}")


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
