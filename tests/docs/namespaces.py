"""Machines with a network of their own each (Linux, as root): a server and those who reach it by name."""

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

NAMES = Path("/etc/netns")
"""`ip netns exec` puts the files in here into /etc of what it runs."""


@contextmanager
def network(clients: Sequence[str], server_name: str) -> Iterator[dict[str, tuple[str, ...]]]:
    """What to put before a command of each machine; they find the server by its name, and nothing else.

    Raises PermissionError where such networks cannot be made.
    """
    if os.geteuid() != 0:
        raise PermissionError("network namespaces are made by root only")
    spaces = {name: f"fedshow-{os.getpid()}-{name}" for name in ("server", *clients)}
    try:
        for space in spaces.values():
            _make(space)
        for number, client in enumerate(clients, start=1):
            _connect(spaces["server"], spaces[client], number, server_name)
        yield {name: _inside(space) for name, space in spaces.items()}
    finally:
        for space in spaces.values():
            with suppress(subprocess.CalledProcessError):  # not made yet
                _call("ip", "netns", "del", space)
            shutil.rmtree(NAMES / space, ignore_errors=True)


def _make(space: str) -> None:
    try:
        _call("ip", "netns", "add", space)
    except (OSError, subprocess.CalledProcessError) as error:
        raise PermissionError(f"no network namespaces here: {error}") from error
    (NAMES / space).mkdir(parents=True)
    (NAMES / space / "hosts").write_text("127.0.0.1 localhost\n")
    _call(*_inside(space), "ip", "link", "set", "lo", "up")


def _connect(server: str, client: str, number: int, server_name: str) -> None:
    """A line between two machines; the client knows the server's name."""
    ends = ((server, f"to{number}", 1), (client, "out", 2))
    line = ("type", "veth", "peer", "name", "out", "netns", client)
    _call("ip", "link", "add", f"to{number}", "netns", server, *line)
    for space, device, host in ends:
        address = f"10.213.{number}.{host}/24"
        _call(*_inside(space), "ip", "addr", "add", address, "dev", device)
        _call(*_inside(space), "ip", "link", "set", device, "up")
    with (NAMES / client / "hosts").open("a") as hosts:
        hosts.write(f"10.213.{number}.1 {server_name}\n")


def _inside(space: str) -> tuple[str, ...]:
    return ("ip", "netns", "exec", space)


def _call(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)
