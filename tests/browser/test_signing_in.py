"""Flows: in with a token, out again, and out because the owner says so."""

from fedshow.roles import Role
from tests.stage.gallery import session_for
from tests.stage.member import Member


def test_sign_in_look_and_sign_out(page, stocked, members):
    page.go("/gallery/releases")
    page.sees("Sign in")
    assert "Concepts" not in page.text
    page.sign_in(members[Role.DOWNLOADER].reply.token)
    page.sees("dora")
    assert page.path == "/gallery/releases"
    page.click("Concepts")
    page.sees("thing-130x")
    page.click("Sign out")
    page.sees("Sign in")
    page.go("/")
    page.sees("Sign in")
    assert "thing" not in page.text


def test_a_wrong_token_is_refused(page, stocked):
    page.excuse("the server responded with a status of 403")
    page.go("/")
    page.sign_in("x" * 43)
    page.sees("this token is not known here")
    assert page.one("[role=alert]")
    assert page.driver.get_cookies() == []
    assert "x" * 43 not in page.driver.page_source + page.driver.current_url


def test_nothing_is_seen_after_being_revoked(page, stocked):
    eve = Member.redeem(stocked, stocked.invite("eve"))
    page.hold(session_for(stocked, eve))
    page.go("/")
    page.sees("thing-130x")
    stocked.revoke("eve")
    page.click("Releases")
    page.sees("Sign in")
    assert "eve" not in page.text


def test_scripts_do_not_see_the_session(enter, stocked):
    page = enter(Role.OWNER)
    assert page.driver.get_cookies()
    assert page.driver.execute_script("return document.cookie") == ""
