"""Who may ask what over HTTP: every route has an entry, or nobody may ask it."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager

from fastapi import FastAPI, Request
from fastapi.routing import iter_route_contexts

from fedshow.errors import Forbidden
from fedshow.wire import CA_PATH, HEALTH_PATH, JOIN_PATH
from fedshow_server.members.node_keys import FLOWERS_HEADER
from fedshow_server.services.doors import Entrance, NotKnown, token_in
from fedshow_server.services.policies import Policy
from fedshow_server.store import Node
from fedshow_server.web.pages import places
from fedshow_server.web.sessions import SignedIn, session_of

REPO = "/api/models/{namespace}/{repo}"
RESOLVE = "/{namespace}/{repo}/resolve/{revision}/{path:path}"

POLICIES: dict[str, Policy] = {
    f"GET {HEALTH_PATH}": Policy.ANYBODY,
    "GET /metrics": Policy.ANYBODY,  # this machine, or a token of its own: looked at inside
    "GET /api/openapi.json": Policy.ANYBODY,
    "HEAD /api/openapi.json": Policy.ANYBODY,
    f"GET {CA_PATH}": Policy.ANYBODY,
    f"POST {JOIN_PATH}": Policy.ANYBODY,  # the join code's secret is asked for inside
    "POST /v1/fleet/{call:path}": Policy.KEYHOLDER,  # Flower checks the signature of every call
    "GET /api/latest": Policy.MEMBER,
    "GET /api/releases": Policy.MEMBER,
    "GET /api/releases/{release}": Policy.MEMBER,
    "GET /releases/{release}/{path:path}": Policy.MEMBER,
    "HEAD /releases/{release}/{path:path}": Policy.MEMBER,
    "GET /api/concepts": Policy.MEMBER,
    "GET /api/concepts/{concept}": Policy.MEMBER,
    "GET /api/concepts/{concept}/samples/{picture}": Policy.MEMBER,
    "POST /api/drawings": Policy.MEMBER,
    "GET /api/drawings": Policy.MEMBER,
    "GET /api/drawings/{drawing}": Policy.MEMBER,
    "DELETE /api/drawings/{drawing}": Policy.MEMBER,
    "GET /api/drawings/{drawing}/pictures/{number}": Policy.MEMBER,
    f"GET {places.HOME}": Policy.MEMBER,
    f"GET {places.CONCEPTS}/{{name}}": Policy.MEMBER,
    f"POST {places.CONCEPTS}/{{name}}/approve": Policy.OWNER,
    f"POST {places.CONCEPTS}/{{name}}/reject": Policy.OWNER,
    f"POST {places.CONCEPTS}/{{name}}/withdraw": Policy.CONTRIBUTOR,
    f"GET {places.RELEASES}": Policy.MEMBER,
    f"GET {places.RELEASES}/{{release}}": Policy.MEMBER,
    f"GET {places.RELEASES}/{{release}}/{{archive}}": Policy.MEMBER,
    f"GET {places.LIVE}": Policy.MEMBER,
    f"GET {places.EVENTS}": Policy.MEMBER,
    f"GET {places.STUDIO}": Policy.MEMBER,
    f"GET {places.SIGN_IN}": Policy.ANYBODY,
    f"POST {places.SIGN_IN}": Policy.ANYBODY,  # the token is asked for inside
    f"POST {places.SIGN_OUT}": Policy.MEMBER,
    f"GET {places.STATIC}/{{version}}/{{name}}": Policy.ANYBODY,
    f"GET {REPO}": Policy.MEMBER,
    f"GET {REPO}/revision/{{revision}}": Policy.MEMBER,
    f"GET {REPO}/tree/{{revision}}": Policy.MEMBER,
    f"GET {RESOLVE}": Policy.MEMBER,
    f"HEAD {RESOLVE}": Policy.MEMBER,
}
"""Method and route to policy; the last five are the hub's."""


class HttpDoors:
    """A dependency of every route: lets a request in, or raises Forbidden."""

    def __init__(self, entrance: Entrance, signed_in: SignedIn) -> None:
        self._entrance = entrance
        self._signed_in = signed_in

    async def __call__(self, request: Request) -> AsyncIterator[None]:
        """The request goes on, to the last byte of its answer; `visitor` tells who asks."""
        policy = POLICIES.get(f"{request.method} {request.scope['route'].path}")
        if policy is Policy.KEYHOLDER:
            async with self._entrance.passing(request.headers.get(FLOWERS_HEADER)):
                yield
            return
        if policy is Policy.ANYBODY:
            yield
            return
        async with self._entered(request, policy) as node:
            request.state.visitor = node
            yield

    def _entered(
        self, request: Request, policy: Policy | None
    ) -> AbstractAsyncContextManager[Node]:
        """By the token that the request shows, or else by its session."""
        session = session_of(request)
        if "authorization" not in request.headers:
            if session is not None:
                return self._signed_in.entered(request, session, policy)
            if places.is_page(request.scope["path"]):  # somebody who looks in, not one who guesses
                raise NotKnown("sign in first")
        return self._entrance.entered(token_in(request.headers.items()), policy)


def routes_of(app: FastAPI) -> set[str]:
    """Every method and route that the application answers, as POLICIES names them."""
    found = iter_route_contexts(app.routes)
    return {f"{method} {route.path}" for route in found for method in route.methods or ()}


def visitor(request: Request) -> Node:
    """The node that asks; only behind a door that asks for one."""
    node = getattr(request.state, "visitor", None)
    if not isinstance(node, Node):
        raise Forbidden("this route is open to nobody")
    return node
