"""Flows: looking through concepts, and deciding about them."""

import pytest
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.select import Select

from fedshow.roles import Role
from tests.stage.gallery import ODD, SPECIAL
from tests.stage.waiting import eventually

NAMES = ".card h2"


def test_look_page_by_page(enter, stocked, picture):
    page = enter(Role.DOWNLOADER)
    page.sees("130 concepts, page 1 of 3")
    assert len(page.all(".card")) == 60
    page.click("Next")
    page.sees("page 2 of 3")
    assert page.path == "/?page=2"
    page.click("3")
    page.sees("page 3 of 3")
    assert page.texts(NAMES)[-1] == "thing-001x"
    page.click("thing-001x")
    page.sees("cat")
    assert page.path == "/gallery/concepts/thing-001x"


def test_search_while_typing(enter, stocked):
    page = enter(Role.DOWNLOADER)
    page.driver.execute_script("window.same = true")
    page.fill("Name, class or owner", "THING-12 Carl")
    page.sees("10 concepts")
    assert page.texts(NAMES) == [f"thing-12{k}x" for k in range(9, -1, -1)]
    assert page.driver.execute_script("return window.same"), "the whole page was loaded"
    page.driver.refresh()
    page.sees("10 concepts")


@pytest.mark.parametrize("label", ["quarantined", "refused", "withdrawn", "waiting"])
def test_filter_by_status(enter, stocked, label):
    page = enter(Role.CONTRIBUTOR)  # who brought them
    Select(page.one("#show")).select_by_visible_text(f"{label} (1)")
    page.sees("1 concept")
    (name,) = page.texts(NAMES)
    assert page.texts(".card .badge") == [label]
    assert SPECIAL[name][1] in page.text


def test_filter_by_class_and_see_nothing_of_others(enter, stocked):
    page = enter(Role.DOWNLOADER)
    assert [option.text for option in Select(page.one("#show")).options] == [
        *("Current", "admitted (130)", "All"),
    ]
    Select(page.one("#class")).select_by_visible_text("vase (22)")
    page.sees("22 concepts")
    assert {text.partition(" by ")[0] for text in page.texts(".card h2 + p")} == {"vase"}


def test_cards_show_samples(enter, stocked, picture):
    page = enter(Role.OWNER)
    page.sees("132 concepts")
    assert page.is_painted(".card .face")
    assert page.one(".card .face").get_attribute("alt") == "a <imperius>"
    assert page.calls("/samples/") < 24  # one a card, and those far below not at all
    picture(page, "concepts")
    page.look("dark")
    picture(page, "concepts-dark")
    page.look("light")
    page.click("thing-130x")
    page.sees("strength 0.7")
    assert len(page.all(".strengths img")) == 6
    assert page.is_painted(".strengths img")
    page.sees("0.910 by itself")
    picture(page, "concept")


def test_search_without_scripts_by_the_address(enter, stocked):
    page = enter(Role.OWNER, "/?q=imperius&show=nonsense&page=x")
    page.sees("1 concept")
    page.go("/?q=nobody%25")
    page.sees("Nothing here.")


def test_only_an_owner_is_asked_and_decides(enter, stocked):
    where = "/gallery/concepts/imperius"
    page = enter(Role.CONTRIBUTOR, where)  # carl brought it
    page.sees(ODD)
    assert "Withdraw" in page.text
    assert "Approve" not in page.text
    page = enter(Role.OWNER, where)
    page.click("Approve")
    page.sees("admitted")
    assert page.path == where
    assert (
        stocked.store_state(next(c.sha256 for c in stocked.concepts() if c.name == "imperius"))
        == "admitted"
    )


def test_all_by_keyboard(enter, stocked):
    page = enter(Role.DOWNLOADER)
    body = page.one("body")
    body.send_keys(Keys.TAB)
    assert page.driver.switch_to.active_element.text == "Skip to content"
    page.driver.switch_to.active_element.send_keys(Keys.ENTER)
    page.driver.switch_to.active_element.send_keys(Keys.TAB)
    assert page.driver.switch_to.active_element.get_attribute("id") == "q"
    page.driver.switch_to.active_element.send_keys("thing-007x", Keys.ENTER)
    eventually(lambda: page.texts(NAMES) == ["thing-007x"])
    page.press(".card a", Keys.ENTER)
    page.sees("In prompts")
