"""The application: all routes of the page, and what stands before them."""

from collections.abc import Awaitable, Callable

from fastapi import Depends, FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from fedshow.errors import FedshowError
from fedshow.web.assets import asset_routes
from fedshow.web.headers import SafeHeaders
from fedshow.web.statuses import status_of
from fedshow_client.home import Home
from fedshow_client.page.concept import concept_pages
from fedshow_client.page.door import Door, LoopbackOnly
from fedshow_client.page.entering import Entering
from fedshow_client.page.folders import folder_pages
from fedshow_client.page.overview import overview_pages
from fedshow_client.page.showing import Pages
from fedshow_client.page.signing_in import sign_in_routes, sign_out_routes
from fedshow_client.page.steering import steering_routes
from fedshow_client.queue import Queue


def make_app(home: Home, queue: Queue, entering: Entering, port: int) -> ASGIApp:
    """What the daemon serves at 127.0.0.1:`port`."""
    pages = Pages(entering.room)
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    app.include_router(asset_routes(pages.assets))
    app.include_router(sign_in_routes(pages, entering))
    for behind_the_door in (
        sign_out_routes(pages, entering),
        overview_pages(pages, home, queue),
        folder_pages(pages, home, queue),
        concept_pages(pages, home, queue),
        steering_routes(pages, home, queue),
    ):
        app.include_router(behind_the_door, dependencies=[Depends(Door(entering.sessions))])
    app.add_exception_handler(FedshowError, _refusing(pages))
    app.add_exception_handler(HTTPException, _refusing(pages))
    return SafeHeaders(LoopbackOnly(app, port, pages.room))


def _refusing(pages: Pages) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def answer(request: Request, error: Exception) -> Response:
        if isinstance(error, HTTPException):
            return pages.refuse(request, error, error.status_code)
        assert isinstance(error, FedshowError)
        return pages.refuse(request, error, status_of(error))

    return answer
