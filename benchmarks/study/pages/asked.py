"""What the pictures of each sheet were asked to show, from left to right."""

from collections.abc import Iterable

from benchmarks.regions.layouts import layouts
from benchmarks.study.bench import Bench
from benchmarks.study.pages.sheets import SHOWN, examples, few, fused_examples
from benchmarks.study.questions import failures


def of_examples(bench: Bench) -> str:
    """The sheets of methods and of parts."""
    shown = examples(bench)
    return _said(p.text for group, name in shown.items() for p in few(bench, name, SHOWN[group]))


def of_fusions(bench: Bench) -> str:
    """The sheet of fusions."""
    return _said(few(bench, name, 1)[0].text for name in fused_examples(bench))


def of_regions() -> str:
    """The sheet of regions."""
    return _said(layouts(count, "apart", 1)[0].prompt for count in (2, 3, 4))


def of_failures(bench: Bench) -> str:
    """The row of words that the base never read."""
    return _said(text.format(failures.cast_of(bench).twin[0]) for text in failures.FAR)


def _said(texts: Iterable[str]) -> str:
    return " · ".join(f"`{text}`" for text in texts)
