"""The page of all HTTP routes, from the OpenAPI document that a server answers with."""

import warnings
from collections.abc import Iterator
from typing import Any
from unittest.mock import MagicMock

from fedshow.families.card import BaseCard
from fedshow_server.settings import ServerSettings
from fedshow_server.web.concepts import concept_routes
from fedshow_server.web.doors import POLICIES
from fedshow_server.web.drawings import drawing_routes
from fedshow_server.web.edge import make_edge
from fedshow_server.web.releases import release_routes
from fedshow_server.web.watching import health_routes

HEAD = """# HTTP

On the port that the server listens on, with TLS of its own authority. A server tells this in more
detail at `/api/openapi.json`. Nodes show their token (`Authorization: Bearer …`). Refusals are JSON
with `reason` and `message`. [Delivery](../delivery.md#https) tells of ranges, ETags and `latest`;
the [gallery's](../gallery.md) pages lie on the same port.

[Numbers](../operations.md#what-it-says-of-itself) for Prometheus are at `/metrics`, the hub's
protocol below `/api/models` ([delivery](../delivery.md#the-hubs-protocol)).

Beside each call stands who may make it; a *member* is every node that joined, whatever its role.
"""
NOBODY = MagicMock()
"""Stands for all that routes would ask: they are listed here, never called."""
OPEN: Any = lambda: None  # noqa: E731
"""A door that asks nothing, so that it is not among what a route asks for."""


def document() -> dict[str, Any]:
    """The OpenAPI document of every server."""
    card = BaseCard(name="any", sha256="0" * 64, family="sd1", slots=1, token_dim=1, layers={})
    routers = (
        release_routes(NOBODY, NOBODY, NOBODY),
        concept_routes(NOBODY, card),
        drawing_routes(NOBODY, card, ServerSettings(), NOBODY, NOBODY),
        health_routes(NOBODY),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # GET and HEAD of a file have one description
        return make_edge(NOBODY, NOBODY, b"", OPEN, routers, NOBODY).openapi()


def page() -> str:
    """The page in Markdown."""
    found = document()
    return "\n".join([HEAD, *_routes(found["paths"]), *_schemas(found["components"]["schemas"])])


def _routes(paths: dict[str, Any]) -> Iterator[str]:
    for path, methods in sorted(paths.items()):
        yield f"## {path}\n\n| | for | |\n|---|---|---|"
        for method, route in methods.items():
            yield f"| {method.upper()} | {_who(method, path)} | {_told(route)} |"
        asked = [each for route in methods.values() for each in route.get("parameters", ())]
        if asked:
            yield "\n| parameter | | |\n|---|---|---|"
        for name in dict.fromkeys(each["name"] for each in asked):
            one = next(each for each in asked if each["name"] == name)
            yield f"| `{name}` | {one['in']} | {_type(one['schema'])} |"
        yield ""


def _who(method: str, path: str) -> str:
    for route, policy in POLICIES.items():
        if route.replace(":path", "") == f"{method.upper()} {path}":
            return str(policy.name).lower()
    return ""


def _told(route: dict[str, Any]) -> str:
    answer: dict[str, Any] = route["responses"].get("200", route["responses"].get("202", {}))
    contents = answer.get("content") or {"": {}}
    schema = next(iter(contents.values())).get("schema", {})
    gives = f" Gives {_type(schema)}." if schema else ""
    return " ".join(route.get("description", "").split()) + gives


def _schemas(schemas: dict[str, Any]) -> Iterator[str]:
    yield "# Documents\n"
    for name, schema in sorted(schemas.items()):
        if not name.startswith(("HTTPValidation", "ValidationError")):
            yield f"## {name}\n\n{' '.join(schema.get('description', '').split())}\n"
            yield "| | | |\n|---|---|---|"
            for field, said in schema.get("properties", {}).items():
                yield f"| `{field}` | {_type(said)} | {_words(said)} |"
            yield ""


def _words(schema: dict[str, Any]) -> str:
    return " ".join(schema.get("description", "").split()).replace("|", "\\|")


def _type(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(map(_type, schema["anyOf"]))
    if "enum" in schema:
        return " or ".join(f"`{value}`" for value in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    return str(schema.get("type", "anything"))
