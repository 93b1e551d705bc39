"""One server with members of every role and concepts in every state, and one browser, for all flows."""

import os
from pathlib import Path

import pytest

from fedshow.roles import Role
from tests.stage.browser import chromium, key_of, prepare_chromium
from tests.stage.concepts import make_data
from tests.stage.gallery import MEMBERS, session_for, stock
from tests.stage.member import Member
from tests.stage.page import Page
from tests.stage.released import put_fused
from tests.stage.sampled import paint_samples
from tests.stage.server import Server

SCREENSHOTS = os.environ.get("FEDSHOW_SCREENSHOTS")
SAMPLED = ("imperius", *(f"thing-{k:03}x" for k in range(120, 131)))
"""Concepts with pictures; the newest."""
IMAGES = Path(__file__).parents[2] / "docs" / "images"


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """A running server that fuses nothing by itself."""
    if missing := prepare_chromium():
        pytest.skip(missing)
    data = make_data(tmp_path_factory.mktemp("gallery") / "data")
    found = Server(data, options=("--quiet-seconds", "86400"))
    found.start()
    yield found
    assert found.end() == 0


@pytest.fixture(scope="session")
def lively(server, tmp_path_factory):
    """Another server, which fuses at once with the stand-in and may be restarted."""
    found = Server(make_data(tmp_path_factory.mktemp("lively") / "data"))
    found.start()
    yield found
    assert found.end() == 0


@pytest.fixture(scope="session")
def members(server):
    """A node of every role."""
    return {role: Member.redeem(server, server.invite(MEMBERS[role], role)) for role in Role}


@pytest.fixture(scope="session")
def stocked(server, members):
    """The server with concepts to look at."""
    stock(server, members[Role.CONTRIBUTOR].reply.node)
    paint_samples(server, SAMPLED)
    return server


@pytest.fixture(scope="session")
def released(stocked):
    """Two releases, the earlier one first."""
    return put_fused(stocked, SAMPLED[1:4]), put_fused(stocked, SAMPLED[2:7])


@pytest.fixture(scope="session")
def downloads(tmp_path_factory):
    """Where the browser puts what is downloaded."""
    return tmp_path_factory.mktemp("downloads")


@pytest.fixture(scope="session")
def driver(server, lively, downloads, tmp_path_factory):
    """The browser."""
    home = tmp_path_factory.mktemp("chromium")
    keys = key_of(server.address), key_of(lively.address)
    with chromium(home, keys, downloads) as found:
        yield found


@pytest.fixture
def page(driver, server):
    """Nobody is signed in; at the end the browser must have had nothing to complain of."""
    found = Page(driver, server.address)
    yield found
    assert found.faults() == []


@pytest.fixture
def enter(page, server, members):
    """Signs in as a member of a role, without the form."""

    def enter(role, path="/"):
        page.hold(session_for(server, members[role]))
        page.go(path)
        return page

    return enter


@pytest.fixture
def picture():
    """Keeps a picture of the page for the docs, when FEDSHOW_SCREENSHOTS is set."""

    def keep(page, name):
        if SCREENSHOTS:
            page.picture(IMAGES / f"gallery-{name}.png")

    return keep
