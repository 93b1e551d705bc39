"""`/`, the concepts as cards, and a page for each with what may be done about it."""

import asyncio
from dataclasses import dataclass
from math import ceil
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response

from fedshow.concepts import check_name
from fedshow.roles import Role
from fedshow.web.forms import read_form
from fedshow.web.rendering import pages_around
from fedshow_server.store import Concepts, Node, Showcase
from fedshow_server.store.cards import CURRENT, Card, Choices, Page, Search, Status
from fedshow_server.web.doors import visitor
from fedshow_server.web.pages.places import CONCEPTS, HOME
from fedshow_server.web.pages.showing import Gallery, to

CARDS = 60
"""Of one page."""
MOST_LETTERS, MOST_DIGITS = 100, 6
SHOWN = {"": CURRENT, **{str(status): (status,) for status in Status}, "all": ()}
"""What the filter offers, and the statuses that it means; first what nobody took back or refused."""


@dataclass(frozen=True)
class Question:
    """What the address of the list asks for."""

    words: str
    shown: str
    class_word: str
    page: int

    @classmethod
    def of(cls, request: Request) -> "Question":
        """Anything that makes no sense is as if it had not been asked."""
        asked = request.query_params
        shown, page = asked.get("show", ""), asked.get("page", "")[:MOST_DIGITS]
        return cls(
            words=asked.get("q", "")[:MOST_LETTERS].strip(),
            shown=shown if shown in SHOWN else "",
            class_word=asked.get("class", "")[:MOST_LETTERS],
            page=max(1, int(page)) if page.isascii() and page.isdigit() else 1,
        )

    @property
    def search(self) -> Search:
        """The same in the store's words."""
        statuses, start = SHOWN[self.shown], (self.page - 1) * CARDS
        return Search(self.words, statuses, self.class_word, limit=CARDS, offset=start)

    @property
    def is_narrow(self) -> bool:
        """Whether there may be concepts that it leaves out."""
        return bool(self.words or self.shown or self.class_word or self.page > 1)

    def url(self, page: int) -> str:
        """The address of another page of the same."""
        asked = {"q": self.words, "show": self.shown, "class": self.class_word}
        asked["page"] = str(page) if page > 1 else ""
        query = urlencode({name: value for name, value in asked.items() if value})
        return f"{HOME}?{query}" if query else HOME


def concept_pages(gallery: Gallery, showcase: Showcase, concepts: Concepts) -> APIRouter:
    """What a member may see of the concepts, and what an owner decides about them."""
    routes = APIRouter(include_in_schema=False)

    def look(node: Node, question: Question) -> tuple[Page, Choices]:
        return showcase.page(node, question.search), showcase.choices(node)

    @routes.get(HOME)
    async def home(request: Request) -> Response:
        question = Question.of(request)
        found, choices = await asyncio.to_thread(look, visitor(request), question)
        last = max(1, ceil(found.total / CARDS))
        around = pages_around(question.page, last)
        content = {"question": question, "found": found, "last": last, "around": around}
        return gallery.show(
            request, "gallery/concepts.html", shown=_shown(choices, question), **content
        )

    @routes.get(CONCEPTS + "/{name}")
    async def one(request: Request, name: str) -> Response:
        node = visitor(request)
        card = await asyncio.to_thread(showcase.one, node, check_name(name))
        allowed = {"decides": may_decide(node, card), "withdraws": may_withdraw(node, card)}
        return gallery.show(request, "gallery/concept.html", concept=card, **allowed)

    @routes.post(CONCEPTS + "/{name}/approve")
    async def approve(request: Request, name: str) -> Response:
        await asyncio.to_thread(concepts.approve, check_name(name), await looked_at(request))
        return to(f"{CONCEPTS}/{name}")

    @routes.post(CONCEPTS + "/{name}/reject")
    async def reject(request: Request, name: str) -> Response:
        await asyncio.to_thread(concepts.reject, check_name(name), await looked_at(request))
        return to(f"{CONCEPTS}/{name}")

    @routes.post(CONCEPTS + "/{name}/withdraw")
    async def withdraw(request: Request, name: str) -> Response:
        node = visitor(request)
        whose = None if node.role is Role.OWNER else node.id
        await asyncio.to_thread(concepts.withdraw, check_name(name), whose)
        return to(f"{CONCEPTS}/{name}")

    return routes


def _shown(choices: Choices, question: Question) -> dict[str, dict[str, str]]:
    """By field of the form what can be chosen there, with words: what there is, and what is asked for."""
    statuses = [*(status for status in Status if status in choices.statuses), question.shown]
    classes = [*choices.classes, question.class_word]
    numbers: dict[str, int] = {str(it): number for it, number in choices.statuses.items()}
    numbers |= choices.classes

    def words(value: str) -> str:
        return f"{value} ({numbers.get(value, 0)})"

    by_status = {"": "Current", **{it: words(it) for it in statuses if it}, "all": "All"}
    return {"show": by_status, "class": {"": "Any", **{it: words(it) for it in classes if it}}}


async def looked_at(request: Request) -> str:
    """Digest of the file that the page showed whoever decides; empty, which no file has, when it lacks."""
    return (await read_form(request)).get("sha256", "")


def may_decide(node: Node, card: Card) -> bool:
    """Whether the concept waits for this node's word."""
    return node.role is Role.OWNER and card.status is Status.QUARANTINED


def may_withdraw(node: Node, card: Card) -> bool:
    """Whether the node can take the concept out."""
    its = node.role is Role.OWNER or (node.role.contributes and card.mine)
    return its and card.status in CURRENT
