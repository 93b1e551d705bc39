"""`/`, the concepts as cards, and a page for each with what may be done about it."""

import asyncio
from dataclasses import dataclass
from math import ceil
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response

from fedshow.concepts import check_name
from fedshow.roles import Role
from fedshow.web.rendering import pages_around
from fedshow_server.store import Browser, Concept, Concepts, Found, Node, Sought, State
from fedshow_server.store.concepts import LIVE
from fedshow_server.web.doors import visitor
from fedshow_server.web.pages.places import CONCEPTS, HOME
from fedshow_server.web.pages.showing import Gallery, to

CARDS = 60
"""Of one page."""
MOST_LETTERS, MOST_DIGITS = 100, 6

LABELS = {
    State.WANTED: "waiting",
    State.PENDING: "quarantined",
    State.ADMITTED: "admitted",
    State.REFUSED: "refused",
    State.REPLACED: "replaced",
    State.WITHDRAWN: "withdrawn",
}
"""States as people read them."""
STATES = {label: (state,) for state, label in LABELS.items()}
SHOWN = {"": LIVE, **STATES, "all": tuple(State)}
"""What the filter offers, and the states that it means; first what nobody took back or refused."""


@dataclass(frozen=True)
class Question:
    """What the address of the list asks for."""

    words: str
    shown: str
    page: int

    @classmethod
    def of(cls, request: Request) -> "Question":
        """Anything that makes no sense is as if it had not been asked."""
        asked = request.query_params
        shown, page = asked.get("show", ""), asked.get("page", "")[:MOST_DIGITS]
        return cls(
            words=asked.get("q", "")[:MOST_LETTERS].strip(),
            shown=shown if shown in SHOWN else "",
            page=max(1, int(page)) if page.isascii() and page.isdigit() else 1,
        )

    @property
    def sought(self) -> Sought:
        """The same in the store's words."""
        return Sought(self.words, SHOWN[self.shown])

    def url(self, page: int) -> str:
        """The address of another page of the same."""
        asked = {"q": self.words, "show": self.shown, "page": str(page) if page > 1 else ""}
        query = urlencode({name: value for name, value in asked.items() if value})
        return f"{HOME}?{query}" if query else HOME


def concept_pages(gallery: Gallery, browser: Browser, concepts: Concepts) -> APIRouter:
    """What a member may see of the concepts, and what an owner decides about them."""
    routes = APIRouter(include_in_schema=False)

    def look(node: Node, question: Question) -> tuple[Found, int]:
        found = browser.find(node, question.sought, (question.page - 1) * CARDS, CARDS)
        return found, max(1, ceil(found.number / CARDS))

    @routes.get(HOME)
    async def home(request: Request) -> Response:
        question = Question.of(request)
        found, last = await asyncio.to_thread(look, visitor(request), question)
        content = {"question": question, "found": found, "last": last, "shown": tuple(SHOWN)}
        around = pages_around(question.page, last)
        return gallery.show(
            request, "gallery/concepts.html", labels=LABELS, around=around, **content
        )

    @routes.get(CONCEPTS + "/{name}")
    async def one(request: Request, name: str) -> Response:
        node = visitor(request)
        concept = await asyncio.to_thread(browser.get, node, check_name(name))
        allowed = {"decides": may_decide(node, concept), "withdraws": may_withdraw(node, concept)}
        content = {"concept": concept, "labels": LABELS, **allowed}
        return gallery.show(request, "gallery/concept.html", **content)

    @routes.post(CONCEPTS + "/{name}/approve")
    async def approve(name: str) -> Response:
        await asyncio.to_thread(concepts.approve, check_name(name))
        return to(f"{CONCEPTS}/{name}")

    @routes.post(CONCEPTS + "/{name}/reject")
    async def reject(name: str) -> Response:
        await asyncio.to_thread(concepts.reject, check_name(name))
        return to(f"{CONCEPTS}/{name}")

    @routes.post(CONCEPTS + "/{name}/withdraw")
    async def withdraw(request: Request, name: str) -> Response:
        node = visitor(request)
        whose = None if node.role is Role.OWNER else node.id
        await asyncio.to_thread(concepts.withdraw, check_name(name), whose)
        return to(f"{CONCEPTS}/{name}")

    return routes


def may_decide(node: Node, concept: Concept) -> bool:
    """Whether the concept waits for this node's word."""
    return node.role is Role.OWNER and concept.state is State.PENDING


def may_withdraw(node: Node, concept: Concept) -> bool:
    """Whether the node can take the concept out."""
    its = node.role is Role.OWNER or (node.role.contributes and node.id == concept.node_id)
    return its and concept.state in LIVE
