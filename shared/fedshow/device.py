"""Where to compute, and with how many threads."""

import os

from fedshow.errors import Absent, InvalidInput

THREADS = "FEDSHOW_THREADS"
"""Environment: how many threads torch takes."""


def choose_device(wanted: str = "auto") -> str:
    """`cpu` or `cuda`; raises InvalidInput for anything else, Absent without a card.

    Fixes torch's threads, too.
    """
    import torch

    torch.set_num_threads(threads(half_of_the_cores()))
    if wanted not in ("auto", "cpu", "cuda"):
        raise InvalidInput(f"device {wanted!r}: use auto, cpu or cuda")
    if wanted == "cuda" and not torch.cuda.is_available():
        raise Absent("device 'cuda': torch finds no CUDA card here; use --device cpu")
    return wanted if wanted != "auto" else ("cuda" if torch.cuda.is_available() else "cpu")


def threads(default: int) -> int:
    """How many torch may take: what FEDSHOW_THREADS says, else `default`. Raises InvalidInput."""
    told = os.environ.get(THREADS, str(default))
    if told.isdecimal() and int(told):
        return int(told)
    refused = InvalidInput(f"{THREADS} = {told[:80]!r}: must be a number of threads, 1 or more")
    raise refused.then(f"export {THREADS}={default}")


def half_of_the_cores() -> int:
    """What torch takes by default: a thread more than cores are free makes every step many times slower."""
    return max(1, (os.cpu_count() or 2) // 2)
