"""Signed in with a browser: what a cookie opens, when it no longer does, and what no other page can do."""

import re
from hashlib import sha256

import pytest

from fedshow.roles import Role
from fedshow.web.forgery import HEADER, proof_of
from fedshow.web.headers import HEADERS
from fedshow.web.rendering import bytes_text, pages_around
from fedshow_server.store import Offer
from fedshow_server.web.pages.places import page_or_home
from fedshow_server.web.sessions import COOKIE
from tests.stage.gallery import session_for

OUT, IN = "/gallery/sign-out", "/gallery/sign-in"
FORM = "application/x-www-form-urlencoded"


@pytest.fixture
def browser(server, everybody):
    """Requests with a session of a role; what changes something shows proof unless it is told not to."""

    def ask(method, url, role=Role.CONTRIBUTOR, session=None, proof=None, fields=None, **headers):
        session = session or session_for(server, everybody[role])
        about = {"cookie": f"{COOKIE}={session}", "origin": f"https://{server.address}"}
        shown = proof_of(session) if proof is None else proof
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        with server.http() as client:
            return client.request(
                method,
                url,
                headers=about | given,
                data={"csrf": shown, **(fields or {})} if method == "POST" else None,
            )

    return ask


def test_a_session_opens_what_its_node_may(browser):
    assert browser("GET", "/").status_code == 200
    assert browser("GET", "/api/releases").status_code == 200
    decide = "/gallery/concepts/nobody/approve"
    assert browser("POST", decide, Role.OWNER).status_code == 404
    for role in (Role.CONTRIBUTOR, Role.DOWNLOADER):
        refused = browser("POST", decide, role)
        assert refused.status_code == 403
        assert f"is a {role} here, which may not do this" in refused.text


def test_an_owner_decides_about_the_file_on_the_page(server, browser, member):
    """Also while a newer one is on its way, and not about another one that waits by now."""
    page = "/gallery/concepts/luna"
    seen = waiting(server, member, "1")
    offered(server, member, "2")
    shown = browser("GET", page, Role.OWNER).text
    assert shown.count(f'name="sha256" value="{seen}"') == shown.count('/luna/reject"') * 2 == 2
    now = waiting(server, member, "2")
    for stale in ({"sha256": seen}, {}):
        refused = browser("POST", f"{page}/approve", Role.OWNER, fields=stale)
        assert (refused.status_code, f"now file {now}" in refused.text) == (400, True)
    assert server.store_state(now) == "pending"
    assert browser("POST", f"{page}/reject", Role.OWNER, fields={"sha256": now}).status_code == 303
    assert server.store_state(now) == "refused"


def offered(server, member, text):
    """The digest of a concept that the member wants to bring."""
    digest = sha256(text.encode()).hexdigest()
    store = server.store()
    node = next(node for node in store.members.nodes() if node.name == member.reply.node)
    store.concepts.submit(node.id, Offer("luna", "man", digest, 9), 100)
    store.close()
    return digest


def waiting(server, member, text):
    """The same, once it waits for the owner."""
    digest = offered(server, member, text)
    store = server.store()
    store.concepts.admit(digest)
    store.concepts.quarantine(digest, "odd")
    store.close()
    return digest


def test_the_cookie_is_for_this_host_and_no_script(server, member):
    with server.http() as client:
        headers = {"origin": f"https://{server.address}"}
        answer = client.post(IN, data={"token": member.reply.token}, headers=headers)
    flags = {part.strip().lower() for part in answer.headers["set-cookie"].split(";")[1:]}
    assert {"httponly", "secure", "samesite=strict", "path=/", "max-age=43200"} == flags
    assert answer.headers["set-cookie"].startswith("__Host-")
    assert member.reply.token not in answer.text + str(answer.headers)


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://elsewhere.example"},
        {"origin": "null"},
        {"origin": ""},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
        {"sec_fetch_site": "none"},
    ],
)
def test_a_page_from_elsewhere_changes_nothing(server, browser, member, headers):
    session = session_for(server, member)
    assert browser("POST", OUT, session=session, **headers).status_code == 403
    with server.http() as client:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        named = {"origin": f"https://{server.address}"} | named
        answer = client.post(IN, data={"token": member.reply.token}, headers=named)
        assert (answer.status_code, COOKIE in answer.cookies) == (403, False)
    assert browser("GET", "/", session=session).status_code == 200


