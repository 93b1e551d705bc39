"""Styles, scripts and pictures that ship in the package, under names that change with their content."""

import mimetypes
from hashlib import sha256
from pathlib import Path

from fastapi import APIRouter, Request, Response

from fedshow.errors import NotFound

STATIC = Path(__file__).parent / "static"
FOR_EVER, ASK_AGAIN = "public, max-age=31536000, immutable", "no-cache"
TYPES = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8"}
VERSION_DIGITS = 12


class Assets:
    """All files of some folders, in memory; one version for all, so that scripts find each other."""

    def __init__(self, prefix: str, *folders: Path) -> None:
        self.route = f"{prefix}/{{version}}/{{name}}"
        self._prefix = prefix
        self._files = {
            path.name: path.read_bytes()
            for folder in (STATIC, *folders)
            for path in sorted(folder.iterdir())
            if path.is_file()
        }
        parts = (name.encode() + content for name, content in sorted(self._files.items()))
        self._version = sha256(b"".join(parts)).hexdigest()[:VERSION_DIGITS]

    def url(self, name: str) -> str:
        """Where a page finds the file of this name."""
        assert name in self._files, f"no asset {name}"
        return f"{self._prefix}/{self._version}/{name}"

    def answer(self, version: str, name: str) -> Response:
        """The file; kept for ever where its version is ours. Raises NotFound."""
        if name not in self._files:
            raise NotFound(f"no file {name[:80]!r}")
        kind = TYPES.get(Path(name).suffix) or mimetypes.guess_type(name)[0]
        keep = FOR_EVER if version == self._version else ASK_AGAIN
        return Response(self._files[name], media_type=kind, headers={"cache-control": keep})


def asset_routes(assets: Assets) -> APIRouter:
    """Serves them."""
    routes = APIRouter(include_in_schema=False)

    @routes.get(assets.route)
    async def asset(_: Request, version: str, name: str) -> Response:
        return assets.answer(version, name)

    return routes
