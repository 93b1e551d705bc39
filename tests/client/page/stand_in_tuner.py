"""Stands in for `fedshow tune`: tells steps and losses, leaves samples, and ends when it may."""

import json
import os
import shutil
import sys
import time
from pathlib import Path

from PIL import Image

STEPS, HALF = 100, 50


def main() -> None:
    """From where an earlier run was stopped; at half of it, and at its end, it waits for a file."""
    options = dict(zip(sys.argv[3::2], sys.argv[4::2], strict=False))
    told, samples = Path(options["--progress"]), Path(options["--work"]) / "samples"
    samples.mkdir(parents=True, exist_ok=True)
    done = len(told.read_text().splitlines()) * 10 if told.exists() else 0
    for step in range(done + 10, STEPS + 1, 10):
        if step > HALF:
            wait_for("STAND_IN_GO")
        if step % HALF == 0:
            draw(samples, step)
        line = {"step": step, "steps": STEPS, "loss": 1 / step + 0.1, "seconds": step / 10}
        with told.open("a") as file:
            file.write(json.dumps(line) + "\n")
    wait_for("STAND_IN_END")
    shutil.copy(os.environ["STAND_IN_RESULT"], options["-o"])


def wait_for(name: str) -> None:
    """Returns once the file that the environment names so is there."""
    while not Path(os.environ[name]).exists():
        time.sleep(0.05)


def draw(samples: Path, step: int) -> None:
    """A plain picture for every scale and prompt."""
    for row, scale in enumerate(("0", "0.7", "1")):
        for column in range(3):
            colour = (40 + 2 * step, 60 * (row + 1), 60 * (column + 1))
            picture = Image.new("RGB", (64, 64), colour)
            picture.save(samples / f"step{step:06}-scale{scale}-{column + 1}.png")
