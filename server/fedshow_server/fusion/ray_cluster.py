"""The way to a Ray cluster: quiet, within a bounded time. Costs nothing to import.

python -m fedshow_server.fusion.ray_cluster ADDRESS     tries it
"""

import logging
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from subprocess import DEVNULL, PIPE

from fedshow.errors import InvalidInput, Unreachable

ADDRESS = re.compile(r"auto|(ray://)?([A-Za-z0-9._-]+|\[[0-9A-Fa-f:]+\]):[0-9]{1,5}")
PATIENCE_SECONDS = 60.0

QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",  # nothing here phones home
    "RAY_IGNORE_UNHANDLED_ERRORS": "1",  # the first one is raised, that is enough
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # or Ray warns of its own future
}


def check_address(address: str) -> None:
    """Raises InvalidInput for what is no address, and where Ray is not installed."""
    if not ADDRESS.fullmatch(address):
        raise InvalidInput(f"Ray address {address!r}: use auto, HOST:PORT or ray://HOST:PORT")
    if find_spec("ray") is None:
        raise InvalidInput(f"Ray address {address!r}: first pip install 'fedshow[ray]'")


@contextmanager
def connected(address: str) -> Iterator[None]:
    """Within the block, Ray's calls go to this cluster. Raises InvalidInput, Unreachable."""
    check_address(address)
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    _try(address)
    import ray

    _init(address)
    try:
        yield
    finally:
        ray.shutdown()


def _init(address: str) -> None:
    import ray

    ray.init(address=address, logging_level=logging.ERROR, log_to_driver=False)


def _try(address: str) -> None:
    """Raises Unreachable. Ray itself tries for minutes and then ends the process: a child does"""
    command = [sys.executable, "-m", __name__, address]
    try:
        subprocess.run(
            command, check=True, stdout=PIPE, stderr=DEVNULL, text=True, timeout=PATIENCE_SECONDS
        )
    except subprocess.TimeoutExpired:
        why = f"no answer within {PATIENCE_SECONDS:g} s"
    except subprocess.CalledProcessError as error:
        why = " ".join(error.stdout.split()) or "it cannot be connected to"
    else:
        return
    raise Unreachable(f"Ray cluster {address!r}: {why}")


def main() -> None:
    """Connects to a cluster; exit status 1 and the reason when it cannot be."""
    try:
        _init(sys.argv[1])
    except Exception as error:
        print(error)
        sys.exit(1)


if __name__ == "__main__":
    main()
