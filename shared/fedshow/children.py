"""What programs need that we start as children: an environment, and an end when their parent is gone."""

import os
import signal
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from fedshow.proxies import past_proxies

QUIET = {"FLWR_TELEMETRY_ENABLED": "0", "FLWR_DISABLE_UPDATE_CHECK": "1"}
"""Flower shall not phone home."""


def environment(extra: Mapping[str, str]) -> dict[str, str]:
    """Our environment for a child: Flower's programs find each other, nothing phones home."""
    programs = str(Path(sys.executable).parent)
    path = os.pathsep.join((programs, os.environ.get("PATH", os.defpath)))
    ours = {"PYTHONUNBUFFERED": "1", "PATH": path}
    return {**os.environ, **past_proxies(), **QUIET, **ours, **extra}


def end_with_parent(pipe: int, grace_seconds: float) -> None:
    """In a child: ends this process when `pipe` ends, which the system closes with the parent.

    It is asked to end first; after the grace it just ends.
    """

    def watch() -> None:
        while os.read(pipe, 4096):
            pass
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(grace_seconds)
        os._exit(1)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()
