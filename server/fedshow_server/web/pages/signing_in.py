"""Signing in with a node's token, and out."""

import asyncio
from datetime import timedelta

from fastapi import APIRouter, Request, Response

from fedshow.errors import Forbidden
from fedshow.web.forgery import check_origin
from fedshow.web.forms import read_form
from fedshow_server.services.doors import Entrance
from fedshow_server.services.policies import Policy
from fedshow_server.store import Members, Sessions
from fedshow_server.web.pages.places import SIGN_IN, SIGN_OUT, page_or_home
from fedshow_server.web.pages.showing import Gallery, to
from fedshow_server.web.sessions import forget_session, keep_session, session_of

TEMPLATE = "gallery/sign-in.html"
LONGEST_TOKEN = 200


def sign_in_routes(
    gallery: Gallery, entrance: Entrance, members: Members, sessions: Sessions, hours: float
) -> APIRouter:
    """The way in and out; wrong tokens are counted as everywhere else."""
    routes, lifetime = APIRouter(include_in_schema=False), timedelta(hours=hours)

    def form(request: Request, wanted: str, fault: str = "", status: int = 200) -> Response:
        content = {"wanted": page_or_home(wanted), "fault": fault}
        return gallery.show(request, TEMPLATE, status, **content)

    async def begin(token: str) -> str:
        async with entrance.resumed(token, members.authenticate, Policy.MEMBER) as node:
            return await asyncio.to_thread(sessions.begin, node, token, lifetime)

    @routes.get(SIGN_IN)
    async def ask(request: Request) -> Response:
        return form(request, request.query_params.get("to", ""))

    @routes.post(SIGN_IN)
    async def sign_in(request: Request) -> Response:
        check_origin(request.headers)
        fields = await read_form(request)
        wanted = fields.get("to", "")
        try:
            session = await begin(fields.get("token", "").strip()[:LONGEST_TOKEN])
        except Forbidden as error:
            return form(request, wanted, str(error), 403)
        answer = to(page_or_home(wanted))
        keep_session(answer, session, int(lifetime.total_seconds()))
        return answer

    @routes.post(SIGN_OUT)
    async def sign_out(request: Request) -> Response:
        if session := session_of(request):
            await asyncio.to_thread(sessions.end, session)
        answer = to(SIGN_IN)
        forget_session(answer)
        return answer

    return routes
