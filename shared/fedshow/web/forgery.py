"""Requests that another page made a browser send: told by where they come from, and by what they lack."""

import hmac
from collections.abc import Mapping
from hashlib import sha256
from urllib.parse import urlsplit

from fedshow.errors import Forbidden

FIELD, HEADER = "csrf", "x-fedshow-csrf"
"""Where a form, or a script, shows the session's proof."""
HARMLESS = ("GET", "HEAD")
"""Methods that change nothing."""


def proof_of(session: str) -> str:
    """What only pages of this session know; the session itself is kept from scripts."""
    return hmac.new(session.encode(), b"fedshow page", sha256).hexdigest()


def check_proof(session: str, shown: str | None) -> None:
    """Raises Forbidden unless `shown` is the session's proof."""
    if not hmac.compare_digest(proof_of(session).encode(), (shown or "").encode()):
        raise Forbidden("this form is of another session: load the page again")


def check_origin(headers: Mapping[str, str]) -> None:
    """Raises Forbidden unless a browser says that a page of this very server sends the request."""
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    from_here = origin is not None and urlsplit(origin).netloc == headers.get("host")
    if site == "same-origin" or (site is None and from_here):
        return
    raise Forbidden("this request does not come from a page of this server")
