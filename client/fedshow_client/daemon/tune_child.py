"""`fedshow tune` as the daemon's child: its exit code also tells when nothing is wrong with the job."""

import sys

from fedshow.cli import build
from fedshow.errors import Absent, FedshowError, Unreachable

UNREACHABLE = 75
"""Exit code for what may pass: a base that cannot be fetched now, a card that others have filled, a disk
that is not mounted.
"""


def main() -> None:
    """Runs the program; any other exception leaves its traceback in the log."""
    try:
        build()()
    except FedshowError as error:
        print(f"fedshow: {error}", file=sys.stderr)
        sys.exit(UNREACHABLE if isinstance(error, Unreachable | Absent) else error.exit_code)
