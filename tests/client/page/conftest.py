"""The page of a home, served as the daemon serves it, and somebody who looks at it without a browser."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from html import unescape
from pathlib import Path

import httpx
import pytest

from fedshow_client.home import Home
from fedshow_client.page.entering import Entering
from fedshow_client.page.serving import page_served
from fedshow_client.queue import Queue
from tests.stage.waiting import PATIENCE_SECONDS, free_port

CSRF = re.compile(r'name="csrf" content="(\w+)"')


@dataclass
class Visitor:
    """Signed in, and sends what a page of ours would send."""

    client: httpx.Client
    room: str
    origin: str

    def get(self, path: str, **headers: str) -> httpx.Response:
        return self.client.get(f"{self.room}{path}", headers=headers)

    def post(self, path: str, **fields: str) -> httpx.Response:
        shown = CSRF.search(self.get("").text)
        assert shown
        form = {"csrf": shown[1], **fields}
        return self.client.post(f"{self.room}{path}", data=form, headers={"origin": self.origin})

    def text(self, path: str) -> str:
        answer = self.get(path)
        assert answer.status_code == 200, answer.text
        return unescape(answer.text)


@pytest.fixture
def entering(place: Home) -> Entering:
    place.make()
    return Entering(place)


@pytest.fixture
def port(place: Home, queue: Queue, entering: Entering) -> Iterator[int]:
    """The served page's port; the daemon's lock is held as by a daemon."""
    wanted = free_port()
    with place.one_daemon(), page_served(place, queue, wanted):
        yield wanted


@pytest.fixture
def stranger(port: int) -> Iterator[httpx.Client]:
    """Somebody who has nothing but the port."""
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE_SECONDS) as client:
        yield client


@pytest.fixture
def visitor(port: int, entering: Entering) -> Iterator[Visitor]:
    """This user, signed in."""
    origin = f"http://127.0.0.1:{port}"
    with httpx.Client(base_url=origin, timeout=PATIENCE_SECONDS) as client:
        found = Visitor(client, entering.room, origin)
        code = entering.address().partition("#")[2]
        answer = client.post(
            f"{entering.room}/sign-in", data={"code": code}, headers={"origin": origin}
        )
        assert answer.status_code == 303, answer.text
        yield found


@pytest.fixture
def in_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Makes a folder in this test's user's home."""
    monkeypatch.setenv("HOME", str(tmp_path))

    def make(name: str) -> Path:
        folder = tmp_path / name
        folder.mkdir(parents=True)
        return folder

    return make
