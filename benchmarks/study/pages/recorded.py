"""Q2's experiment as Markdown: what is kept by type of prompt, and when more is recorded."""

from collections.abc import Mapping
from typing import Any

from benchmarks.study.pages.cells import number, table


def recorded(found: Mapping[str, Any]) -> str:
    """A table, and a sentence of what the wider recording changes."""
    size, rows = found["size"], {f"{n}": row for n, row in found["shipped"].items()}
    rows[f"{size}, recorded with company and accessories"] = found["wider"]
    kinds = list(found["wider"])
    cells = [[name, *(number(row[kind]) for kind in kinds)] for name, row in rows.items()]
    before, after = (_all(row) for row in (rows[str(size)], found["wider"]))
    return "\n\n".join(
        [
            table(["concepts", *kinds], cells),
            f"Recorded with company and accessories in half of the prompts, sets of {size} keep {after} "
            f"instead of {before}.",
        ]
    )


def _all(row: Mapping[str, Any]) -> str:
    return number(row["all"])
