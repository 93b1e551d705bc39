"""Where to compute, and with how many threads."""

import os

from fedshow.errors import Absent, InvalidInput


def choose_device(wanted: str = "auto") -> str:
    """`cpu` or `cuda`; raises InvalidInput for anything else, Absent without a card. Fixes torch's threads.

    Half of the cores: a thread more than there are free cores makes every step many times slower.
    """
    import torch

    default = max(1, (os.cpu_count() or 2) // 2)
    torch.set_num_threads(int(os.environ.get("FEDSHOW_THREADS", default)))
    if wanted not in ("auto", "cpu", "cuda"):
        raise InvalidInput(f"device {wanted!r}: use auto, cpu or cuda")
    if wanted == "cuda" and not torch.cuda.is_available():
        raise Absent("device 'cuda': torch finds no CUDA card here; use --device cpu")
    return wanted if wanted != "auto" else ("cuda" if torch.cuda.is_available() else "cpu")
