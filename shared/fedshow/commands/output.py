"""What commands print: results on stdout for pipes and programs, everything else on stderr."""

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from fedshow.errors import Unreachable


def print_json(value: Any) -> None:
    """The value as JSON on stdout."""
    print(json.dumps(value, indent=2, default=str))


def print_table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Rows in aligned columns on stdout."""
    cells = [tuple(head), *(tuple(str(cell) for cell in row) for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    for row in cells:
        print(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        )


def show_table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A table on stdout: ruled on a terminal, else in aligned columns as `print_table`."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    if not sys.stdout.isatty():  # whatever FORCE_COLOR says: programs read columns
        return print_table(head, rows)
    table = Table(*head)
    for row in rows:
        table.add_row(*(Text(str(cell)) for cell in row))
    return Console().print(table)


def say(text: str) -> None:
    """A line for people on stderr."""
    print(text, file=sys.stderr, flush=True)


def say_waiting(error: Unreachable, delay_seconds: float) -> None:
    """Tells people on stderr why the command pauses."""
    say(f"waiting: {error}; next try in {delay_seconds:.1f} s")


@contextmanager
def byte_progress(title: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar; gives a function that takes bytes here and bytes in all."""
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TransferSpeedColumn

    with _bar(TextColumn(title), BarColumn(), DownloadColumn(), TransferSpeedColumn()) as update:
        yield lambda here, total: update(completed=here, total=total)


@contextmanager
def step_progress(title: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar; gives a function that takes steps done and steps in all."""
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

    with _bar(
        TextColumn(title), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    ) as update:
        yield lambda done, total: update(completed=done, total=total)


@contextmanager
def elapsed_progress(title: str) -> Iterator[None]:
    """A moving bar and the time so far, for work that cannot say how much of it is left."""
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn

    with _bar(TextColumn(title), BarColumn(), TimeElapsedColumn()):
        yield


@contextmanager
def _bar(*columns: Any) -> Iterator[Callable[..., None]]:
    """A bar on stderr as long as the block runs, on terminals only; gives what updates it.

    It moves without a number until the first update; lines for people appear above it.
    """
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    hidden = not sys.stderr.isatty()
    with Progress(*columns, console=console, transient=True, disable=hidden) as progress:
        task = progress.add_task("", total=None)
        yield partial(progress.update, task)
