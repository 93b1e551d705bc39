"""The public HTTPS door: joining, releases, health, and Flower's fleet calls."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from math import ceil

from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from fedshow import rpc
from fedshow.documents import first_fault
from fedshow.errors import Exhausted, FedshowError, InvalidInput, Unreachable
from fedshow.joining import JoinReply, JoinRequest
from fedshow.web.statuses import STATUS, status_of
from fedshow.wire import CA_PATH, JOIN_PATH
from fedshow_server.flower.fleet import Fleet
from fedshow_server.flower.superlink import SuperLink
from fedshow_server.members.enrolment import Enrolment
from fedshow_server.web.bodies import read_body
from fedshow_server.web.doors import POLICIES, HttpDoors, routes_of
from fedshow_server.web.hub import NotOnHub
from fedshow_server.web.pages.places import is_page

MAX_JOIN_BYTES = 16 << 10
FLEET = "/v1/fleet/"
"""Flower's calls of nodes."""
Refuse = Callable[[Request, Exception], Response]
ShowRefusal = Callable[[Request, Exception, int], Response]
"""A page about an error, with this status."""


def make_edge(
    superlink: SuperLink,
    enrolment: Enrolment,
    ca_pem: bytes,
    doors: HttpDoors,
    routers: Iterable[APIRouter],
    show_refusal: ShowRefusal,
) -> FastAPI:
    """The application behind the public port; `doors` stand before every route, also of `routers`."""
    fleet = Fleet(superlink)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await fleet.close()

    app = FastAPI(
        title="fedshow", openapi_url="/api/openapi.json", docs_url=None, redoc_url=None,
        lifespan=lifespan, redirect_slashes=False, dependencies=[Depends(doors)],
    )  # fmt: skip
    app.add_exception_handler(FedshowError, _refusing(_refuse, show_refusal))
    app.add_exception_handler(HTTPException, _refusing(_refuse_http, show_refusal))
    app.add_exception_handler(RequestValidationError, _refusing(_refuse_question, show_refusal))
    app.include_router(_joining(enrolment, ca_pem))
    for router in routers:
        app.include_router(router)
    app.add_api_route(
        f"{FLEET}{{call:path}}", fleet.forward, methods=["POST"], include_in_schema=False
    )
    closed = routes_of(app) - POLICIES.keys()
    assert not closed, f"routes without a policy: {', '.join(sorted(closed))}"
    return app


def _joining(enrolment: Enrolment, ca_pem: bytes) -> APIRouter:
    routes = APIRouter()

    @routes.get(CA_PATH)
    async def authority() -> Response:
        """The certificate authority; compare its fingerprint with the join code."""
        return Response(ca_pem, media_type="application/x-pem-file")

    @routes.post(JOIN_PATH)
    async def join(request: Request) -> JoinReply:
        """Redeems a join code."""
        return await enrolment.join(await read_body(request, JoinRequest, MAX_JOIN_BYTES))

    return routes


def _refusing(
    refuse: Refuse, show: ShowRefusal
) -> Callable[[Request, Exception], Awaitable[Response]]:
    """Answers errors with what `refuse` makes of them, and people with pages."""

    async def answer(request: Request, error: Exception) -> Response:
        refusal = refuse(request, error)
        if not is_page(request.scope["path"]):
            return refusal
        page = show(request, error, refusal.status_code)
        page.headers.update(
            {k: refusal.headers[k] for k in ("retry-after",) if k in refusal.headers}
        )
        return page

    return answer


def _refuse(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, FedshowError)
    status = status_of(error)
    if isinstance(error, Exhausted) and request.scope["path"].startswith(FLEET):
        status = STATUS[Unreachable]  # a SuperNode tries again after this; 429 would end it
    refusal = rpc.Refusal(reason=rpc.reason_of(error), message=str(error))
    return JSONResponse(refusal.model_dump(), status, _headers(error))


def _headers(error: FedshowError) -> dict[str, str]:
    found = {"x-error-message": " ".join(str(error).encode("ascii", "replace").decode().split())}
    if isinstance(error, NotOnHub):
        found |= error.headers
    if isinstance(error, Exhausted):
        found["retry-after"] = str(ceil(error.retry_seconds))
    return found


def _refuse_http(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    kind = next((kind for kind, code in STATUS.items() if code == error.status_code), FedshowError)
    refusal = rpc.Refusal(reason=rpc.reason_of(kind()), message=str(error.detail))
    return JSONResponse(refusal.model_dump(), error.status_code)


def _refuse_question(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    fault = first_fault(error, within=1)
    return _refuse(request, InvalidInput(f"{fault.where} = {fault.given}: {fault.says}"))
