"""Flower's fleet calls, passed on to the SuperLink; nothing else of Flower's can be reached."""

import re
from collections.abc import Iterable

import httpx
from fastapi import Request, Response
from fastapi.responses import StreamingResponse
from starlette.background import BackgroundTask
from starlette.requests import ClientDisconnect

from fedshow.errors import NotFound, Unreachable
from fedshow_server.flower.superlink import SuperLink

PATH = re.compile(rb"/v1/fleet(?:/[A-Za-z0-9_-]+)+")
"""As sent, before any decoding: no dots, no escapes, so no way to another path."""

CONNECTION_HEADERS = frozenset(
    {
        *("connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te"),
        *("trailer", "transfer-encoding", "upgrade", "host"),
    }
)
"""Belong to one connection and are not passed on (RFC 9110, section 7.6.1)."""


GONE = 499
"""For our log alone: nobody is there any more to read an answer."""


class Fleet:
    """What SuperNodes call; the SuperLink checks their signatures."""

    def __init__(self, superlink: SuperLink) -> None:
        self._superlink = superlink
        self._client = httpx.AsyncClient(
            verify=superlink.trust(),
            timeout=httpx.Timeout(120, connect=5),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=100),
            trust_env=False,
        )

    async def forward(self, request: Request) -> Response:
        """The SuperLink's answer, streamed both ways. Raises NotFound, Unreachable."""
        if not PATH.fullmatch(request.scope["raw_path"]):
            raise NotFound("no such call")
        passed = self._client.build_request(
            "POST",
            f"https://{self._superlink.address}{request.url.path}",
            headers=_kept(request.headers.items()),
            content=request.stream(),
        )
        try:
            answer = await self._client.send(passed, stream=True)
        except httpx.HTTPError as error:
            raise Unreachable(f"the SuperLink does not answer: {type(error).__name__}") from None
        except ClientDisconnect:  # a SuperNode waits 5 s for the answer to a sign of life
            return Response(status_code=GONE)
        return StreamingResponse(
            answer.aiter_raw(),
            answer.status_code,
            dict(_kept(answer.headers.items())),
            background=BackgroundTask(answer.aclose),
        )

    async def close(self) -> None:
        """Gives the connections back."""
        await self._client.aclose()


def _kept(headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(name, value) for name, value in headers if name.lower() not in CONNECTION_HEADERS]
