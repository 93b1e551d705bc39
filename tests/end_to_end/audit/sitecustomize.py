"""Python imports this at start when it is on PYTHONPATH: notes every address that the process names."""

import json
import os
import sys

EVENTS = ("socket.connect", "socket.sendto", "socket.getaddrinfo", "socket.gethostbyname")


def note(kind: str, *values: object) -> None:
    with open(os.environ["AUDIT_LOG"], "a") as log:
        log.write(json.dumps([kind, *values], default=repr) + "\n")


def hook(event: str, arguments: tuple[object, ...]) -> None:
    if event in EVENTS:
        address = arguments[1] if event in EVENTS[:2] else arguments[:2]
        if isinstance(address, tuple):  # others are local sockets
            note("address", *address[:2])


note("start", *sys.orig_argv)
sys.addaudithook(hook)
