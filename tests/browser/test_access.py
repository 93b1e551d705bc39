"""Everybody can use every page: read aloud, in the dark, on a phone."""

import pytest

from fedshow.roles import Role
from tests.stage.page import DESK, PHONE

PAGES = [
    *("/", "/gallery/concepts/voldemort", "/gallery/concepts/thing-122x"),
    *("/gallery/releases", "/gallery/releases/latest", "/gallery/studio", "/gallery/nowhere"),
]


@pytest.mark.parametrize("path", ["/gallery/sign-in", *PAGES])
def test_no_serious_fault_in_any_look_and_size(enter, page, released, path):
    page.excuse("the server responded with a status of 404")
    if path == "/gallery/sign-in":
        page.go(path)
    else:
        enter(Role.OWNER, path)
    for scheme in ("light", "dark"):
        page.look(scheme)
        for size in (DESK, PHONE):
            page.be(size)
            assert page.serious_faults() == [], (scheme, size)
            assert not page.overflows(), size


def test_the_look_can_be_chosen_and_stays(enter, stocked):
    page = enter(Role.OWNER)
    paper = "return getComputedStyle(document.body).backgroundColor"
    light = page.driver.execute_script(paper)
    page.one("#theme").click()
    dark = page.driver.execute_script(paper)
    assert dark != light
    page.go("/gallery/releases")
    assert page.driver.execute_script(paper) == dark
    assert page.one("#theme").get_attribute("aria-pressed") == "true"
