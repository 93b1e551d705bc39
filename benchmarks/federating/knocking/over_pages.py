"""Pages from elsewhere that use a browser in which somebody is signed in, and guesses at the way in."""

from collections.abc import Mapping
from urllib.parse import urlencode

from benchmarks.federating.knocking.cast import Cast, Headers
from benchmarks.federating.knocking.line import Line
from benchmarks.federating.knocking.over_http import REFUSED, answered, filled, values_for
from benchmarks.federating.knocking.tally import Tally
from fedshow.roles import Role
from fedshow.web.forgery import HARMLESS, HEADER, proof_of
from fedshow_server.web.doors import POLICIES
from fedshow_server.web.pages.places import SIGN_IN
from fedshow_server.web.sessions import COOKIE
from tests.stage.gallery import session_for

FORM = ("content-type", "application/x-www-form-urlencoded")


def knock(cast: Cast, tally: Tally) -> None:
    """At every route that changes something, and at the form that takes tokens."""
    owner = cast.members[Role.OWNER]
    with Line(cast.server) as line:
        for route, policy in POLICIES.items():
            if policy.admits(Role.OWNER) and not route.startswith(HARMLESS):
                session = session_for(cast.server, owner)  # signing out ends one
                _knock_by_session(line, route, session, cast, tally)
        _knock_to_sign_in(line, cast, tally)


def forgeries(session: str, here: str) -> Mapping[str, Headers]:
    """What another page can make the browser of an owner send, were its cookies less strict."""
    cookie, proof = ("cookie", f"{COOKIE}={session}"), (HEADER, proof_of(session))
    ours, elsewhere = ("origin", here), ("origin", "https://elsewhere.example")
    return {
        "a page without proof": (cookie, ours),
        "a page with another's proof": (cookie, ours, (HEADER, proof_of("x" * 43))),
        "a page that shows the session": (cookie, ours, (HEADER, session)),
        "a page from elsewhere": (cookie, proof, elsewhere),
        "a page from nowhere": (cookie, proof, ("origin", "null")),
        "no page": (cookie, proof),
        "a neighbour's page": (cookie, proof, ours, ("sec-fetch-site", "same-site")),
    }


def _knock_by_session(line: Line, route: str, session: str, cast: Cast, tally: Tally) -> None:
    if (target := filled(route, values_for(cast))) is None:
        return tally.unknown(route)
    here = f"https://{cast.server.address}"
    for who, headers in forgeries(session, here).items():
        answer = line.send(*target, headers)
        tally.stranger(f"{who} at {route}", answer, refused=answer.status in REFUSED)
    cookie, proof = ("cookie", f"{COOKIE}={session}"), (HEADER, proof_of(session))
    answer = line.send(*target, (cookie, proof, ("origin", here)))
    tally.guest(f"a page of ours at {route}", answer, admitted=answered(route, answer))
    return None


def _knock_to_sign_in(line: Line, cast: Cast, tally: Tally) -> None:
    here = ("origin", f"https://{cast.server.address}")
    guesses = {name: dict(shown).get("authorization", "") for name, shown in cast.strangers.items()}
    good = cast.members[Role.OWNER].reply.token
    for who, shown in guesses.items():
        token = shown.removeprefix("Bearer ")
        if token.strip() != good:
            body = urlencode({"token": token}).encode()
            answer = line.send("POST", SIGN_IN, (here, FORM), body)
            tally.stranger(f"{who} at {SIGN_IN}", answer, refused=answer.status in REFUSED)
    body = urlencode({"token": good}).encode()
    answer = line.send("POST", SIGN_IN, (FORM,), body)
    tally.stranger(f"no page at {SIGN_IN}", answer, refused=answer.status in REFUSED)
    answer = line.send("POST", SIGN_IN, (here, FORM), body)
    tally.guest(f"an owner at {SIGN_IN}", answer, admitted=answer.location == "/")
