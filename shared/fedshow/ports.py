"""Ports of this machine: held, free, or who has them."""

import errno
import socket

import psutil


def listening(host: str, port: int, backlog: int = 128) -> socket.socket:
    """A socket that listens there, at any free port for 0; raises OSError, OverflowError for no port.

    As many connections as `backlog` says wait until they are taken.
    """
    bare = host.strip("[]")
    family = socket.AF_INET6 if ":" in bare else socket.AF_INET
    # named, or asyncio leaves Nagle's algorithm on, and small answers take 40 ms
    held = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        held.bind((bare, port))
        held.listen(backlog)
    except (OSError, OverflowError):
        held.close()
        raise
    return held


def free_port() -> int:
    """A port of loopback that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def taken(host: str, port: int) -> str | None:
    """Why nobody else can listen there, in words; None when it is free."""
    try:
        listening(host, port).close()
    except PermissionError:
        return "is one of those that only root may use"
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return f"is in use by {holder_of(port)}"
        return f"cannot be had on {host}: {error.strerror or error}"
    return None


def holder_of(port: int) -> str:
    """The program that listens there, where the system lets us know."""
    unknown = "another program"
    try:
        found = psutil.net_connections("tcp")
    except (psutil.Error, OSError):  # macOS tells root only
        return unknown
    for one in found:
        if one.status == psutil.CONN_LISTEN and one.laddr[1:] == (port,) and one.pid:
            return f"process {one.pid} ({_name(one.pid)})"
    return unknown


def _name(pid: int) -> str:
    try:
        return psutil.Process(pid).name()
    except psutil.Error:
        return "gone by now"
