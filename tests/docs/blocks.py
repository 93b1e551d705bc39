"""The blocks of commands and code in the docs: where each stands, and whether the tests run it.

`python -m tests.docs.blocks` counts them and lists those that are not run, with their reasons. A page
says in an HTML comment above a block what cannot be seen in it: `<!-- not run: WHY -->`, or
`<!-- until it shows this -->` for a command that is typed again until its output is the one below,
`<!-- in any order -->` for one whose lines nobody knows the order of: it depends on who was first.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    "integrations/comfyui/README.md",
    *sorted(str(page.relative_to(ROOT)) for page in (ROOT / "docs").rglob("*.md")),
)
RUN = ("sh", "python", "toml", "json")
"""Languages of blocks that are run, or, of settings and documents, read."""
SHOWN = ("output", "text", "math")
"""What is no code: the output of the block above, samples of files, formulas."""
HERE = "here"
"""The machine of blocks that do not say one."""
FENCE = re.compile(r"^```(?P<language>\w*)(?: title=\"(?P<title>[^\"]*)\")?$")
NOT_RUN = re.compile(r"<!-- not run: (.+) -->")
UNTIL = "<!-- until it shows this -->"
UNORDERED = "<!-- in any order -->"


@dataclass
class Block:
    """One fenced block of a page."""

    page: str
    line: int
    language: str
    title: str
    text: str
    reason: str
    """Why it is not run; empty for those that are."""
    until: bool
    """It is typed again and again until it shows `output`."""
    unordered: bool
    """Its `output` may come in any order of its lines."""
    output: str = ""
    """What stands in the `output` block right after it; `…` there is anything."""

    @property
    def runs(self) -> bool:
        """Whether the tests run it."""
        return not self.reason

    @property
    def machine(self) -> str:
        """Where it is typed: pages say `title="on alice's machine"`."""
        return self.title.removeprefix("on ") if self.title.startswith("on ") else HERE

    @property
    def file(self) -> str:
        """The file that holds it, if it is one: pages say `title="server/server.toml"`."""
        return "" if self.title.startswith("on ") else self.title

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def all_blocks() -> list[Block]:
    """All blocks of commands and code in all pages, in order."""
    return [block for page in PAGES for block in blocks_of(page)]


def blocks_of(page: str) -> list[Block]:
    """The blocks of commands and code of a page, with the outputs shown for them."""
    found: list[Block] = []
    for block in _fences(page, (ROOT / page).read_text()):
        if block.language == "output":
            found[-1].output = block.text
        elif block.language not in SHOWN:
            found.append(block)
    return found


def _fences(page: str, text: str) -> Iterator[Block]:
    """Every fenced block; raises ValueError for one that does not say what it is."""
    lines = iter(enumerate(text.splitlines(), start=1))
    above = ""
    for number, line in lines:
        if line.lstrip().startswith("```"):
            opened = FENCE.match(line)
            if opened is None or not opened["language"]:
                raise ValueError(f"{page}:{number}: {line.strip()!r} does not say its language")
            body = [inner for _, inner in takewhile(lambda found: found[1] != "```", lines)]
            yield _block(page, number, opened, body, above)
        if line.strip():
            above = line


def _block(page: str, line: int, opened: re.Match[str], body: list[str], above: str) -> Block:
    reason = NOT_RUN.fullmatch(above)
    return Block(
        page=page,
        line=line,
        language=opened["language"],
        title=opened["title"] or "",
        text="\n".join(body) + "\n",
        reason=reason[1] if reason else "",
        until=above == UNTIL,
        unordered=above == UNORDERED,
    )


def main() -> None:
    """Prints how many there are, how many are run, and why the others are not."""
    found = all_blocks()
    left = [block for block in found if not block.runs]
    print(f"{len(found)} blocks, {len(found) - len(left)} run")
    for block in left:
        print(f"{block}: {block.reason}")


if __name__ == "__main__":
    main()
