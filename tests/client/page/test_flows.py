"""Flows in a real browser, against a real daemon that tunes with a stand-in."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image
from selenium.webdriver import Chrome
from selenium.webdriver.support.select import Select

from fedshow.transfer.servers import KnownServer, save_server
from fedshow.v1 import concepts_pb2
from fedshow_client.home import Home
from fedshow_client.queue import JobState, Queue
from tests.client.conftest import ReleaseHost, wait_for
from tests.conftest import Call
from tests.stage.browser import chromium, prepare_chromium
from tests.stage.page import DESK, PHONE, Page
from tests.stage.waiting import PATIENCE_SECONDS, free_port

SCREENSHOTS = os.environ.get("FEDSHOW_SCREENSHOTS")
IMAGES = Path(__file__).parents[3] / "docs" / "images"
DAEMON = """
from fedshow_client.daemon import link, service, tuner
from fedshow_client.settings import load_settings
link.keep_node = lambda *arguments: arguments[-1].wait()  # Flower's programs play no part here
tuner.ENTRY = "stand_in_tuner:main"
daemon = service.Daemon(load_settings())
daemon.end_on_signals()
daemon.run()
"""


class LivingDaemon:
    """A process that can be ended and started again."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.process = subprocess.Popen([sys.executable, "-c", DAEMON])

    def end(self) -> None:
        if self.process:
            self.process.terminate()
            assert self.process.wait(PATIENCE_SECONDS) == 0
        self.process = None


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    if missing := prepare_chromium():
        pytest.skip(missing)
    home = tmp_path_factory.mktemp("chromium")
    with chromium(home, (), home) as found:
        yield found


@pytest.fixture
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Four good images and one that cannot be read, in this user's home."""
    from fedshow.demo.folders import Person, draw_images

    monkeypatch.setenv("HOME", str(tmp_path))
    person = Person("alice", "gloop", tmp_path)
    draw_images(person, seed=0)
    folder = person.images
    for number in range(5, 9):
        for path in folder.glob(f"gloop-{number}*"):
            path.unlink()
    Image.new("RGB", (9, 9)).save(folder / "tiny.png")
    (folder / "broken.jpg").write_bytes(b"no picture")
    return folder


@pytest.fixture
def go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, concept_blob: Callable[..., bytes]) -> Path:
    """What lets the stand-in go on beyond its half."""
    result = tmp_path / "result.safetensors"
    result.write_bytes(concept_blob("gloop", "monster", metrics={"leakage": 0.09}))
    monkeypatch.setenv("STAND_IN_RESULT", str(result))
    monkeypatch.setenv("STAND_IN_GO", str(tmp_path / "go"))
    monkeypatch.setenv("STAND_IN_END", str(tmp_path / "end"))
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)
    monkeypatch.setenv("FEDSHOW_CLIENT_PAGE_PORT", str(free_port()))
    monkeypatch.setenv("FEDSHOW_CLIENT_POLL_SECONDS", "0.2")
    return tmp_path / "go"


@pytest.fixture
def daemon(known: object, place: Home, go: Path, pictures: Path) -> Iterator[LivingDaemon]:
    found = LivingDaemon()
    found.start()
    yield found
    found.end()


@pytest.fixture
def page(daemon: LivingDaemon, driver: Chrome, place: Home, call: Call) -> Iterator[Page]:
    """A browser that `fedshow client page` has shown in."""
    wait_for((place.page / "port").exists)
    code, out, err = call("client", "page", "--json")
    assert code == 0, err
    address: str = json.loads(out)["address"]
    found = Page(driver, address.split("/")[2], "http")
    found.go(f"/{address.split('/', 3)[3]}")
    found.sees("Nothing to tune")
    yield found
    assert found.faults() == []


@pytest.fixture
def picture() -> Callable[[Page, str], None]:
    """Keeps a picture of the page for the docs, when FEDSHOW_SCREENSHOTS is set."""

    def keep(page: Page, name: str) -> None:
        if SCREENSHOTS:
            page.picture(IMAGES / f"page-{name}.png")

    return keep


def looks_well(page: Page) -> None:
    """For everybody, in the dark and on a phone."""
    for scheme in ("light", "dark"):
        page.look(scheme)
        for size in (DESK, PHONE):
            page.be(size)
            assert page.serious_faults() == [], (page.path, scheme, size)
            assert not page.overflows(), (page.path, size)
    page.look("light")
    page.be(DESK)


def natural_width(page: Page, where: str) -> int:
    """Of a picture that the browser has loaded; 0 of one that it has not."""
    script = (
        "const i = document.querySelector(arguments[0]); return i?.complete ? i.naturalWidth : 0"
    )
    return int(page.driver.execute_script(script, where))


def add_folder(page: Page, folder: Path) -> None:
    """From the first page to what was found."""
    page.click("Add a folder")
    page.fill("Folder", str(folder))
    page.click("Look at it")
    page.sees("What tuning would use")


