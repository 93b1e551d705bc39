"""Nobody drives the page but this user: not another site, another port, another name or another machine."""

import socket
import stat

import psutil
import pytest

from fedshow_client.page.door import COOKIE
from fedshow_client.page.entering import Entering
from tests.client.page.conftest import Visitor


def test_the_address_signs_in_once(port: int, entering: Entering, stranger) -> None:
    address = entering.address()
    assert address.startswith(f"http://127.0.0.1:{port}/")
    path, _, code = address.partition("#")
    origin = {"origin": f"http://127.0.0.1:{port}"}
    assert stranger.get(path).status_code == 200
    answer = stranger.post(path, data={"code": code}, headers=origin)
    assert (answer.status_code, answer.headers["location"]) == (303, entering.room)
    cookie = answer.headers["set-cookie"]
    assert f"Path={entering.room}" in cookie
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert stranger.get(entering.room).status_code == 200
    stranger.cookies.clear()
    again = stranger.post(path, data={"code": code}, headers=origin)
    assert again.status_code == 403
    assert "set-cookie" not in again.headers
    assert "used already" in again.text


@pytest.mark.parametrize("code", ["", "x", "x" * 43, "../../client.db", "Ü" * 43])
def test_no_other_code_signs_in(stranger, entering, port, code) -> None:
    entering.address()
    headers = {"origin": f"http://127.0.0.1:{port}"}
    answer = stranger.post(f"{entering.room}/sign-in", data={"code": code}, headers=headers)
    assert answer.status_code == 403
    assert COOKIE not in answer.cookies


def test_codes_and_sessions_run_out(place, tmp_path) -> None:
    from fedshow_client.page.passes import Passes

    now = [0.0]
    passes = Passes(tmp_path / "codes", 300, clock=lambda: now[0])
    secret = passes.make()
    made = (tmp_path / "codes").iterdir().__next__().stat().st_mtime
    now[0] = made + 299
    assert passes.hold(secret)
    now[0] = made + 300
    assert not passes.hold(secret)
    assert not passes.take(secret)


def test_what_opens_the_page_is_closed_to_others(entering: Entering, place, port) -> None:
    address = entering.address()
    secret = address.partition("#")[2]
    files = [path for path in place.page.rglob("*") if path.is_file()]
    assert {path.name for path in files} >= {"room", "port"}
    for path in files:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
        assert secret not in path.name + path.read_text(), "only its digest is kept"
    assert stat.S_IMODE(place.page.stat().st_mode) == 0o700


FOREIGN = (
    "evil.example", "evil.example:{port}", "127.0.0.1", "localhost", "127.0.0.1:1", "[::1]:{port}",
    "127.0.0.1.evil.example:{port}", "127.0.0.1:{port}.evil.example", "0.0.0.0:{port}", "",
)  # fmt: skip


def test_another_name_leads_nowhere(visitor: Visitor, port: int, queue) -> None:
    """As after DNS rebinding: the browser shows the name that it believes in."""
    for host in FOREIGN:
        named = {"host": host.format(port=port)}
        answer = visitor.get("", **named)
        assert answer.status_code in (400, 421), host
        assert "fedshow" not in answer.text
        origin = {"origin": f"http://{named['host']}", "sec-fetch-site": "same-origin"}
        posted = visitor.client.post(f"{visitor.room}/pause", headers=named | origin)
        assert posted.status_code in (400, 421), host
    assert not queue.paused()


def test_two_names_lead_nowhere(port: int, entering: Entering) -> None:
    with socket.create_connection(("127.0.0.1", port)) as raw:
        host = f"127.0.0.1:{port}"
        lines = (f"GET {entering.room} HTTP/1.1", f"Host: {host}", "Host: evil.example", "", "")
        raw.sendall("\r\n".join(lines).encode())
        assert raw.recv(100).split()[1] in (b"400", b"421")


def test_both_own_names_lead_here(visitor: Visitor, port: int) -> None:
    assert visitor.get("", host=f"127.0.0.1:{port}").status_code == 200
    assert visitor.get("", host=f"localhost:{port}").status_code == 200