def test_a_form_shows_the_proof_of_its_own_session(server, browser, member):
    session, other = session_for(server, member), session_for(server, member)
    for proof in ("", "x", proof_of(other), "ä"):
        refused = browser("POST", OUT, session=session, proof=proof)
        assert (refused.status_code, "load the page again" in refused.text) == (403, True)
    assert f'value="{proof_of(session)}"' in browser("GET", "/", session=session).text
    assert browser("POST", OUT, session=session).headers["location"] == IN
    assert browser("GET", "/", session=session).status_code == 303
    assert browser("GET", "/", session=other).status_code == 200


def test_scripts_show_it_in_a_header(server, browser, member):
    session = session_for(server, member)
    with server.http() as client:
        client.cookies.set(COOKIE, session)
        headers = {"origin": f"https://{server.address}"}
        order = client.post("/api/drawings", content=b"{}", headers=headers)
        assert (order.status_code, order.json()["reason"]) == (403, "FORBIDDEN")
        headers[HEADER] = proof_of(session)
        order = client.post("/api/drawings", content=b"{}", headers=headers)
        assert (order.status_code, order.json()["reason"]) == (400, "INVALID_INPUT")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"token=" + b"x" * 70_000, "65536 bytes"),
        (b"token=a&token=b", "twice"),
        (b"a=%ff", "UTF-8"),
    ],
)
def test_forms_are_bounded_and_say_one_thing(server, body, words):
    headers = {"origin": f"https://{server.address}", "content-type": FORM}
    with server.http() as client:
        refused = client.post(IN, content=body, headers=headers)
    assert (refused.status_code, words in refused.text) == (400, True)


def test_who_is_not_known_is_shown_the_way_in(server, browser):
    with server.http() as client:
        asked = client.get("/?q=cat&page=2")
        assert (asked.status_code, asked.content) == (303, b"")
        assert asked.headers["location"] == f"{IN}?to=%2F%3Fq%3Dcat%26page%3D2"
        assert 'value="/?q=cat&amp;page=2"' in client.get(asked.headers["location"]).text
        assert client.get("/api/releases").status_code == 403
    for useless in ("x", "x" * 43):
        assert browser("GET", "/", session=useless).status_code == 303
        assert browser("GET", "/api/releases", session=useless).status_code == 403


def test_a_session_that_nobody_knows_is_taken_back(server):
    """Every request that shows it counts as a wrong token of its address."""
    dead = {"cookie": f"{COOKIE}=nothing"}
    with server.http() as client:
        for path in ("/", "/gallery/live/events"):
            answer = client.get(path, headers=dead)
            assert (answer.status_code, answer.headers["location"][: len(IN)]) == (303, IN)
            assert f'{COOKIE}=""; expires=' in answer.headers["set-cookie"]
        answer = client.get("/", headers={**dead, "authorization": "Bearer x"})
        assert "set-cookie" not in answer.headers, "it is not the session that is wrong"


@pytest.mark.parametrize(
    "wanted",
    [
        "",
        "//evil.example",
        "https://evil.example",
        "/\\evil.example",
        "/api/x",
        "/gallery/\r\nx",
        IN,
    ],
)
def test_signing_in_leads_nowhere_else(wanted):
    assert page_or_home(wanted) == "/"


def test_it_leads_where_one_wanted_to_go():
    for wanted in ("/", "/?q=a", "/gallery/releases", "/gallery/concepts/potter?x=//y"):
        assert page_or_home(wanted) == wanted


def test_every_answer_forbids_what_is_not_ours(server, member, browser):
    for path in ("/", IN, "/api/releases", "/healthz", "/nowhere", "/gallery/nowhere"):
        answer = browser("GET", path)
        assert answer.headers.items() >= HEADERS.items()
        policy = answer.headers["content-security-policy"]
        assert "unsafe" not in policy
        assert "default-src 'none'" in policy
        assert not re.search(
            r"<style|style=|<script(?! type=\"module\" src)| on[a-z]+=", answer.text
        )


def test_files_of_pages_are_kept_until_they_change(server):
    with server.http() as client:
        page = client.get(IN).text
        for url in re.findall(r'(?:src|href)="(/gallery/static/[^"]+)"', page):
            assert "immutable" in client.get(url).headers["cache-control"]
            older = re.sub("static/[^/]+", "static/0", url)
            assert client.get(older).headers["cache-control"] == "no-cache"
        for name in ("nothing.css", "..%2frendering.py", "%2e%2e"):
            assert client.get(f"/gallery/static/0/{name}").status_code == 404


def test_sizes_and_page_numbers_for_people():
    assert [bytes_text(n) for n in (0, 999, 1_500, 123_456_789)] == [
        "0 bytes",
        "999 bytes",
        "1.5 kB",
        "123 MB",
    ]
    assert pages_around(1, 1) == [1]
    assert pages_around(5, 9) == [1, 0, 4, 5, 6, 0, 9]
