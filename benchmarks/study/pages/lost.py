"""Where identity goes, as Markdown: what is kept by type of prompt, and in every experiment."""

from collections.abc import Mapping
from typing import Any

from benchmarks.study.pages.cells import number, table


def lost(found: Mapping[str, Any]) -> str:
    """A table: sizes as shipped, then the experiments with sets of one size."""
    size, kinds = found["size"], list(found["wider"])
    rows = {f"{n}": row for n, row in found["shipped"].items()}
    rows[f"{size}, no company in texts"] = found["fewer"]
    rows[f"{size}, company and accessories in pictures"] = found["wider"]
    rows[f"{size}, cut to one rank"] = found["cut"]
    for kind, row in found["own"].items():
        rows[f"{size}, with the concept's own {kind}"] = row
    return table(
        ["concepts", *kinds],
        [[name, *(number(row[k]) for k in kinds)] for name, row in rows.items()],
    )
