"""Every route of the HTTPS port, as the server itself lists them.

`web.doors.POLICIES` is that list: a server with a route that is not in it does not start. What its
OpenAPI document says is held against it.
"""

import json
import re
from collections.abc import Mapping

from benchmarks.federating.knocking.cast import FILE, Cast, Headers, bearer, new_key_line
from benchmarks.federating.knocking.line import Answer, Line
from benchmarks.federating.knocking.spellings import PLAIN, VERBS, spellings
from benchmarks.federating.knocking.tally import Tally
from fedshow.joining import JoinRequest
from fedshow.roles import Role
from fedshow.wire import CA_PATH, JOIN_PATH
from fedshow_server.web.doors import POLICIES
from fedshow_server.web.pages.places import SIGN_IN, STATIC
from tests.stage.answers import BEHIND_THE_DOOR

METRICS_TOKEN = "tell-me-numbers"  # noqa: S105  # of a server that lives for minutes
REFUSED, SEE_OTHER = (401, 403), 303
NOT_THERE = (*REFUSED, 404, 405)
PARAMETER = re.compile(r"\{(\w+)(?::path)?\}")
OPENAPI = "/api/openapi.json"
JOIN, METRICS, FLEET = f"POST {JOIN_PATH}", "GET /metrics", "POST /v1/fleet/{call:path}"
OPEN_TO_ALL = {"GET /healthz", f"GET {CA_PATH}", f"GET {OPENAPI}", f"HEAD {OPENAPI}"}
OPEN_TO_ALL |= {f"GET {SIGN_IN}", f"GET {STATIC}/{{version}}/{{name}}"}
OTHER_PAPERS = (JOIN, FLEET, f"POST {SIGN_IN}")
"""What asks for something else than a token in a header."""
UPGRADE: Headers = (
    *(("upgrade", "websocket"), ("connection", "Upgrade"), ("sec-websocket-version", "13")),
    ("sec-websocket-key", "x3JJHMbDL1EzLkh9GBhXDw=="),
)


def knock(cast: Cast, tally: Tally) -> None:
    """Asks for everything as everybody."""
    with Line(cast.server) as line:
        for route in _listed(line, tally):
            if route in OPEN_TO_ALL:
                _knock_open(line, route, tally, cast)
            elif route == METRICS:
                guests = {"who reads metrics": bearer(METRICS_TOKEN)}
                _knock_guarded(line, route, cast.outsiders(frozenset()), guests, tally, cast)
            elif route not in OTHER_PAPERS:
                admits = frozenset(filter(POLICIES[route].admits, Role))
                _knock_guarded(
                    line, route, cast.outsiders(admits), cast.insiders(admits), tally, cast
                )
        _knock_to_join(line, cast, tally)


def _listed(line: Line, tally: Tally) -> list[str]:
    """Every method and route; what the OpenAPI document has beyond them is unknown."""
    document = json.loads(line.send("GET", OPENAPI).body)
    told = {f"{verb.upper()} {path}" for path, verbs in document["paths"].items() for verb in verbs}
    for route in told - {route.replace(":path", "") for route in POLICIES}:
        tally.unknown(route)
    return list(POLICIES)


def filled(route: str, values: Mapping[str, str]) -> tuple[str, str] | None:
    """Method and target of a route; None when nobody knows what one of its parameters is."""
    verb, _, pattern = route.partition(" ")
    if any(name not in values for name in PARAMETER.findall(pattern)):
        return None
    return verb, PARAMETER.sub(lambda match: values[match[1]], pattern)


def _knock_open(line: Line, route: str, tally: Tally, cast: Cast) -> None:
    """A door for everybody opens to those verbs alone that the table names."""
    if (target := filled(route, values_for(cast) | {"name": "look.css"})) is None:
        return tally.unknown(route)
    (verb, path), pattern = target, route.partition(" ")[2]
    answer = line.send(verb, path)
    tally.guest(f"nobody at {route}", answer, admitted=answer.status == 200)
    for other in VERBS:
        if f"{other} {pattern}" not in POLICIES:
            answer = line.send(other, path)
            tally.stranger(f"nobody at {other} {path}", answer, refused=_is_not_there(answer))
    return None


