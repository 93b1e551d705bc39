"""Signing in with the code that `fedshow client page` printed, and out."""

from fastapi import APIRouter, Request, Response

from fedshow.web.forgery import check_origin
from fedshow.web.forms import read_form
from fedshow_client.page.door import COOKIE, forget_session, keep_session
from fedshow_client.page.entering import SESSION_SECONDS, SIGN_IN, Entering
from fedshow_client.page.showing import Pages

FORBIDDEN = 403


def sign_in_routes(pages: Pages, entering: Entering) -> APIRouter:
    """The way in: open to all, for the code is asked for inside."""
    routes = APIRouter(prefix=pages.room)

    @routes.get(SIGN_IN)
    async def ask(request: Request) -> Response:
        return pages.show(request, "sign-in.html", fault="")

    @routes.post(SIGN_IN)
    async def sign_in(request: Request) -> Response:
        check_origin(request.headers)
        code = (await read_form(request)).get("code", "").strip()
        if not entering.codes.take(code):
            fault = "this code was used already, or is too old: ask for another one"
            return pages.show(request, "sign-in.html", FORBIDDEN, fault=fault)
        answer = pages.to("")
        keep_session(answer, entering.sessions.make(), SESSION_SECONDS, pages.room)
        return answer

    return routes


def sign_out_routes(pages: Pages, entering: Entering) -> APIRouter:
    """The way out."""
    routes = APIRouter(prefix=pages.room)

    @routes.post("/sign-out")
    async def sign_out(request: Request) -> Response:
        entering.sessions.end(request.cookies[COOKIE])
        answer = pages.to(SIGN_IN)
        forget_session(answer, pages.room)
        return answer

    return routes
