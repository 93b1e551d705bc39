"""What the pictures of the sheets that toyworld alone has were asked to show."""

from benchmarks.regions.layouts import layouts
from benchmarks.study.bench import Bench
from benchmarks.study.pages.asked import said
from benchmarks.study.toyworld import failures


def of_regions() -> str:
    """The sheet of regions."""
    return said(layouts(count, "apart", 1)[0].prompt for count in (2, 3, 4))


def of_failures(bench: Bench) -> str:
    """The row of words that the base never read."""
    return said(text.format(failures.cast_of(bench).twin[0]) for text in failures.FAR)
