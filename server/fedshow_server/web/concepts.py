"""`/api/concepts`: the concepts that a member may see, with pictures that this server drew of them."""

import asyncio
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from fedshow.errors import NotFound
from fedshow.families.card import BaseCard
from fedshow_server.samples.pictures import smaller
from fedshow_server.store.cards import Card, Identity, Search, Status
from fedshow_server.store.showcase import MOST_AT_ONCE, Showcase
from fedshow_server.web.caching import A_WHILE
from fedshow_server.web.doors import visitor
from fedshow_server.web.ranges import is_known

SAMPLE = "/api/concepts/{concept}/samples/{picture}"
SUFFIX, SMALL = ".webp", "-small"
DIGITS = 32
"""Of a picture's sha256, in its name."""


class ConceptSearch(BaseModel):
    """Which concepts are asked for."""

    model_config = ConfigDict(extra="forbid")

    q: str = Field(default="", max_length=100)
    """Words, each of which is part of the name, the class or the owner's name."""
    status: list[Status] = Field(default_factory=list, max_length=len(Status))
    class_word: str = Field(default="", max_length=31)
    owner: str = Field(default="", max_length=63)
    limit: int = Field(default=50, ge=1, le=MOST_AT_ONCE)
    offset: int = Field(default=0, ge=0, le=10**6)

    def search(self) -> Search:
        """The same for the store."""
        return Search(self.q, self.status, self.class_word, self.owner, self.limit, self.offset)


class SampleInfo(BaseModel):
    """One picture drawn by this server from the concept's file and the base alone."""

    prompt: str
    scale: float
    """Strength of the adapter: 0 shows what the words alone know."""
    seed: int
    steps: int
    width: int
    height: int
    url: str


class IdentityInfo(BaseModel):
    """How much a concept is itself: mean likeness to what it draws by itself from other noise.

    It tells what fusing costs; the server has no private pictures to compare with.
    """

    scorer: str
    before: float
    """Of its own pictures at full scale."""
    after: float | None
    """Of a release's, from the same prompts and seeds."""
    kept: float | None
    """`after` divided by `before`."""
    release: str | None
    """The newest measured one that the asker may have."""

    @classmethod
    def of(cls, identity: Identity) -> "IdentityInfo":
        """The identity in the words of this interface."""
        return cls(kept=identity.kept, **vars(identity))


class ConceptInfo(BaseModel):
    """One concept."""

    name: str
    class_word: str
    owner: str
    mine: bool
    """Whether the asker brought it."""
    status: Status
    reason: str
    """Why it is quarantined or refused."""
    base: str
    family: str
    rank: int | None
    size_bytes: int
    sha256: str
    created: datetime
    visible_to: tuple[str, ...] | None
    """Told to its node and to owners: who may have it beside its node; null: everybody."""
    samples: list[SampleInfo]
    identity: IdentityInfo | None
    """null: not measured."""

    @classmethod
    def of(cls, card: Card, base: BaseCard) -> "ConceptInfo":
        """The concept in the words of this interface."""
        told = {name: getattr(card, name) for name in cls.model_fields if hasattr(card, name)}
        samples = [
            SampleInfo(url=picture_path(card.name, one.sha256), **vars(one))
            for one in card.pictures
        ]
        identity = IdentityInfo.of(card.identity) if card.identity else None
        about_base = {"base": base.name, "family": base.family}
        return cls(**{**told, **about_base, "samples": samples, "identity": identity})


class ConceptPage(BaseModel):
    """Some of the concepts that were asked for, newest first."""

    total: int
    """How many there are on all pages."""
    concepts: list[ConceptInfo]


def picture_path(concept: str, sha256: str) -> str:
    """Where a sample with this digest is."""
    return SAMPLE.format(concept=concept, picture=f"{sha256[:DIGITS]}{SUFFIX}")


def small_picture_path(concept: str, sha256: str) -> str:
    """Where the same is for lists."""
    return SAMPLE.format(concept=concept, picture=f"{sha256[:DIGITS]}{SMALL}{SUFFIX}")


def concept_routes(showcase: Showcase, base: BaseCard) -> APIRouter:
    """What the asker may see: its own concepts in every state, of others those that it may have."""
    routes = APIRouter()

    @routes.get("/api/concepts")
    async def list_concepts(
        request: Request, asked: Annotated[ConceptSearch, Query()]
    ) -> ConceptPage:
        """Concepts, newest first."""
        page = await asyncio.to_thread(showcase.page, visitor(request), asked.search())
        concepts = [ConceptInfo.of(card, base) for card in page.cards]
        return ConceptPage(total=page.total, concepts=concepts)

    @routes.get("/api/concepts/{concept}")
    async def describe_concept(request: Request, concept: str) -> ConceptInfo:
        """The concept of this name: the one that is live, or else the last."""
        card = await asyncio.to_thread(showcase.one, visitor(request), concept)
        return ConceptInfo.of(card, base)

    @routes.get(SAMPLE, response_class=Response)
    async def sample(request: Request, concept: str, picture: str) -> Response:
        """One picture, as WebP; its ETag is its sha256. With `-small` in its name, one for lists."""
        if not picture.endswith(SUFFIX):
            raise NotFound(f"{picture[:80]!r} is no {SUFFIX} file")
        name = picture.removesuffix(SUFFIX)
        prefix, small = name.removesuffix(SMALL), SMALL if name.endswith(SMALL) else ""
        found = await asyncio.to_thread(showcase.picture, visitor(request), concept, prefix)
        sha256, content = found
        etag = f'"{sha256}{small}"'
        headers = {"etag": etag, "cache-control": A_WHILE}
        if is_known(request.headers, etag):
            return Response(status_code=304, headers=headers)
        shown = await asyncio.to_thread(smaller, content) if small else content
        return Response(shown, media_type="image/webp", headers=headers)

    return routes
