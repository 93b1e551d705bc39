"""The same path in many ways of writing it, of which at most the first is a door."""

VERBS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND")
PLAIN = "as it is"


def spellings(path: str) -> dict[str, str]:
    """What to call it, and the target as it is sent."""
    inner = path[1:]
    return {
        PLAIN: path,
        "a slash behind": f"{path}/",
        "a slash before": f"/{path}",
        "double slashes": "/" + inner.replace("/", "//"),
        "a dot": f"/.{path}",
        "dots inside": "/" + inner.replace("/", "/./"),
        "out of nowhere": f"/x/..{path}",
        "out of an open door": f"/healthz/..{path}",
        "encoded dots": f"/healthz/%2e%2e{path}",
        "dots encoded twice": f"/healthz/%252e%252e{path}",
        "overlong dots": f"/healthz/%c0%ae%c0%ae{path}",
        "encoded slashes": "/" + inner.replace("/", "%2f"),
        "backslashes": "/" + inner.replace("/", "\\"),
        "an encoded letter": f"/{_encoded(inner[:1])}{inner[1:]}",
        "all encoded": "/" + "/".join(map(_encoded, inner.split("/"))),
        "encoded twice": "/" + _encoded(inner).replace("%", "%25"),
        "upper case": path.upper(),
        "a parameter": f"{path};x=1",
        "a query": f"{path}?x=1",
        "a fragment": f"{path}#x",
        "a zero behind": f"{path}%00",
        "a line break behind": f"{path}%0d%0a",
        "a blank behind": f"{path}%20",
        "with a host": f"https://127.0.0.1{path}",
    }


def _encoded(text: str) -> str:
    return "".join(f"%{ord(sign):02x}" for sign in text)