def _knock_guarded(
    line: Line,
    route: str,
    outsiders: Mapping[str, Headers],
    guests: Mapping[str, Headers],
    tally: Tally,
    cast: Cast,
) -> None:
    if (target := filled(route, values_for(cast))) is None:
        return tally.unknown(route)
    verb, path = target
    for who, headers in outsiders.items():
        answer = line.send(verb, path, headers)
        tally.stranger(f"{who} at {route}", answer, refused=_is_refused(answer))
        answer = line.send(verb, path, (*headers, *UPGRADE))
        tally.stranger(f"{who} upgrading {route}", answer, refused=_is_not_there(answer))
        for name, spelled in spellings(path).items():
            if name != PLAIN:
                answer = line.send(verb, spelled, headers)
                tally.stranger(f"{who} at {verb} {spelled}", answer, refused=_is_not_there(answer))
        for other in VERBS:
            if other != verb:
                answer = line.send(other, path, headers)
                tally.stranger(f"{who} at {other} {path}", answer, refused=_is_not_there(answer))
    for who, headers in guests.items():
        answer = line.send(verb, path, headers)
        tally.guest(f"{who} at {route}", answer, admitted=answered(route, answer))
    return None


def answered(route: str, answer: Answer) -> bool:
    """Whether this is what members hear there who ask for nothing that exists."""
    return answer.status == BEHIND_THE_DOOR.get(route, 200)


def values_for(cast: Cast) -> dict[str, str]:
    """For every parameter of any route something that exists, but for concepts and drawings."""
    return {
        "release": cast.release.release,
        "path": FILE,
        "namespace": "fedshow",
        "repo": cast.release.release,
        "archive": f"fedshow-{cast.release.release}.tar",
        "revision": "main",
        "concept": "potter",
        "picture": f"{'0' * 32}.webp",
        "drawing": "0" * 16,
        "number": "1",
        "name": "nobody",
        "version": "0",
    }


def _knock_to_join(line: Line, cast: Cast, tally: Tally) -> None:
    """Codes that are no good, with every spelling and verb; and one that is."""
    bodies = {name: request.model_dump_json() for name, request in cast.spent.items()}
    bodies |= {"nothing": "", "a list": "[]", "no secret": "{}", "no text": "\udcff"}
    for who, body in bodies.items():
        content = body.encode("utf-8", "surrogateescape")
        answer = line.send("POST", JOIN_PATH, body=content)
        tally.stranger(f"{who} at {JOIN}", answer, refused=answer.status in (*REFUSED, 400))
        for spelled in spellings(JOIN_PATH).values():
            answer = line.send("POST", spelled, body=content)
            refused = _is_not_there(answer) or answer.status == 400
            tally.stranger(f"{who} at POST {spelled}", answer, refused=refused)
        for verb in VERBS:
            if verb != "POST":
                answer = line.send(verb, JOIN_PATH, body=content)
                tally.stranger(
                    f"{who} at {verb} {JOIN_PATH}", answer, refused=_is_not_there(answer)
                )
    code = cast.server.invite("newcomer", Role.DOWNLOADER)
    request = JoinRequest(secret=code.secret, public_key=new_key_line())
    answer = line.send("POST", JOIN_PATH, body=request.model_dump_json().encode())
    tally.guest(f"a good code at {JOIN}", answer, admitted=answer.status == 200)


def _is_refused(answer: Answer) -> bool:
    """Refused, or sent from a page to the way in."""
    to_sign_in = answer.status == SEE_OTHER and answer.location.startswith(SIGN_IN)
    return answer.status in REFUSED or (to_sign_in and not answer.body)


def _is_not_there(answer: Answer) -> bool:
    """Refused, no route at all, or no request at all, which only the HTTP library may say."""
    return (
        _is_refused(answer)
        or answer.status in NOT_THERE
        or (answer.status in (0, 400) and not answer.ours)
    )
