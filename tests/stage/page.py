"""What a person does with a page and sees on it."""

import io
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, TypeVar
from urllib.parse import urlsplit

from PIL import Image
from selenium.common.exceptions import StaleElementReferenceException, WebDriverException
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

from fedshow_server.web.sessions import COOKIE
from tests.stage.waiting import PATIENCE_SECONDS

AXE = files("axe_core_python") / "axe.min.js"
POLL_SECONDS, COLOURS = 0.05, 200
FAULTS = ("serious", "critical")
OF_A_PAGE_BEFORE = "does not belong to the document"
"""What the driver also says of a stale element, when a whole page took its page's place."""
PHONE, DESK = (360, 740), (1280, 900)
T = TypeVar("T")
RUN_AXE = """
const done = arguments[0];
axe.run(document, {resultTypes: ["violations"]}).then(
  (found) => done(found.violations.map((fault) => [
    fault.impact, fault.id, fault.nodes.map((node) => node.target.join(" "))])),
  (error) => done([["critical", String(error), []]]));
"""
COME_NEAR = """
const [found, done] = arguments;
const come = () => found.scrollIntoView({block: "center"});
come();
requestAnimationFrame(() => requestAnimationFrame(() => { come(); done(); }));
"""
"""What is far below is laid out only when one comes there, as a person does before clicking."""


