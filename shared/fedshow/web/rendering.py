"""Pages from templates: everything that is shown is escaped, and a name that is missing is an error."""

from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from fastapi import Request, Response
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from fedshow.web.assets import Assets

TEMPLATES = Path(__file__).parent / "templates"
THEME_COOKIE, THEMES = "fedshow-theme", ("light", "dark")
"""Written by theme.js; anything else is as the browser prefers."""
KEEP_NOTHING = "no-store"
"""Nobody looks at a page with the back button after signing out."""
HUES = 8


class Renderer:
    """Makes pages of the templates in `folders`, which may extend and import those of this package."""

    def __init__(self, assets: Assets, *folders: Path, **everywhere: Any) -> None:
        self._environment = Environment(
            loader=FileSystemLoader([*folders, TEMPLATES]),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._environment.globals.update(asset=assets.url, **everywhere)
        self._environment.filters.update(bytes=bytes_text, day=day, moment=moment, hue=hue)

    def page(
        self, request: Request, template: str, status: int = 200, /, **content: Any
    ) -> Response:
        """The page, with what its template asks for in `content`."""
        theme = request.cookies.get(THEME_COOKIE)
        made = self._environment.get_template(template).render(
            theme=theme if theme in THEMES else "", path=request.scope["path"], **content
        )
        return HTMLResponse(made, status, {"cache-control": KEEP_NOTHING})


def bytes_text(size: int) -> str:
    """A size for people: `4.1 MB`."""
    amount, unit = float(size), "bytes"
    for larger in ("kB", "MB", "GB", "TB"):
        if amount < 1000:
            break
        amount, unit = amount / 1000, larger
    return f"{size} bytes" if unit == "bytes" else f"{amount:.3g} {unit}"


def day(value: datetime) -> str:
    """The day in UTC: `2026-11-29`."""
    return f"{value.astimezone(UTC):%Y-%m-%d}"


def moment(value: datetime) -> str:
    """Day and time in UTC: `2026-11-29 09:42`."""
    return f"{value.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def hue(name: str) -> int:
    """Which of the palette's colours stands for the name, always the same."""
    return sha256(name.encode()).digest()[0] % HUES


def pages_around(page: int, last: int) -> Sequence[int]:
    """Numbers of pages worth a link: the first, the last, and those next to this one; 0 is a gap."""
    near = sorted({1, last, *range(max(1, page - 1), min(last, page + 1) + 1)})
    found: list[int] = []
    for number in near:
        if found and number - found[-1] > 1:
            found.append(0)
        found.append(number)
    return found
