"""Proxies are for the world outside: what programs here tell each other over loopback goes past them."""

import os

LOOPBACK = "127.0.0.1,localhost"


def past_proxies() -> dict[str, str]:
    """Our environment's exceptions from proxies, and loopback; for child processes."""
    named = os.environ.get("no_proxy") or os.environ.get("NO_PROXY")
    exceptions = f"{named},{LOOPBACK}" if named else LOOPBACK
    return {"NO_PROXY": exceptions, "no_proxy": exceptions}
