"""The public HTTPS door: joining, health, and Flower's fleet calls; nothing else of Flower's."""

import logging
import re
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager

import httpx
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import ValidationError
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException

from fedshow import rpc
from fedshow.errors import FedshowError, Forbidden, InvalidInput, NotFound, Unreachable
from fedshow.joining import JoinReply, JoinRequest, Refusal
from fedshow.wire import CA_PATH, JOIN_PATH
from fedshow_server.enrolment import Enrolment
from fedshow_server.superlink import SuperLink

log = logging.getLogger(__name__)

FLEET_PATH = re.compile(rb"/v1/fleet(?:/[A-Za-z0-9_-]+)+")
"""As sent, before any decoding: no dots, no escapes, so no way to another path."""

CONNECTION_HEADERS = frozenset(
    {
        *("connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te"),
        *("trailer", "transfer-encoding", "upgrade", "host"),
    }
)
"""Belong to one connection and are not passed on (RFC 9110, section 7.6.1)."""

MAX_JOIN_BYTES = 16 << 10
STATUS: dict[type[FedshowError], int] = {
    InvalidInput: 400,
    Forbidden: 403,
    NotFound: 404,
    Unreachable: 503,
}


def make_edge(
    superlink: SuperLink, enrolment: Enrolment, ca_pem: bytes, is_serving: Callable[[], bool]
) -> FastAPI:
    """The application behind the public port."""
    upstream = httpx.AsyncClient(
        verify=superlink.trust(),
        timeout=httpx.Timeout(120, connect=5),
        limits=httpx.Limits(max_connections=None, max_keepalive_connections=100),
        trust_env=False,
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await upstream.aclose()

    app = FastAPI(
        title="fedshow", openapi_url="/api/openapi.json", docs_url=None, redoc_url=None,
        lifespan=lifespan, redirect_slashes=False,
    )  # fmt: skip
    app.add_exception_handler(FedshowError, _refuse)
    app.add_exception_handler(HTTPException, _refuse_http)

    @app.get("/healthz")
    async def healthz() -> JSONResponse:
        """200 while this server does its work."""
        serving = is_serving()
        return JSONResponse({"serving": serving}, 200 if serving else 503)

    @app.get(CA_PATH)
    async def authority() -> Response:
        """The certificate authority; compare its fingerprint with the join code."""
        return Response(ca_pem, media_type="application/x-pem-file")

    @app.post(JOIN_PATH)
    async def join(request: Request) -> JoinReply:
        """Redeems a join code."""
        return await enrolment.join(await _join_request(request))

    @app.post("/v1/fleet/{call:path}", include_in_schema=False)
    async def fleet(request: Request) -> Response:
        """What SuperNodes call; the SuperLink checks their signatures."""
        if not FLEET_PATH.fullmatch(request.scope["raw_path"]):
            raise NotFound("no such call")
        return await _forward(upstream, superlink, request)

    return app


async def _forward(client: httpx.AsyncClient, superlink: SuperLink, request: Request) -> Response:
    passed = client.build_request(
        "POST",
        f"https://{superlink.address}{request.url.path}",
        headers=_kept(request.headers.items()),
        content=request.stream(),
    )
    try:
        answer = await client.send(passed, stream=True)
    except httpx.HTTPError as error:
        raise Unreachable(f"the SuperLink does not answer: {type(error).__name__}") from None
    return StreamingResponse(
        answer.aiter_raw(),
        answer.status_code,
        dict(_kept(answer.headers.items())),
        background=BackgroundTask(answer.aclose),
    )


def _kept(headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(name, value) for name, value in headers if name.lower() not in CONNECTION_HEADERS]


async def _join_request(request: Request) -> JoinRequest:
    body = b""
    async for block in request.stream():
        body += block
        if len(body) > MAX_JOIN_BYTES:
            raise InvalidInput(f"more than {MAX_JOIN_BYTES} bytes")
    try:
        return JoinRequest.model_validate_json(body)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "body"
        raise InvalidInput(f"{where}: {first['msg']}") from None


async def _refuse(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, FedshowError)
    kinds = (STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)
    refusal = Refusal(reason=rpc.reason_of(error), message=str(error))
    return JSONResponse(refusal.model_dump(), next(kinds, 500))


async def _refuse_http(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    kind = next((kind for kind, code in STATUS.items() if code == error.status_code), FedshowError)
    refusal = Refusal(reason=rpc.reason_of(kind()), message=str(error.detail))
    return JSONResponse(refusal.model_dump(), error.status_code)
