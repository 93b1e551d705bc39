"""Browsers' sessions over HTTP: the cookie that holds one, and what else a request has to show."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import Request, Response

from fedshow.web.forgery import FIELD, HARMLESS, HEADER, check_origin, check_proof
from fedshow.web.forms import read_form
from fedshow_server.services.doors import Entrance
from fedshow_server.services.policies import Policy
from fedshow_server.store import Node, Sessions

COOKIE = "__Host-fedshow-session"
"""The prefix holds browsers to this host, to https and to the path /."""


class SignedIn:
    """Lets requests of browsers in by their session."""

    def __init__(self, entrance: Entrance, sessions: Sessions) -> None:
        self._entrance = entrance
        self._sessions = sessions

    @asynccontextmanager
    async def entered(
        self, request: Request, session: str, policy: Policy | None
    ) -> AsyncIterator[Node]:
        """Inside, the session's node is served. Raises Forbidden, Exhausted.

        What changes something must come from our own pages and show that it knows one.
        """
        async with self._entrance.resumed(session, self._sessions.find, policy) as node:
            if request.method not in HARMLESS:
                check_origin(request.headers)
                shown = request.headers.get(HEADER) or (await read_form(request)).get(FIELD)
                check_proof(session, shown)
            request.state.session = session
            yield node


def session_of(request: Request) -> str | None:
    """What the request's cookie says."""
    return request.cookies.get(COOKIE)


def keep_session(answer: Response, session: str, seconds: int) -> None:
    """The browser shows the session from now on, to nobody but us, and not to scripts."""
    answer.set_cookie(
        COOKIE, session, max_age=seconds, path="/", secure=True, httponly=True, samesite="strict"
    )


def forget_session(answer: Response) -> None:
    """The browser shows none any more."""
    answer.delete_cookie(COOKIE, path="/", secure=True, httponly=True, samesite="strict")
