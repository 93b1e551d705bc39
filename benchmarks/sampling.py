"""`make bench-sampling`: several concepts in one picture: who is there, how like, and at what cost.

Raw results lie in the work folder; what is there is not measured again. `--part` measures some of it.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.options import options
from benchmarks.regions import cost, sheet, study
from benchmarks.report import print_table, write_result

WORK = Path("build/bench-sampling")
GATES = {
    "present_2": 0.95,
    "present_3": 0.90,
    "present_4": 0.80,
    "identity_in_box_kept": 0.90,
    "attributes": 0.90,
}
LIMITS = {"leaked": 0.05, **{f"overhead_{count}": 1.3 for count in cost.COUNTS}}
PARTS: dict[str, Callable[[Path, int], dict[str, Any]]] = {
    "cost": lambda _, __: cost.measure(),
    "pictures": study.pictures,
}


def main() -> None:
    """Measures what the work folder lacks."""
    args = options(__doc__, WORK, PARTS)
    args.work.mkdir(parents=True, exist_ok=True)
    parts = [args.part] if args.part else list(PARTS)
    found: dict[str, Any] = {}
    for part in parts:
        found |= PARTS[part](args.work, args.workers)
    print_table(found, GATES, LIMITS)
    if not args.part:
        sheet.draw(args.work)
        write_result("sampling", found)


if __name__ == "__main__":
    main()