class Page:
    """One tab at one server; `faults` is what the browser complained of, which is nothing."""

    def __init__(self, driver: Chrome, address: str, scheme: str = "https") -> None:
        self.driver = driver
        self.origin = f"{scheme}://{address}"
        self._excused: list[str] = []
        self.driver.get("about:blank")  # the page before this asks no more, its server may be gone
        self.be(DESK)
        self.look("light")
        self.driver.execute_cdp_cmd("Network.clearBrowserCookies", {})
        self.faults()

    # what a person does

    def go(self, path: str) -> None:
        """Opens the page at this path."""
        self.driver.get(f"{self.origin}{path}")

    def click(self, words: str) -> None:
        """Clicks the link or button that says just this."""
        says = f"normalize-space()={words!r}"

        def clicked(_: Chrome) -> bool:
            found = self.one(f"//a[{says}] | //button[{says}]")
            self.driver.execute_async_script(COME_NEAR, found)
            found.click()
            return True

        self._until(clicked)  # again, if the page has put another in its place meanwhile

    def fill(self, label: str, text: str) -> None:
        """Types into the field with this label."""
        where = f"//*[@id=//label[normalize-space()={label!r}]/@for]"

        def filled(_: Chrome) -> bool:
            field = self.one(where)
            if field.tag_name == "input":
                field.clear()
            field.send_keys(text)
            return True

        self._until(filled)

    def press(self, where: str, *keys: str) -> None:
        """Types into the element there, also when the page replaces it just now."""

        def pressed(_: Chrome) -> bool:
            self.one(where).send_keys(*keys)
            return True

        self._until(pressed)

    def sign_in(self, token: str) -> None:
        """Signs in with the form that is shown."""
        self.fill("Token", token)
        self.click("Sign in")

    def may_paste(self) -> None:
        """Lets pages use the clipboard."""
        wanted = ["clipboardReadWrite", "clipboardSanitizedWrite"]
        about = {"origin": self.origin, "permissions": wanted}
        self.driver.execute_cdp_cmd("Browser.grantPermissions", about)

    # what a person sees

    @property
    def path(self) -> str:
        """Path and query of the address."""
        parts = urlsplit(self.driver.current_url)
        return f"{parts.path}?{parts.query}" if parts.query else parts.path

    @property
    def text(self) -> str:
        """All that can be read."""
        return self._until(lambda driver: (driver.find_element(By.TAG_NAME, "body").text,))[0]

    def one(self, where: str) -> WebElement:
        """The element at this XPath or, without slashes, CSS selector; waits for it."""
        kind = (By.XPATH, where) if "/" in where else (By.CSS_SELECTOR, where)
        return self._until(lambda driver: driver.find_elements(*kind), f"no {where}")[0]

    def all(self, selector: str) -> list[WebElement]:
        """The elements of this CSS selector that are there now."""
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def texts(self, selector: str) -> list[str]:
        """What they say, also when the page replaces them just now."""
        said = self._until(lambda _: ([found.text for found in self.all(selector)],))
        return said[0]

    def sees(self, words: str) -> None:
        """Waits until these words can be read."""
        self._until(lambda _: words in self.text, f"nobody sees {words!r}")

    def is_painted(self, selector: str) -> bool:
        """Whether the first picture there has come and can be seen."""
        shown = f"const it = document.querySelector({selector!r}); return it.naturalWidth > 0"
        return bool(self._until(lambda driver: driver.execute_script(shown)))

    def pasted(self) -> str:
        """What was copied last."""
        read = "navigator.clipboard.readText().then(arguments[0], arguments[0])"
        return str(self.driver.execute_async_script(read))

    def calls(self, part: str) -> int:
        """How often the page asked for an address with this in it."""
        names = "return performance.getEntriesByType('resource').map((entry) => entry.name)"
        return sum(part in name for name in self.driver.execute_script(names))

    def overflows(self) -> bool:
        """Whether one has to scroll sideways."""
        return bool(
            self.driver.execute_script("return document.documentElement.scrollWidth > innerWidth")
        )

    def serious_faults(self) -> list[str]:
        """What axe finds that keeps somebody out."""
        if not self.driver.execute_script("return 'axe' in window"):
            self.driver.execute_script(AXE.read_text())
        found: list[Any] = self.driver.execute_async_script(RUN_AXE)
        return [
            f"{name} at {', '.join(where)}" for impact, name, where in found if impact in FAULTS
        ]

    # how the browser is

    def be(self, size: tuple[int, int]) -> None:
        """Makes the window as large as a phone's or a desk's."""
        width, height = size
        metrics = {
            "width": width,
            "height": height,
            "deviceScaleFactor": 1,
            "mobile": size == PHONE,
        }
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def look(self, scheme: str) -> None:
        """Prefers `light` or `dark`."""
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})

    def hold(self, session: str) -> None:
        """Is signed in with this session."""
        cookie = {"name": COOKIE, "value": session, "url": self.origin, "path": "/"}
        flags = {"secure": True, "httpOnly": True, "sameSite": "Strict"}
        self.driver.execute_cdp_cmd("Network.setCookie", {**cookie, **flags})

    def picture(self, file: Path) -> None:
        """Keeps what is seen as PNG, in as many colours as one can tell apart."""
        seen = Image.open(io.BytesIO(self.driver.get_screenshot_as_png())).convert("RGB")
        seen.quantize(COLOURS).save(file, optimize=True)

    # what must not be

    def excuse(self, words: str) -> None:
        """The test itself provokes complaints with these words."""
        self._excused.append(words)

    def faults(self) -> list[str]:
        """What the browser complained of: failed scripts, what the policy forbade, what was not there."""
        entries = self.driver.get_log("browser")  # type: ignore[no-untyped-call]
        said = [entry["message"] for entry in entries if entry["level"] in ("SEVERE", "WARNING")]
        return [text for text in said if not any(words in text for words in self._excused)]

    def _until(self, check: Callable[[Chrome], T], message: str = "") -> T:
        """What `check` returns, once it is true; asked again when the page it looked at was replaced."""

        def checked(driver: Chrome) -> T | Literal[False]:
            try:
                return check(driver)
            except StaleElementReferenceException:
                return False
            except WebDriverException as error:
                if OF_A_PAGE_BEFORE in str(error.msg):
                    return False
                raise

        return WebDriverWait(self.driver, PATIENCE_SECONDS, POLL_SECONDS).until(checked, message)
