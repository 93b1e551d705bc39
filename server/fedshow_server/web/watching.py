"""Health and numbers over HTTP, for whoever keeps this server running."""

import asyncio
from collections.abc import Callable
from hmac import compare_digest
from ipaddress import ip_address

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import SecretStr

from fedshow.errors import Forbidden
from fedshow.wire import HEALTH_PATH
from fedshow_server.services.doors import token_in
from fedshow_server.upkeep.health import Health

METRICS_PATH = "/metrics"


def health_routes(health: Health) -> APIRouter:
    """`/healthz`: 200 while every part does its work, else 503 and which does not."""
    routes = APIRouter()

    @routes.get(HEALTH_PATH)
    async def healthz() -> JSONResponse:
        """Whether this server does its work, part by part."""
        parts = {part: problem or "ok" for part, problem in health.problems.items()}
        return JSONResponse(
            {"serving": health.serving, "parts": parts}, 200 if health.serving else 503
        )

    return routes


def metrics_routes(text: Callable[[], bytes], token: SecretStr | None) -> APIRouter:
    """`/metrics`, for this machine, or for whoever has `token` once one is set."""
    routes = APIRouter()

    @routes.get(METRICS_PATH, include_in_schema=False)
    async def metrics(request: Request) -> Response:
        """Everything in Prometheus' text format."""
        _check_scraper(request, token)
        return Response(await asyncio.to_thread(text), media_type=CONTENT_TYPE_LATEST)

    return routes


def _check_scraper(request: Request, token: SecretStr | None) -> None:
    if token is None:
        if not (request.client and ip_address(request.client.host).is_loopback):
            raise Forbidden("metrics are told on this machine only, unless metrics_token is set")
        return
    shown = token_in(request.headers.items()) or ""
    if not compare_digest(shown.encode(), token.get_secret_value().encode()):
        raise Forbidden("metrics need the token that is set as metrics_token")
