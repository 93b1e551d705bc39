"""Releases over HTTPS: who may ask, what they get, and how much of it."""

import asyncio
import re
import ssl
import time
from hashlib import sha256
from types import SimpleNamespace

import httpx
import pytest
from fastapi import APIRouter
from hypothesis import given
from hypothesis import strategies as st

from fedshow.releases.signing import LATEST, Latest, Signature
from fedshow.roles import Role
from fedshow_server.members.guard import Guard
from fedshow_server.services.doors import Entrance
from fedshow_server.services.policies import Policy
from fedshow_server.settings import ServerSettings
from fedshow_server.upkeep.health import Health
from fedshow_server.web.concepts import concept_routes
from fedshow_server.web.doors import POLICIES, HttpDoors, routes_of
from fedshow_server.web.drawings import drawing_routes
from fedshow_server.web.edge import make_edge
from fedshow_server.web.hub import hub_routes
from fedshow_server.web.pages.places import is_page
from fedshow_server.web.pages.routes import gallery_routes
from fedshow_server.web.pages.showing import Gallery
from fedshow_server.web.ranges import Unsatisfiable, wanted_range
from fedshow_server.web.releases import release_routes
from fedshow_server.web.watching import health_routes, metrics_routes
from tests.stage.answers import BEHIND_THE_DOOR
from tests.stage.concepts import CARD
from tests.stage.publishing import put_release

BLOB = bytes(range(256)) * 20_000
ETAG = f'"{sha256(BLOB).hexdigest()}"'
FILES = {"unet/weights.safetensors": BLOB, "README.md": b"# a release", "empty.json": b""}


@pytest.fixture(scope="module")
def release(server, tools):
    return put_release(server, "potter", FILES)


@pytest.fixture
def ask(server, member):
    """Requests as a node; `url` is what follows the host."""
    with server.http() as client:
        client.headers["authorization"] = f"Bearer {member.reply.token}"
        yield client.request


def weights(release):
    return f"/releases/{release.release}/unet/weights.safetensors"


def application(*routers):
    """The edge, with nothing behind it."""
    superlink = SimpleNamespace(healthy=asyncio.Event(), trust=ssl.create_default_context)
    guard = Guard(ServerSettings(), SimpleNamespace(refused=print))
    routers = (*routers, health_routes(Health({})), metrics_routes(bytes, None))
    doors = HttpDoors(Entrance(None, None, guard), None)
    return make_edge(superlink, None, b"", doors, routers, Gallery("tiny").refuse)


def test_every_route_has_a_policy_and_no_other():
    nothing = ("members", "sessions", "concepts", "releases", "drawings", "database", "showcase")
    nothing += ("blobs",)
    store = SimpleNamespace(**dict.fromkeys(nothing))
    drawings = drawing_routes(store, None, None, None, None)
    pages = gallery_routes(Gallery("tiny"), store, None, CARD, ServerSettings(), None, "", None)
    others = (release_routes(store, None, None), hub_routes(None, None), concept_routes(None, None))
    app = application(*others, drawings, *pages)
    assert routes_of(app) == set(POLICIES)


def test_no_edge_is_made_with_a_route_without_a_policy():
    routes = APIRouter()
    routes.add_api_route("/api/secrets", lambda: "secret")
    with pytest.raises(AssertionError, match="without a policy: GET /api/secrets"):
        application(routes)


def test_only_what_everybody_needs_is_open():
    open_to_all = {route for route, policy in POLICIES.items() if policy is Policy.ANYBODY}
    assert open_to_all == {
        *("GET /healthz", "GET /api/ca.pem", "POST /api/join"),
        *("GET /metrics", "GET /api/openapi.json", "HEAD /api/openapi.json"),
        *("GET /gallery/sign-in", "POST /gallery/sign-in"),
        "GET /gallery/static/{version}/{name}",
    }


