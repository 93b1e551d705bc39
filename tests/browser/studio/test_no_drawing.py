"""A server that draws for nobody says so, and why."""

import pytest

from fedshow.roles import Role
from tests.stage.concepts import make_data
from tests.stage.gallery import session_for
from tests.stage.member import Member
from tests.stage.page import Page
from tests.stage.publishing import put_release
from tests.stage.server import Server


@pytest.fixture
def idle(tmp_path):
    """A server whose owner has turned drawing off."""
    found = Server(make_data(tmp_path / "data"), {"FEDSHOW_SERVER_DRAWINGS_AT_ONCE": "0"})
    found.start()
    yield found
    assert found.end() == 0


def test_why_nothing_can_be_drawn(driver, idle):
    dora = Member.redeem(idle, idle.invite("dora", Role.DOWNLOADER))
    driver.execute_cdp_cmd("Security.setIgnoreCertificateErrors", {"ignore": True})
    page = Page(driver, idle.address)
    page.hold(session_for(idle, dora))
    page.go("/gallery/studio")
    page.sees("Nothing has been fused yet")
    put_release(idle, "potter", {"a.txt": b"a"})
    page.go("/gallery/studio")
    page.sees("This server does not draw")
    assert not page.one("#draw").is_enabled()
    assert page.serious_faults() == []
    assert page.faults() == []
    driver.execute_cdp_cmd("Security.setIgnoreCertificateErrors", {"ignore": False})
