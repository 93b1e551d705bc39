"""Ports of this machine: free, or who has them."""

import errno
import socket

import psutil


def taken(host: str, port: int) -> str | None:
    """Why nobody else can listen there, in words; None when it is free."""
    bare = host.strip("[]")
    family = socket.AF_INET6 if ":" in bare else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind((bare, port))
            tried.listen(1)
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