@pytest.mark.parametrize(
    "route", [route for route, policy in POLICIES.items() if policy.admits(Role.OWNER)]
)
def test_no_good_token_no_answer(server, everybody, useless_tokens, member, release, route):
    method, _, path = route.partition(" ")
    values = {"release": release.release, "path:path": "README.md", "revision": "main"}
    values |= {"namespace": "fedshow", "repo": release.release, "drawing": "0" * 16, "number": "1"}
    values |= {"name": "nobody", "archive": f"fedshow-{release.release}.tar"}
    values |= {"concept": "potter", "picture": f"{'0' * 32}.webp"}
    url = re.sub(r"{([a-z:]+)}", lambda found: values[found[1]], path)
    token = member.reply.token
    with server.http() as client:
        for headers in (
            {},
            {"authorization": "Bearer"},
            *({"authorization": f"Bearer {useless}"} for useless in useless_tokens.values()),
            {"authorization": token},
            {"authorization": f"Basic {token}"},
            [("authorization", f"Bearer {token}"), ("authorization", "Bearer x")],
        ):
            answer = client.request(method, url, headers=headers)
            assert answer.status_code == (303 if method == "GET" and is_page(url) else 403)
            assert b"release" not in answer.content
        for role, node in everybody.items():
            admitted = BEHIND_THE_DOOR.get(route, 200)
            with client.stream(method, url, headers=node.bearer) as answer:  # events have no end
                assert answer.status_code == (admitted if POLICIES[route].admits(role) else 403)


def test_a_route_without_an_entry_is_closed(monkeypatch):
    app = application()
    monkeypatch.delitem(POLICIES, "GET /healthz")

    async def ask():
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
            return await client.get("/healthz")

    assert asyncio.run(ask()).status_code == 403


def test_a_file_comes_whole_with_its_digest(ask, release):
    for url in (weights(release), "/releases/latest/unet/weights.safetensors"):
        answer = ask("GET", url)
        assert (answer.status_code, answer.content) == (200, BLOB)
        head = ask("HEAD", url)
        assert head.content == b""
        for found in (answer, head):
            assert found.headers["etag"] == ETAG
            assert found.headers["content-length"] == str(len(BLOB))
            assert found.headers["accept-ranges"] == "bytes"
            assert found.headers["content-location"] == weights(release)
    assert "immutable" in ask("HEAD", weights(release)).headers["cache-control"]
    assert "no-cache" in answer.headers["cache-control"]
    assert ask("GET", f"/releases/{release.release}/empty.json").content == b""
    manifest = ask("GET", f"/releases/{release.release[:8]}/manifest.json")
    assert manifest.content == release.dump()


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=5-", 5, len(BLOB)),
        ("bytes=-7", len(BLOB) - 7, len(BLOB)),
        (f"bytes=-{len(BLOB) * 9}", 0, len(BLOB)),
        (f"bytes=1048575-{10**30}", 1048575, len(BLOB)),
        (f"bytes={len(BLOB) - 1}-", len(BLOB) - 1, len(BLOB)),
    ],
)
def test_a_range_is_just_that_range(ask, release, asked, start, end):
    for method in ("GET", "HEAD"):
        answer = ask(method, weights(release), headers={"range": asked})
        assert answer.status_code == 206
        assert answer.headers["content-range"] == f"bytes {start}-{end - 1}/{len(BLOB)}"
        assert answer.headers["content-length"] == str(end - start)
        assert answer.content == (BLOB[start:end] if method == "GET" else b"")


@pytest.mark.parametrize("asked", [f"bytes={len(BLOB)}-", "bytes=-0", f"bytes={10**30}-"])
def test_a_range_outside_of_the_file(ask, release, asked):
    answer = ask("GET", weights(release), headers={"range": asked})
    assert (answer.status_code, answer.content) == (416, b"")
    assert answer.headers["content-range"] == f"bytes */{len(BLOB)}"


@pytest.mark.parametrize(
    "asked", ["bytes=0-1,5-9", "bytes=9-2", "bytes=a-b", "lines=0-1", "bytes=-", "bytes=١-٢", ""]
)
def test_what_is_no_single_range_gives_the_whole(ask, release, asked):
    answer = ask("GET", weights(release), headers={"range": asked.encode()})
    assert (answer.status_code, len(answer.content)) == (200, len(BLOB))


def test_a_range_of_another_content_is_not_given(ask, release):
    for condition, status in ((ETAG, 206), ('"0"', 200), (f"W/{ETAG}", 200)):
        headers = {"range": "bytes=0-9", "if-range": condition}
        assert ask("GET", weights(release), headers=headers).status_code == status


