"""Runs an entry point in this process and ends it when the parent is gone, however it ended.

    python -m fedshow_client.leash fedshow.cli:main tune …

The parent keeps a pipe to this process's standard input open; the system closes it with the parent.
"""

import os
import signal
import sys
import threading
import time
from importlib import import_module

GRACE_SECONDS = 10.0


def main() -> None:
    """Takes MODULE:FUNCTION and its arguments from the command line."""
    module, _, function = sys.argv[1].partition(":")
    sys.argv = [module, *sys.argv[2:]]
    threading.Thread(target=_watch, args=(os.dup(0),), name="leash", daemon=True).start()
    _close_stdin()
    getattr(import_module(module), function)()


def _watch(pipe: int) -> None:
    while os.read(pipe, 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_SECONDS)
    os._exit(1)


def _close_stdin() -> None:
    """Children of this process must not read the leash."""
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.close(empty)


if __name__ == "__main__":
    main()
