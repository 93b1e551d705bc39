"""Benchmark results as committed files: what was measured, when, of which commit, on what."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
IMAGES = Path(__file__).parent.parent / "docs" / "images"
WRITTEN = ("benchmarks/results", "docs/images", "docs/study.md")
_LIBRARIES = ("torch", "diffusers", "transformers", "peft", "numpy", "flwr", "grpcio")


def write_result(name: str, figures: Mapping[str, Any], folder: Path = RESULTS) -> Path:
    """Write `folder/NAME.json` with figures, commit, date and machine."""
    result = {
        "name": name,
        "commit": commit(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "figures": dict(figures),
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    path.write_text(json.dumps(result, indent=2) + "\n")
    return path


def commit() -> str:
    """The commit that is checked out, with '+' if tracked files but those that benchmarks write differ."""
    head = _git("rev-parse", "--short=12", "HEAD")
    status = ("status", "--porcelain", "--untracked-files=no")
    changed = _git(*status, "--", ":/", *(f":(top,exclude){path}" for path in WRITTEN))
    return (head or "unknown") + ("+" if changed else "")


def machine() -> dict[str, Any]:
    """Cores, memory, accelerator and library versions."""
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gigabytes": round(_memory_bytes() / 2**30, 1),
        "accelerator": _accelerator(),
        "python": platform.python_version(),
        "libraries": {name: v for name in _LIBRARIES if (v := _version(name))},
    }


def print_table(
    figures: Mapping[str, Any],
    gates: Mapping[str, float] | None = None,
    limits: Mapping[str, float] | None = None,
) -> None:
    """Print one line for each figure that is a number, with what it must reach or not exceed."""
    gates, limits = gates or {}, limits or {}
    for name, value in figures.items():
        if not isinstance(value, int | float):
            continue
        gate = gates.get(name)
        verdict = "" if gate is None else f"  >= {gate:g}  {'ok' if value >= gate else 'MISSED'}"
        if (limit := limits.get(name)) is not None:
            verdict += f"  <= {limit:g}  {'ok' if value <= limit else 'MISSED'}"
        print(f"{name:<28} {value:>12.4g}{verdict}")


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(Path(__file__).parent), *arguments]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    return finished.stdout.strip()


def _version(library: str) -> str | None:
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return None


def _memory_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor()


def _accelerator() -> str | None:
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else None
