"""Links of the Markdown files to each other, to files and to headings: do they lead somewhere?"""

import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from urllib.parse import unquote

LINK = re.compile(r"!?\[[^\]]*\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)")
FENCE = re.compile(r"^( *)(```|~~~).*?^\1\2", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`[^`\n]+`")
HEADING = re.compile(r"^#{1,6} +(.+?) *#*$", re.MULTILINE)
ANCHOR = re.compile(r"<[^>]+ (?:id|name)=\"([^\"]+)\"|\{ ?#([\w-]+)")
ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:")


def broken_links(root: Path) -> list[str]:
    """Every link within the repository that leads nowhere, as PAGE: LINK."""
    return [f"{page.relative_to(root)}: {link}" for page in _pages(root) for link in _wrong(page)]


def anchors_of(page: Path) -> frozenset[str]:
    """What can be linked to in a Markdown file, as GitHub and mkdocs name headings."""
    return _anchors(page, page.stat().st_mtime_ns)


@cache
def _anchors(page: Path, changed: int) -> frozenset[str]:
    del changed  # a file that was written anew is read anew
    text = FENCE.sub("", page.read_text())
    named = {first or second for first, second in ANCHOR.findall(text)}
    seen: dict[str, int] = {}
    for title in HEADING.findall(text):
        for slug in _slugs(title):
            count = seen[slug] = seen.get(slug, -1) + 1
            named |= {slug} if not count else {f"{slug}-{count}", f"{slug}_{count}"}
    return frozenset(named)


def _slugs(title: str) -> set[str]:
    """GitHub's, and mkdocs' where that differs: it joins dashes."""
    plain = re.sub(
        r"\[([^\]]*)\]\([^)]*\)", r"\1", title
    )  # a link in a heading counts by its words
    plain = re.sub(r"[^\w\s-]", "", plain.strip().lower())
    return {re.sub(r"\s", "-", plain), re.sub(r"[\s-]+", "-", plain).strip("-")}


def _pages(root: Path) -> list[Path]:
    listed = subprocess.run(
        ["git", "-C", root, "ls-files", "*.md"], capture_output=True, text=True, check=True
    )
    return [root / name for name in listed.stdout.splitlines() if (root / name).is_file()]


def _wrong(page: Path) -> Iterator[str]:
    text = CODE.sub("", FENCE.sub("", page.read_text()))
    for link in LINK.findall(text):
        if not ELSEWHERE.match(link) and not _leads(page, unquote(link)):
            yield link


def _leads(page: Path, link: str) -> bool:
    name, _, anchor = link.partition("#")
    target = page if not name else (page.parent / name).resolve()
    if not target.exists():
        return False
    return not anchor or target.suffix != ".md" or anchor in anchors_of(target)
