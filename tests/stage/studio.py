"""What a person does in the gallery's studio."""

import json
from pathlib import Path
from typing import Any

from selenium.webdriver import ActionChains
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.select import Select

from fedshow.sampling.document import RecipeDocument
from tests.stage.page import Page
from tests.stage.waiting import eventually

Place = tuple[float, float]
"""On the layout, as fractions."""

GESTURE_MILLISECONDS = 20
ORDERED = """
const done = arguments[0];
const real = window.fetch;
window.fetch = async (path, how) => {
  if (how?.method !== "POST") return real(path, how);
  window.fetch = real;
  done(how.body);
  return Response.json({message: "not now"}, {status: 400});
};
document.getElementById("draw").click();
"""


class Studio:
    """The page at `/gallery/studio`."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.stage = page.one("#stage")

    # with the pointer

    def pull(self, begin: Place, end: Place) -> None:
        """Presses at one place of the layout, and lets go at another."""
        middle = (begin[0] + end[0]) / 2, (begin[1] + end[1]) / 2
        hand = self._to(self._hand(), begin).click_and_hold()
        self._to(self._to(hand, middle), end).release().perform()

    def drop(self, concept: str, place: Place) -> None:
        """Drags a concept's card onto the layout."""
        card = self.page.one(f"[data-concept={concept}]")
        hand = self._hand().move_to_element(card).click_and_hold()
        self._to(self._to(hand, (0.5, 0.9)), place).release().perform()

    def finger(self, begin: Place, end: Place) -> None:
        """The same with a finger."""
        call = self.page.driver.execute_cdp_cmd
        for kind, places in (
            ("touchStart", [begin]),
            ("touchMove", [((begin[0] + end[0]) / 2, (begin[1] + end[1]) / 2)]),
            ("touchMove", [end]),
            ("touchEnd", []),
        ):
            points = [{"x": x, "y": y} for x, y in map(self._in_window, places)]
            call("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    # in the form

    def write(self, **fields: object) -> None:
        """Puts values into fields by their ids, `_` for `-`."""
        for name, value in fields.items():
            field = self.page.one(f"#{name.replace('_', '-')}")
            if field.tag_name == "select":
                Select(field).select_by_value(str(value))
                continue
            field.clear()
            field.send_keys(str(value))

    def shape(self, width: int, height: int) -> None:
        """The picture's size."""
        self.write(size_width=width, size_height=height)
        self.page.one("#seed").click()  # a size counts when one has left its field

    def read(self, *fields: str) -> list[str]:
        """What these fields say."""
        found = (self.page.one(f"#{name.replace('_', '-')}") for name in fields)
        return [str(field.get_property("value")) for field in found]

    @property
    def regions(self) -> dict[str, str]:
        """By prompt where each region is."""
        rows = self.page.all("#regions .region")
        return {
            str(self._part(row, "prompt").get_property("value")): self._part(row, "where").text
            for row in rows
        }

    # what comes of it

    def draw(self) -> list[WebElement]:
        """Draws, and waits until all that was ordered has ended; the figures."""
        self.order()
        return self.ended()

    def order(self) -> None:
        """Draws, and waits until it is ordered."""
        before = self.page.all("#drawn .together")
        self.page.one("#draw").click()
        eventually(lambda: len(self.page.all("#drawn .together")) > len(before))

    def ordered(self) -> RecipeDocument:
        """What the page orders, without the server's hearing of it."""
        body = json.loads(self.page.driver.execute_async_script(ORDERED))
        return RecipeDocument.model_validate(body["recipe"])

    def ended(self, *states: str) -> list[WebElement]:
        """The figures of the last order, once all have ended."""
        wanted = set(states or ("done", "failed", "cancelled"))

        def reached() -> list[WebElement]:
            figures = self.page.all("#drawn .together:first-child .drawing")
            found = [figure.get_attribute("data-state") for figure in figures]
            return figures if found and set(found) <= wanted else []

        return eventually(reached)

    def pictures(self) -> list[bytes]:
        """The pictures of the last order, as they are saved."""
        links = self.page.all("#drawn .together:first-child [data-part=save]")
        return [self._bytes(str(link.get_attribute("href"))) for link in links]

    def reopen(self, file: Path) -> None:
        """Gives the page a picture from this machine."""
        self.page.one("#reopen").send_keys(str(file))

    def _bytes(self, url: str) -> bytes:
        script = """
        const [url, done] = arguments;
        fetch(url).then((answer) => answer.arrayBuffer()).then(
          (found) => done(JSON.stringify([...new Uint8Array(found)])));
        """
        found: Any = json.loads(self.page.driver.execute_async_script(script, url))
        return bytes(found)

    def _hand(self) -> ActionChains:
        return ActionChains(self.page.driver, GESTURE_MILLISECONDS)

    def _to(self, hand: ActionChains, place: Place) -> ActionChains:
        size = self.stage.size
        x, y = ((place[0] - 0.5) * (size["width"] - 4), (place[1] - 0.5) * (size["height"] - 4))
        return hand.move_to_element_with_offset(self.stage, round(x), round(y))

    def _in_window(self, place: Place) -> Place:
        script = (
            "const r = arguments[0].getBoundingClientRect(); return [r.x, r.y, r.width, r.height]"
        )
        x, y, width, height = self.page.driver.execute_script(script, self.stage)
        return x + place[0] * width, y + place[1] * height

    def _part(self, row: WebElement, name: str) -> WebElement:
        return row.find_element("css selector", f"[data-part={name}]")
