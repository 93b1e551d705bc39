"""Flows: what goes on now, through quarantine, approval and a restart of the server."""

from hashlib import sha256

import pytest

from fedshow.roles import Role
from fedshow_server.store import Offer
from fedshow_server.web.feed import AT_ONCE
from fedshow_server.web.sessions import COOKIE
from tests.stage.concepts import concept_bytes
from tests.stage.gallery import session_for
from tests.stage.member import Member
from tests.stage.page import PHONE, Page


@pytest.fixture(scope="module")
def people(lively):
    """An owner and a contributor there."""
    roles = {"olga": Role.OWNER, "carl": Role.CONTRIBUTOR, "dora": Role.DOWNLOADER}
    return {name: Member.redeem(lively, lively.invite(name, role)) for name, role in roles.items()}


@pytest.fixture
def come(driver, lively, people):
    """Somebody there opens a page; the browser must have had nothing to complain of but lost connections."""
    found = Page(driver, lively.address)

    def come(name, path):
        found.hold(session_for(lively, people[name]))
        found.go(path)
        return found

    yield come
    found.excuse("/gallery/live")  # while nobody was there
    assert found.faults() == []


def bring(server, owner, name):
    """The owner's concept of this name is admitted."""
    blob = concept_bytes(name, seed=sum(name.encode()))
    digest = sha256(blob).hexdigest()
    store = server.store()
    node = next(node for node in store.members.nodes() if node.name == owner)
    store.blobs.put(blob)
    store.concepts.submit(node.id, Offer(name, "man", digest, len(blob)), 100)
    store.concepts.admit(digest)
    store.close()


def test_quarantine_and_approve_while_looking(come, lively, picture):
    page = come("olga", "/gallery/live")
    page.sees("connected")
    page.sees("nothing to fuse")
    page.driver.execute_script("window.same = true")
    bring(lively, "carl", "imperius")
    page.sees("concept.pending")
    assert page.driver.execute_script("return window.same"), "the page was loaded again"
    page.go("/gallery/concepts/imperius")
    page.sees("it changes prompts that do not name it")
    page.click("Approve")
    page.sees("admitted")
    page.go("/gallery/live")
    page.sees("release.published")
    picture(page, "live")
    assert page.serious_faults() == []
    page.look("dark")
    page.be(PHONE)
    picture(page, "live-phone")
    assert page.serious_faults() == []
    assert not page.overflows()
    release = lively.last_release()
    page.click("Releases")
    page.click(release.id)
    page.sees("imperius")


def test_the_page_comes_back_after_a_restart(come, lively):
    page = come("olga", "/gallery/live")
    page.sees("connected")
    page.driver.execute_script("window.same = true")
    assert lively.end() == 0
    page.sees("connection lost")
    lively.start()
    page.sees("connected")
    bring(lively, "carl", "mimi")
    page.sees("concept.admitted")
    page.sees("mimi")
    assert page.driver.execute_script("return window.same"), "the page was loaded again"


def test_others_see_only_what_concerns_them(come, lively):
    bring(lively, "carl", "rex")
    page = come("carl", "/gallery/live")
    page.sees("connected")
    page.sees("rex")
    assert page.texts("#now th[scope=row]") == ["carl"]
    assert page.text.count("node.joined") == 1
    page = come("dora", "/gallery/live")
    page.sees("connected")
    page.sees("node.joined")
    assert "carl" not in page.text
    assert "concept." not in page.text


def test_whoever_is_not_known_any_more_is_shown_the_way_in(come, lively, people):
    people["rita"] = Member.redeem(lively, lively.invite("rita", Role.DOWNLOADER))
    page = come("rita", "/gallery/live")
    page.sees("connected")
    lively.revoke("rita")
    page.sees("Sign in")
    names = [cookie["name"] for cookie in page.driver.get_cookies()]
    assert COOKIE not in names, "it would be shown, and counted, again and again"
    store = lively.store()
    refused = [entry for entry in store.audit.last(50) if entry.action == "door.refused"]
    store.close()
    assert 1 <= len(refused) <= 2, "the stream's, and perhaps the page's own"


def test_no_more_streams_than_allowed(lively):
    headers = Member.redeem(lively, lively.invite("zoe", Role.DOWNLOADER)).bearer
    with lively.http() as client:
        streams = [
            client.send(
                client.build_request("GET", "/gallery/live/events", headers=headers), stream=True
            )
            for _ in range(AT_ONCE + 1)
        ]
        assert [answer.status_code for answer in streams] == [*[200] * AT_ONCE, 429]
        streams[0].close()
        for answer in streams[1:]:
            answer.close()


def test_events_go_on_from_where_they_were(lively, people):
    headers = {**people["olga"].bearer, "last-event-id": "2"}
    with (
        lively.http() as client,
        client.stream("GET", "/gallery/live/events", headers=headers) as answer,
    ):
        assert answer.headers["content-type"].startswith("text/event-stream")
        ids = (line for line in answer.iter_lines() if line.startswith("id: "))
        assert [next(ids), next(ids)] == ["id: 3", "id: 4"]
