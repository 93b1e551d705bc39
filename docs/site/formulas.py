"""Formulas: blocks of `math`, as GitHub draws them, become MathML, which browsers draw without scripts."""

import re

from latex2mathml.converter import convert

BLOCK = re.compile(r"^```math\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def drawn(markdown: str) -> str:
    """The page with MathML in place of its formulas."""
    return BLOCK.sub(lambda found: convert(found[1].strip(), display="block"), markdown)
