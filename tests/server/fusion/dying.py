"""Adds concepts to a ledger, in children that kill themselves on the way; torch is loaded once.

Reads lines "FOLDER FIRST LAST STEPS" and answers each with the child's exit status: -9 when it died
after that many function calls, 0 when it was done before.
"""

import os
import signal
import sys
from pathlib import Path
from types import FrameType

import torch

from fedshow_server.fusion.ledger import open_ledger
from tests.server.fusion.synthetic import RECORDING, WIRING, record_generic, statistics


def add(folder: Path, first: int, last: int) -> None:
    """Adds concepts `first` to `last`, each followed by a fusion."""
    with open_ledger(folder, WIRING, RECORDING) as ledger:
        record_generic(ledger)
        for seed in range(first, last + 1):
            ledger.add(statistics(seed))
            for _ in ledger.layers():
                pass


def die_after(steps: int) -> None:
    """SIGKILL at the n-th call of a function, ours or a library's, Python or C."""
    left = steps

    def count(_frame: FrameType, _event: str, _arg: object) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.setprofile(count)


def main() -> None:
    """Answers until the input ends."""
    torch.set_num_threads(1)
    for line in sys.stdin:
        folder, first, last, steps = line.split()
        child = os.fork()
        if child == 0:
            die_after(int(steps))
            add(Path(folder), int(first), int(last))
            os._exit(0)
        status = os.waitpid(child, 0)[1]
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