def test_what_is_known_is_not_sent(ask, release):
    for known, status in ((ETAG, 304), (f'"0", W/{ETAG}', 304), ("*", 304), ('"0"', 200)):
        answer = ask("GET", weights(release), headers={"if-none-match": known, "range": "bytes=0-"})
        assert answer.status_code == (status if status == 304 else 206)
        assert answer.headers["etag"] == ETAG


@given(
    header=st.one_of(
        st.text(max_size=40),
        st.from_regex(r"bytes=[0-9]{0,5}-[0-9]{0,5}(,[0-9]-[0-9])?", fullmatch=True),
    ),
    size=st.integers(0, 10**5),
)
def test_any_range_header_gives_bytes_of_the_file(header, size):
    try:
        found = wanted_range({"range": header}, '"x"', size)
    except Unsatisfiable:
        return
    assert found is None or 0 <= found[0] < found[1] <= size


@pytest.mark.parametrize(
    ("url", "status", "words"),
    [
        ("/releases/latest/none.json", 404, "has no file 'none.json'"),
        ("/releases/latest/../../etc/passwd", 404, ""),
        ("/releases/latest/%2e%2e/%2e%2e/etc/passwd", 404, ""),
        ("/releases/latest/unet%2fweights.safetensor", 404, "has no file"),
        ("/releases/latest/", 404, "has no file ''"),
        ("/releases/0000000000000000/README.md", 404, "no release 0000"),
        ("/releases/x/README.md", 400, "release 'x'"),
        ("/api/releases/x", 400, "release 'x'"),
    ],
)
def test_what_is_not_there(ask, release, url, status, words):
    answer = ask("GET", url)
    assert answer.status_code == status
    assert words in answer.json()["message"]


def test_lists_say_what_there_is(ask, release):
    (listed,) = [one for one in ask("GET", "/api/releases").json() if one["id"] == release.release]
    assert listed["concepts"] == ["potter"]
    assert "files" not in listed
    described = ask("GET", "/api/releases/latest").json()
    assert described | listed == described
    assert set(described["files"]) == {*FILES, "manifest.json"}
    assert described["files"]["README.md"]["size_bytes"] == len(FILES["README.md"])
    paths = ask("GET", "/api/openapi.json").json()["paths"]
    assert {"/api/releases", "/api/releases/{release}", "/releases/{release}/{path}"} <= set(paths)


def test_the_latest_is_said_and_signed(ask, release, member):
    said = ask("GET", "/api/latest").json()
    signature = Signature.model_validate(said["signature"])
    signature.check(LATEST, said["statement"].encode(), "what was said")
    assert signature.key == member.reply.signing_key
    described = ask("GET", "/api/releases/latest").json()
    found = Latest.model_validate_json(said["statement"])
    assert found.manifest_sha256 == described["manifest_sha256"]


def test_concept_files_stay_inside(ask, server, tools, release):
    store = server.store()
    digest = store.blobs.put(tools.concept_bytes("potter"))
    store.close()
    assert ask("GET", f"/releases/latest/{digest}").status_code == 404


def test_a_download_ends_when_its_node_is_revoked(server, joined, tools, member):
    """In the midst of a file, and nobody takes what came for the whole."""
    big = put_release(server, "luna", {"x.safetensors": bytes(64 << 20)})
    eve = joined(server, "evelyn")
    came = []

    def read(blocks):
        for block in blocks:
            if not came:
                server.revoke("evelyn")
            came.append(len(block))
            time.sleep(0.05)  # fifty seconds for all of it; the server looks once a second

    url = f"/releases/{big.release}/x.safetensors"
    with (
        server.http() as client,
        client.stream("GET", url, headers=bearer(eve)) as answer,
        pytest.raises(httpx.RemoteProtocolError),
    ):
        read(answer.iter_raw(1 << 16))
    with server.http() as client:
        assert client.get(url, headers=bearer(eve)).status_code == 403
    assert 0 < sum(came) < 64 << 20
    assert "a download ended: this node was cut off" in (server.data / "server.log").read_text()


def bearer(node):
    return {"authorization": f"Bearer {node.reply.token}"}
