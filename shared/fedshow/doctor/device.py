"""What computes: processor cores, and cards as torch sees them.

Torch takes seconds to import and more to find a card, so a child process asks it.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from fedshow.device import THREADS, half_of_the_cores, threads
from fedshow.doctor.finding import Finding, Question, fine, problem, warning
from fedshow.doctor.room import in_gib
from fedshow.errors import InvalidInput, last_line

PROBE = "fedshow.doctor.cards"
PROBE_SECONDS = 120
LITTLE_CARD_BYTES = 4 << 30
DRIVER = Path("/proc/driver/nvidia/version")
"""There when NVIDIA's driver is loaded."""

CUDA_ADVICE = "install torch for CUDA: https://pytorch.org/get-started/locally"


def check_device(question: Question) -> Iterator[Finding]:
    """Cores and threads, torch, and each of its cards."""
    del question
    yield _cores()
    if find_spec("torch") is None:
        advice = "pip install 'fedshow[all]', or 'fedshow[client]' or 'fedshow[server]'"
        yield problem("torch", "is not installed: nothing can be tuned, fused or drawn", advice)
        return
    told = _ask_torch()
    if "error" in told:
        says = f"cannot be imported: {told['error']}"
        yield problem("torch", says, "pip install --force-reinstall torch")
        return
    cards = told["cards"]
    yield from (_card(number, card) for number, card in enumerate(cards))
    if not cards:
        yield _no_card(told)


def _cores() -> Finding:
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    facts = {"cores": os.cpu_count(), "usable": usable}
    try:
        wanted = threads(half_of_the_cores())
    except InvalidInput as error:
        return problem("processor", str(error), error.next_step, **facts)
    facts["threads"] = wanted
    says = f"{usable} of {os.cpu_count()} cores usable; threads for torch: {wanted}"
    if usable and wanted > usable:
        advice = f"export {THREADS}={max(1, usable // 2)}"
        return warning("processor", f"{says}: far slower than fewer", advice, **facts)
    return fine("processor", says, **facts)


def _ask_torch() -> dict[str, Any]:
    """What the probe tells, or why it could not."""
    try:
        done = subprocess.run(
            [sys.executable, "-m", PROBE], capture_output=True, text=True, timeout=PROBE_SECONDS
        )
    except subprocess.TimeoutExpired:
        return {"error": f"it did not answer within {PROBE_SECONDS} s"}
    if done.returncode:
        return {"error": last_line(done.stderr) or f"exit code {done.returncode}"}
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def _card(number: int, card: dict[str, Any]) -> Finding:
    about = f"card cuda:{number}"
    says = f"{card['name']}, {in_gib(card['free_bytes'])} of {in_gib(card['total_bytes'])} free"
    says += f", compute {card['capability']}, driver {card['driver'] or 'unknown'}"
    if card["free_bytes"] < LITTLE_CARD_BYTES:
        advice = "see who has it: nvidia-smi; or take processor cores: --device cpu"
        return warning(about, says, advice, **card)
    return fine(about, says, **card)


def _no_card(told: dict[str, Any]) -> Finding:
    cuda, torch = told["cuda"], told["torch"]
    if DRIVER.exists() or shutil.which("nvidia-smi"):
        if cuda is None:
            says = f"there may be an NVIDIA card, but torch {torch} is built without CUDA"
            return warning("card", says, CUDA_ADVICE, **told)
        says = f"torch {torch} for CUDA {cuda} finds no usable NVIDIA card"
        advice = "nvidia-smi should list it; an old driver needs an update"
        return warning("card", says, advice, **told)
    apple = "; Apple's mps is not used" if told["mps"] else ""
    says = f"none: toyworld does well on processor cores, other bases take hours{apple}"
    return fine("card", says, **told)
