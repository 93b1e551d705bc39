"""Run as a program: what torch says of itself and of its cards, as JSON on stdout."""

import json
import shutil
import subprocess
from typing import Any

import torch


def driver_version() -> str | None:
    """NVIDIA's, as its own tool says it."""
    if shutil.which("nvidia-smi") is None:
        return None
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    done = subprocess.run(query, capture_output=True, text=True, timeout=20, check=False)
    return next(iter(done.stdout.split()), None) if done.returncode == 0 else None


def card(number: int, driver: str | None) -> dict[str, Any]:
    """One card."""
    free, total = torch.cuda.mem_get_info(number)
    about = torch.cuda.get_device_properties(number)
    return {
        "name": about.name,
        "free_bytes": free,
        "total_bytes": total,
        "capability": f"{about.major}.{about.minor}",
        "driver": driver,
    }


def main() -> None:
    """Prints it."""
    there = torch.cuda.is_available()
    driver = driver_version() if there else None
    told = {
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "mps": torch.backends.mps.is_available(),
        "cards": [card(n, driver) for n in range(torch.cuda.device_count())] if there else [],
    }
    print(json.dumps(told, default=str))


if __name__ == "__main__":
    main()
