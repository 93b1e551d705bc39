"""Where a step's time goes: its operations by what they take of the card, or of the processor."""

from pathlib import Path
from typing import Any

from torch.profiler import ProfilerActivity
from torch.profiler import profile as recorded

from benchmarks.timing import seconds
from benchmarks.tuning.loops import Step

ROWS = 25


def profile(step: Step, device: str, steps: int, files: Path | None = None) -> dict[str, Any]:
    """The operations that take most, in milliseconds a step; the whole table lands in `files`.

    `tune_profile_busy_share` is how much of a step the card, or one core, spends in operations at all.
    """
    on_card = device == "cuda"
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_card else [])]
    kind = "device" if on_card else "cpu"
    step(0)
    with recorded(activities=activities) as found:
        spent = seconds(lambda: [step(1 + number) for number in range(steps)])
    averages = found.key_averages()
    if files is not None:
        files.mkdir(parents=True, exist_ok=True)
        table = averages.table(sort_by=f"self_{kind}_time_total", row_limit=4 * ROWS)
        (files / "profile.txt").write_text(table)
    operations = [each for each in averages if each.device_type.name == "CPU"]
    operations.sort(key=lambda each: -getattr(each, f"self_{kind}_time_total"))
    return {
        "tune_profile_busy_share": _busy(averages, on_card) / 1e6 / spent,
        "tune_profile": [
            {
                "operation": each.key,
                "milliseconds": getattr(each, f"self_{kind}_time_total") / 1e3 / steps,
                "calls": each.count / steps,
            }
            for each in operations[:ROWS]
        ],
    }


def _busy(averages: Any, on_card: bool) -> float:
    """Microseconds of all kernels, or of all operations: what launched a kernel would count it again."""
    if not on_card:
        return float(sum(each.self_cpu_time_total for each in averages))
    kernels = [each for each in averages if each.device_type.name == "CUDA"]
    return float(
        sum(each.self_device_time_total for each in kernels if not each.is_user_annotation)
    )
