"""What the pictures of each sheet were asked to show, from left to right."""

from collections.abc import Iterable

from benchmarks.study.bench import Bench
from benchmarks.study.pages.sheets import SHOWN, examples, few, fused_examples


def of_examples(bench: Bench) -> str:
    """The sheets of methods and of parts."""
    shown = examples(bench)
    return said(p.text for group, name in shown.items() for p in few(bench, name, SHOWN[group]))


def of_fusions(bench: Bench) -> str:
    """The sheet of fusions."""
    return said(few(bench, name, 1)[0].text for name in fused_examples(bench))


def said(texts: Iterable[str]) -> str:
    """Texts as Markdown."""
    return " · ".join(f"`{text}`" for text in texts)