ELSEWHERE = (
    {},
    {"origin": "http://evil.example"},
    {"origin": "null"},
    {"origin": "http://127.0.0.1:1"},
    {"sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "same-site"},  # another port of this machine
    {"sec-fetch-site": "none"},
)


def test_no_other_page_changes_anything(visitor: Visitor, queue) -> None:
    shown = {"csrf": visitor.get("").text.partition('name="csrf" content="')[2][:64]}
    for headers in ELSEWHERE:
        answer = visitor.client.post(f"{visitor.room}/pause", data=shown, headers=headers)
        assert answer.status_code == 403, headers
    assert not queue.paused()
    own = {"origin": visitor.origin}
    assert visitor.client.post(f"{visitor.room}/pause", data=shown, headers=own).status_code == 303
    assert queue.paused()


def test_without_the_proof_nothing_changes(visitor: Visitor, queue) -> None:
    headers = {"origin": visitor.origin}
    for data in ({}, {"csrf": ""}, {"csrf": "0" * 64}):
        answer = visitor.client.post(f"{visitor.room}/pause", data=data, headers=headers)
        assert answer.status_code == 403
    assert not queue.paused()
    assert visitor.post("/pause").status_code == 303
    assert queue.paused()


def test_no_other_port_builds_our_pictures_into_its_page(visitor: Visitor) -> None:
    """A page of another port is of the same site: its requests would bring our cookie."""
    into_a_page = {"sec-fetch-site": "same-site", "sec-fetch-mode": "no-cors"}
    assert visitor.get("", **into_a_page).status_code == 403
    link = {"sec-fetch-site": "same-site", "sec-fetch-mode": "navigate"}
    assert visitor.get("", **link).status_code == 200


ROUTES = [
    ("GET", ""), ("GET", "/history"), ("GET", "/folders"), ("POST", "/folders"),
    ("GET", "/folders/x"), ("POST", "/folders/x"), ("GET", "/folders/x/pictures/0"),
    ("GET", "/jobs/1"), ("GET", "/jobs/1/withdraw"), ("POST", "/jobs/1/withdraw"),
    ("GET", "/jobs/1/samples/1/1"), ("POST", "/jobs/1/pause"), ("POST", "/pause"),
    ("POST", "/resume"), ("POST", "/sign-out"),
]  # fmt: skip


def test_every_route_is_in_this_list(place, queue, entering) -> None:
    from fastapi.routing import iter_route_contexts

    from fedshow_client.page.app import make_app

    app = make_app(place, queue, entering, 1)._app._app
    found = {
        (method, route.path.removeprefix(entering.room))
        for route in iter_route_contexts(app.routes)
        for method in route.methods or ()
    }
    plain = {
        (method, path.replace("{job:int}", "1").replace("{look_id}", "x")) for method, path in found
    }
    known = {("GET", "/sign-in"), ("POST", "/sign-in"), ("GET", "/static/{version}/{name}")}
    spelled = {
        ("GET", "/folders/x/pictures/{picture:int}"): ("GET", "/folders/x/pictures/0"),
        ("GET", "/jobs/1/samples/{step:int}/{number:int}"): ("GET", "/jobs/1/samples/1/1"),
        ("POST", "/jobs/1/{what}"): ("POST", "/jobs/1/pause"),
    }
    assert {spelled.get(one, one) for one in plain} - known == set(ROUTES)


def test_nothing_is_shown_or_done_without_a_session(stranger, entering, port, queue) -> None:
    headers = {"origin": f"http://127.0.0.1:{port}", "sec-fetch-site": "same-origin"}
    for cookie in ({}, {"cookie": f"{COOKIE}=x"}, {"cookie": f"{COOKIE}={'x' * 43}"}):
        for method, path in ROUTES:
            answer = stranger.request(method, f"{entering.room}{path}", headers=headers | cookie)
            if method == "GET":
                assert answer.headers["location"] == f"{entering.room}/sign-in", path
            else:
                assert answer.status_code == 403, path
    assert not queue.paused()


@pytest.mark.parametrize("path", ["/", "/sign-in", "/folders", "/favicon.ico", "/wrong/folders"])
def test_outside_of_the_room_nothing_is_told(stranger, visitor: Visitor, entering, path) -> None:
    """Neither to programs that try ports, nor to a browser that is signed in."""
    for client in (stranger, visitor.client):
        answer = client.get(path)
        assert answer.status_code == 404
        assert entering.room[1:] not in answer.text + str(answer.headers)


def test_the_room_stays_and_is_long(entering: Entering, place) -> None:
    assert Entering(place).room == entering.room
    assert len(entering.room) >= 22


def test_it_is_not_there_on_another_address(port: int) -> None:
    of_cards = (one for found in psutil.net_if_addrs().values() for one in found)
    addresses = {one.address for one in of_cards if one.family == socket.AF_INET}
    for address in {"127.0.0.2", *addresses} - {"127.0.0.1"}:
        with pytest.raises(OSError, match=r"refused|timed out|unreachable"):
            socket.create_connection((address, port), timeout=5)
    with pytest.raises(OSError, match=r"."):
        socket.create_connection(("::1", port), timeout=5)


def test_nobody_else_may_read_answers(visitor: Visitor) -> None:
    answer = visitor.get("", origin="http://evil.example")
    assert not [name for name in answer.headers if name.startswith("access-control")]
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    assert answer.headers["cache-control"] == "no-store"
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    asked = visitor.client.options(
        f"{visitor.room}/pause",
        headers={"origin": "http://evil.example", "access-control-request-method": "POST"},
    )
    assert asked.status_code == 405
    assert not [name for name in asked.headers if name.startswith("access-control")]


def test_large_bodies_are_refused(visitor: Visitor) -> None:
    answer = visitor.post("/folders", folder="x" * (64 << 10))
    assert answer.status_code == 400
    assert "65536 bytes" in answer.text


def test_signing_out_ends_the_session(visitor: Visitor) -> None:
    session = visitor.client.cookies[COOKIE]
    assert visitor.post("/sign-out").headers["location"] == f"{visitor.room}/sign-in"
    visitor.client.cookies.clear()
    again = visitor.get("", cookie=f"{COOKIE}={session}")
    assert again.status_code == 303
