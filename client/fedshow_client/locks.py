"""One run at a time on each card of this user."""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from fedshow.errors import FedshowError
from fedshow.locks import locked


class Busy(FedshowError):
    """Another run has it."""


def card_of(device: str) -> str | None:
    """The identity of the card behind a device, the same in every process; None for the processor."""
    if device == "cpu":
        return None
    import torch

    return str(torch.cuda.get_device_properties(device).uuid)  # whatever CUDA_VISIBLE_DEVICES says


def lock_file(card: str) -> Path:
    """Where the runs of this user, of whatever FEDSHOW_HOME, agree on who has the card."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "fedshow" / "cards" / f"{card}.lock"


@contextmanager
def one_run(card: str | None, me: str, on_wait: Callable[[str], None] | None) -> Iterator[None]:
    """Inside, this is the only run on the card; without a card nothing is asked.

    Tells `on_wait` who has it, waits, and tells an empty text when it is ours. Raises Busy instead
    when `on_wait` is None.
    """
    if card is None:
        yield
        return
    path = lock_file(card)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        if not locked(file):
            found = f"card {card} is in use by {_holder(file)}"
            if on_wait is None:
                raise Busy(f"{found}; leave out --no-wait to wait for it")
            on_wait(found)
            fcntl.flock(file, fcntl.LOCK_EX)
            on_wait("")
        file.truncate(0)
        file.write(f"{me}, process {os.getpid()}")
        file.flush()
        yield


def _holder(file: IO[str]) -> str:
    file.seek(0)
    return file.read() or "another run"