def start(page: Page, name: str = "gloop") -> None:
    page.fill("Name", name)
    page.fill("Class", "monster")
    page.click("Start")


def test_the_chosen_server_goes_along_through_the_listing(
    page: Page, known: KnownServer, home: Path
) -> None:
    save_server(known.model_copy(update={"server": "club", "name": "club"}), home)
    page.click("Add a folder")
    for name in ("home", "club"):
        Select(page.one("#server")).select_by_visible_text(name)
        page.click("images")
        page.sees("6 images in it")
        assert page.one("#server").get_property("value") == name
        page.click("The folder above")


def test_add_a_folder_and_watch_it_until_it_is_admitted(
    page: Page, pictures: Path, go: Path, host: ReleaseHost, queue: Queue, picture
) -> None:
    page.excuse("the server responded with a status of 400")  # an impossible name
    looks_well(page)
    page.click("Add a folder")
    page.click("images")  # in the listing of the home
    page.sees("6 images in it")
    looks_well(page)
    page.click("Look at it")
    page.sees("4 of 6 images usable")
    assert page.texts(".card h3") == [
        "broken.jpg", *(f"gloop-{number}.png" for number in range(1, 5)), "tiny.png",
    ]  # fmt: skip
    assert page.texts(".card .badge").count("used") == 4
    assert "cannot be read" in page.text
    assert "9x9 is smaller than 16 pixels" in page.text
    wait_for(lambda: natural_width(page, "img[alt='gloop-2.png']") > 200)
    picture(page, "folder")
    looks_well(page)

    start(page, "No Name!")
    page.sees("'No Name!'")
    assert page.one("#class").get_attribute("value") == "monster"
    page.one("#name").clear()
    start(page)
    page.sees("tuning")
    page.sees("step 50 of 100")
    page.sees("Samples after step 50")
    wait_for(lambda: natural_width(page, "img[alt='photo of a <gloop>, scale 1']") == 64)
    assert page.one("#loss svg path.one")
    looks_well(page)
    go.touch()
    page.sees("Samples after step 100")
    go.with_name("end").touch()
    page.sees("the server fetches it")
    page.sees("0.09: as low as normally tuned concepts")
    host.concepts["gloop"].state = concepts_pb2.CONCEPT_STATE_ADMITTED
    page.sees("uploaded and admitted")
    assert queue.find("gloop").state == JobState.ADMITTED
    page.click("Concepts")
    page.sees("uploaded and admitted")
    looks_well(page)


def test_pause_resume_and_withdraw(
    page: Page, pictures: Path, host: ReleaseHost, queue: Queue, place: Home
) -> None:
    add_folder(page, pictures)
    start(page)
    page.sees("step 50 of 100")
    page.click("Pause")
    page.sees("paused")
    assert queue.find("gloop").paused
    wait_for(lambda: not queue.leased(queue.find("gloop")))
    page.sees("step 50 of 100")
    page.fill("Priority; higher ones are tuned first", "7")
    page.click("Set")
    wait_for(lambda: queue.find("gloop").priority == 7)
    page.click("Resume")
    page.sees("tuning")
    page.click("Withdraw…")
    page.sees("Your images stay as they are")
    looks_well(page)
    page.click("Keep it")
    page.click("Withdraw…")
    page.click("Withdraw gloop")
    page.sees("withdrawn")
    assert queue.find("gloop").state == JobState.WITHDRAWN
    wait_for(lambda: not place.job(1).path.exists())
    assert len(list(pictures.iterdir())) == 14
    page.click("History")
    page.sees("withdrawn")
    looks_well(page)
    page.click("Concepts")
    page.sees("No concept yet")


def test_the_page_goes_on_after_the_daemon_was_away(
    page: Page, daemon: LivingDaemon, pictures: Path
) -> None:
    page.excuse("net::ERR_CONNECTION_REFUSED")
    page.excuse("net::ERR_CONNECTION_RESET")
    page.excuse("net::ERR_EMPTY_RESPONSE")
    add_folder(page, pictures)
    start(page)
    page.sees("step 50 of 100")
    daemon.end()
    page.sees("The daemon does not answer")
    daemon.start()
    wait_for(lambda: "does not answer" not in page.text)
    page.sees("step 50 of 100")
    page.click("Pause")
    page.sees("paused")


def test_the_way_in_is_good_once_and_the_way_out_works(page: Page, call: Call, place: Home) -> None:
    page.excuse("the server responded with a status of 403")
    address = call("client", "page")[1].strip()
    page.click("Sign out")
    page.sees("prints an address that leads in, once")
    page.driver.get(address)
    page.sees("Nothing to tune")
    assert "#" not in page.driver.current_url
    page.click("Sign out")
    page.driver.get("about:blank")
    page.driver.get(address)
    page.sees("this code was used already")
    looks_well(page)
