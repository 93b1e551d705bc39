"""Links between pages and to files of the repository, as they lead on the site.

In the repository a page's links lead to files, wherever they lie; the site has only what is in `docs/`, and
what is brought into it here.
"""

import os.path
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = {"README.md": "index.md"}
"""Where pages outside of `docs/` lie on the site, when not under their own path."""
OUTSIDE = ("CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "integrations/comfyui/README.md")
RESULTS = "benchmarks/results"
FENCED = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(!?\[[^\]]*\]\()([^)#:\s]+)(#[^)\s]*)?(?=\))")


def brought() -> dict[str, str]:
    """Files of the repository outside of `docs/` that the site has, and where."""
    pages = [path for path in OUTSIDE if (ROOT / path).is_file()]
    results = [str(path.relative_to(ROOT)) for path in (ROOT / RESULTS).glob("*.json")]
    return PAGES | {path: path for path in (*pages, *results)}


def source_of(page: str) -> Path:
    """The file that a page of the site is made of, whether it is there or not."""
    outside = next((source for source, place in brought().items() if place == page), f"docs/{page}")
    return ROOT / outside


def turned(markdown: str, page: str) -> str:
    """The text of a page of the site, with links that lead from there."""
    source = source_of(page).relative_to(ROOT)

    def turn(found: re.Match[str]) -> str:
        target = os.path.normpath(os.path.join(source.parent, found[2]))
        place = brought().get(target, target.removeprefix("docs/"))
        return found[1] + os.path.relpath(place, os.path.dirname(page) or ".") + (found[3] or "")

    parts = FENCED.split(markdown)
    return "".join(part if FENCED.match(part) else LINK.sub(turn, part) for part in parts)
