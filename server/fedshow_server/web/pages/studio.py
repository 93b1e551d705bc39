"""`/gallery/studio`, where members lay out pictures and have them drawn; scripts order by `/api/drawings`."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

from fastapi import APIRouter, Request, Response

from fedshow.errors import NotFound
from fedshow.families.card import BaseCard
from fedshow.families.locating import TOYWORLD
from fedshow.sampling.conditions import MOST_CONDITIONS, Kind, types
from fedshow.sampling.regions import MOST_REGIONS, Overlap
from fedshow_server.settings import ServerSettings
from fedshow_server.store import Node, Release, Releases, Showcase
from fedshow_server.web.concepts import picture_path
from fedshow_server.web.doors import visitor
from fedshow_server.web.pages.places import STUDIO
from fedshow_server.web.pages.showing import Gallery

CARDS = 24
"""Concepts that are shown at once, beside the search."""
MOST_LETTERS = 100
EDGES, TOYWORLD_EDGE, OTHER_EDGE = {"sdxl": 1024, "sd3": 1024}, 32, 512
"""Of the pictures that are offered first, in pixels."""
KINDS: dict[Kind, str] = {"control": "ControlNet", "adapter": "T2I-Adapter"}


@dataclass(frozen=True)
class Offered:
    """A type of spatial condition that the base has."""

    kind: Kind
    name: str

    @property
    def label(self) -> str:
        """As people read it."""
        return f"{self.name.capitalize()} ({KINDS[self.kind]})"


@dataclass(frozen=True)
class Tray:
    """Some concepts of the release that is drawn with."""

    words: str
    names: tuple[str, ...]
    found: int
    """How many have the words in their name."""

    @classmethod
    def of(cls, release: Release | None, words: str) -> "Tray":
        """Those whose names have `words` in them, in order."""
        sought = words[:MOST_LETTERS].strip().lower().strip("<>")
        names = sorted(name for name in (release.concepts if release else ()) if sought in name)
        return cls(words, tuple(names[:CARDS]), len(names))


def studio_pages(
    gallery: Gallery,
    releases: Releases,
    showcase: Showcase,
    card: BaseCard,
    settings: ServerSettings,
) -> APIRouter:
    """The page, as the member that asks may use it."""
    routes, offered = APIRouter(include_in_schema=False), _offered(card)
    edge = TOYWORLD_EDGE if card.name == TOYWORLD else EDGES.get(card.family, OTHER_EDGE)
    fixed = {
        "edge": edge,
        "offered": offered,
        "limits": settings,
        "most_regions": MOST_REGIONS,
        "most_conditions": MOST_CONDITIONS,
        "overlaps": get_args(Overlap),
        "draws": bool(settings.drawings_at_once),
    }

    def look(node: Node, wanted: str) -> tuple[list[Release], Release | None]:
        shelf = releases.seen_by(node)
        if not wanted:
            return shelf.all(), shelf.latest()
        try:
            return shelf.all(), shelf.get(wanted)
        except NotFound:  # one that is gone since somebody kept the address
            return shelf.all(), shelf.latest()

    @routes.get(STUDIO)
    async def studio(request: Request) -> Response:
        asked = request.query_params
        node, wanted = visitor(request), asked.get("release", "")[:64]
        found, chosen = await asyncio.to_thread(look, node, wanted)
        chosen = chosen or next(iter(found), None)
        tray = Tray.of(chosen, asked.get("find", ""))
        looks = await asyncio.to_thread(_looks, showcase, node, tray.names)
        about = {"releases": found, "chosen": chosen, "tray": tray, "looks": looks}
        return gallery.show(request, "gallery/studio.html", **fixed, **about)

    return routes


def _offered(card: BaseCard) -> tuple[Offered, ...]:
    return tuple(
        Offered(kind, name) for kind in KINDS for name in types(card.name, card.family, kind)
    )


def _looks(showcase: Showcase, node: Node, names: Sequence[str]) -> dict[str, str]:
    """By name where a picture of a concept is, of those that have one: its last, at full strength."""
    cards = showcase.named(node, names).values()
    return {
        one.name: picture_path(one.name, one.pictures[-1].sha256) for one in cards if one.pictures
    }
