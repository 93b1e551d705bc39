"""Runs an entry point in this process and ends it when the parent is gone, however it ended.

    python -m fedshow_client.leash fedshow.cli:main tune …

The parent keeps a pipe to this process's standard input open; the system closes it with the parent.
"""

import os
import sys
from importlib import import_module

from fedshow.children import end_with_parent

GRACE_SECONDS = 10.0


def main() -> None:
    """Takes MODULE:FUNCTION and its arguments from the command line."""
    module, _, function = sys.argv[1].partition(":")
    sys.argv = [module, *sys.argv[2:]]
    end_with_parent(os.dup(0), GRACE_SECONDS)
    _close_stdin()
    getattr(import_module(module), function)()


def _close_stdin() -> None:
    """Children of this process must not read the leash."""
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.close(empty)


if __name__ == "__main__":
    main()
