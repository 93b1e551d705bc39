"""The page about a run: complete, valid, readable by people and machines, nothing private on it."""

from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest

from fedshow.demo.folders import Person
from fedshow.scoring.scorers import ToyworldScorer
from fedshow_client.tuning.checkpoint import Progress
from fedshow_client.tuning.data.folder import scan
from fedshow_client.tuning.recipe import Recipe
from fedshow_client.tuning.trainer import Trainer
from fedshow_client.tuning.watching.curves import MOST_POINTS, Chart, Line, smoothed, thinned, ticks
from fedshow_client.tuning.watching.looks import History, Look
from fedshow_client.tuning.watching.report import MOST_LOOKS, render
from fedshow_client.tuning.watching.settings import WatchSettings
from fedshow_client.tuning.watching.watch import Watch
from tests.client.tuning.watching.conftest import plain_samples

VOID = {"meta", "img", "br"}
MakeWatch = Callable[..., Watch]


class Page(HTMLParser):
    """Fails on tags that are not closed in order; keeps elements and text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs), f"an attribute twice in {tag}"
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture
def make_watch(make_trainer: Callable[..., Trainer], person: Person, tmp_path: Path) -> MakeWatch:
    """A watch of 800 steps that has had looks at the steps given."""

    def make(*steps: int, **settings: object) -> Watch:
        watch = Watch(
            make_trainer().model,
            name="gloop",
            class_word="monster",
            images=scan(person.images).accepted,
            work=tmp_path,
            recipe=Recipe(steps=800),
            settings=WatchSettings(**settings),  # type: ignore[arg-type]
            scorer=ToyworldScorer(),
        )
        rows = [[0.1, 0.2, 0.3], [0.4, 0.5, 0.6], [0.7, 0.8, 0.9]]
        watch.history = History("run", [Look(step, rows, rows) for step in steps])
        for step in steps:
            watch.folder.save(step, plain_samples())
        return watch

    return make


def progress(step: int) -> Progress:
    return Progress(step, [1 / (1 + index) for index in range(step)], seconds=61.0)


def test_the_page_holds_everything_and_needs_nothing(make_watch: MakeWatch) -> None:
    html = render(make_watch(400, 800), progress(800), {"base": "toyworld"}, ["Leaks <nothing>."])
    page = Page(html)
    assert html.startswith("<!doctype html>")
    assert page.all("html") == [{"lang": "en"}]
    assert len(page.all("h1")) == 1
    assert not page.all("script")
    assert not page.all("link")
    assert "http" not in html.replace('name="viewport"', "")
    assert "@import" not in html
    pictures = page.all("img")
    assert len(pictures) == 2 * 9
    assert all(str(p["src"]).startswith("data:image/png;base64,") for p in pictures)
    assert len({p["alt"] for p in pictures}) == len(pictures)
    assert "a <gloop> on the beach, scale 0.7, step 400" in {p["alt"] for p in pictures}
    assert [c["role"] for c in page.all("svg") if "role" in c] == ["img", "img"]
    assert "Loss over steps: each step from 1 to 0.00125" in page.text
    for text in ("Tuned in 800 steps (0:01:01).", "Leaks <nothing>.", "toyworld", "lr_unet"):
        assert text in page.text
    assert "Step 800 (kept)" in page.text
    assert "prefers-color-scheme: dark" in page.text


def test_nothing_private_is_on_the_page(make_watch: MakeWatch, person: Person) -> None:
    html = render(make_watch(400), progress(400), {})
    assert "none of the private pictures" in html
    for path in person.images.iterdir():
        assert path.stem not in html
        assert str(path.parent) not in html
    for caption in person.images.glob("*.txt"):
        assert caption.read_text().strip() not in html


def test_a_page_before_the_first_step_and_without_looks(make_watch: MakeWatch) -> None:
    page = Page(render(make_watch(samples=False), Progress(), {}))
    assert not page.all("img")
    assert "No pictures were drawn" in page.text
    assert "Still being tuned: 0 of 800 steps" in page.text


def test_the_page_stays_small_when_there_were_many_looks(make_watch: MakeWatch) -> None:
    watch = make_watch(*range(10, 810, 10))
    low = [[0.1] * 3] * 3
    watch.history.looks = [
        Look(look.step, low, low) if look.step > 330 else look for look in watch.history.looks
    ]
    page = Page(render(watch, progress(800), {}))
    steps = {int(str(p["alt"]).rpartition(" ")[2]) for p in page.all("img")}
    assert len(steps) <= MOST_LOOKS + 1
    assert {330, 800} <= steps, "the kept look and the last"


def test_pictures_that_are_lost_are_left_out(make_watch: MakeWatch) -> None:
    watch = make_watch(400, 800)
    next(watch.folder.folder.glob("step000400*")).unlink()
    next(watch.folder.folder.glob("step000800*")).write_bytes(b"broken")
    assert not Page(render(watch, progress(800), {})).all("img")


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 200, [0, 50, 100, 150, 200]),
        (0.31, 0.88, [0.2, 0.4, 0.6, 0.8, 1.0]),
        (0, 7, [0, 2, 4, 6, 8]),
        (0.5, 0.5, [0.5, 0.6]),
        (0, 0, [0, 0.2]),
        (-0.2, 0.9, [-0.5, 0, 0.5, 1.0]),
    ],
)
def test_ticks_are_round_and_enclose(low: float, high: float, expected: list[float]) -> None:
    found = ticks(low, high)
    assert found[0] <= low
    assert found[-1] >= high
    assert found[-1] > found[0]
    assert found == pytest.approx(expected)


@pytest.mark.parametrize("count", [1, 2, 300, 301, 600, 100_000])
def test_long_curves_are_thinned_and_keep_their_end(count: int) -> None:
    values = [float(index) for index in range(1, count + 1)]
    for points in (thinned(values), smoothed(values)):
        assert len(points) <= MOST_POINTS
        assert (points[0][0], points[-1][0]) == (1, count)
    assert thinned(values)[-1][1] == count
    assert smoothed([5.0] * count)[-1][1] == pytest.approx(5.0)


def test_a_chart_of_one_point_and_of_equal_values_is_drawn() -> None:
    for points in ([(1.0, 0.5)], [(1.0, 0.0), (2.0, 0.0)]):
        svg = Chart("One", "loss", [Line("a < b", points, "one")], mark=1).svg()
        page = Page(svg)
        assert "a < b" in page.text
        assert "nan" not in svg
