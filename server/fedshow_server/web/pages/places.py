"""Where the gallery's pages are, and which of them stand in the bar at the top."""

from urllib.parse import urlencode

from fedshow.web.links import Link

HOME, ROOM = "/", "/gallery"
SIGN_IN, SIGN_OUT = f"{ROOM}/sign-in", f"{ROOM}/sign-out"
STATIC = f"{ROOM}/static"
CONCEPTS, RELEASES = f"{ROOM}/concepts", f"{ROOM}/releases"
LIVE, STUDIO = f"{ROOM}/live", f"{ROOM}/studio"
EVENTS = f"{LIVE}/events"

LINKS = (
    Link("Concepts", HOME, CONCEPTS),
    Link("Releases", RELEASES, RELEASES),
    Link("Studio", STUDIO, STUDIO),
    Link("Live", LIVE, LIVE),
)


def is_page(path: str) -> bool:
    """Whether people look at it, so that they are told in pages what went wrong."""
    return path == HOME or f"{path}/".startswith(f"{ROOM}/")


def sign_in_for(path: str, query: str) -> str:
    """Where somebody signs in who wants to see this page."""
    wanted = f"{path}?{query}" if query else path
    return SIGN_IN if wanted == HOME else f"{SIGN_IN}?{urlencode({'to': wanted})}"


def page_or_home(wanted: str) -> str:
    """`wanted` if it is a page of this gallery that can be opened; anything else leads home."""
    path = wanted.partition("?")[0]
    good = is_page(path) and path.isascii() and path.isprintable() and "\\" not in path
    return wanted if good and path not in (SIGN_IN, SIGN_OUT) else HOME
