"""Numbers and tables as Markdown."""

from collections.abc import Sequence

from benchmarks.study.tables import Value


def number(value: Value | None, sign: str = "") -> str:
    """`.812 (.79 to .83)`; nothing where nothing is known."""
    if value is None or value["value"] is None:
        return "–"
    shown = f"{value['value']:{sign}.3f}"
    if value["low"] is None or value["high"] is None:
        return shown
    return f"{shown} ({value['low']:{sign}.2f} to {value['high']:{sign}.2f})"


def share(value: float | None) -> str:
    """`.97`."""
    return "–" if value is None else f"{value:.2f}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])
