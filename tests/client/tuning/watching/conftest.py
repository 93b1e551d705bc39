"""Runs of a few steps, with looks that cost nothing where the pictures do not matter."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from PIL import Image

from fedshow.families import Base
from fedshow_client.tuning.tune import TuneRequest
from fedshow_client.tuning.watching import watch
from fedshow_client.tuning.watching.looks import Look
from fedshow_client.tuning.watching.sample_files import prompts_for
from fedshow_client.tuning.watching.samples import Sample
from fedshow_client.tuning.watching.settings import SCALES, WatchSettings
from fedshow_client.tuning.watching.watch import Watch
from tests.client.tuning.conftest import MakeRequest


@pytest.fixture(autouse=True)
def own_scheduler(opened_base: Base) -> Iterator[None]:
    """Drawing changes the scheduler of the base that all tests share; the next test gets it back."""
    before = opened_base.pipeline.scheduler
    yield
    opened_base.pipeline.scheduler = before


@pytest.fixture
def request_in(request_in: MakeRequest) -> MakeRequest:
    """Makes a request for 12 steps with a look after every third, all of it in a folder."""

    def make(
        folder: Path, recipe: dict[str, object] | None = None, **settings: object
    ) -> TuneRequest:
        watch = WatchSettings(**{"sample_steps": 3, **settings})  # type: ignore[arg-type]
        return request_in(folder, {"steps": 12, **(recipe or {})}, checkpoint_steps=4, watch=watch)

    return make


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[int, float]], None]:
    """Gives looks the identity scores of a script, by step; pictures are plain."""

    def follow(script: dict[int, float]) -> None:
        def measure(_: Watch, step: int, samples: Sequence[Sample]) -> Look:
            row = [script[step]] * 3
            return Look(step, [row] * len(SCALES), [[1.0] * 3] * len(SCALES))

        monkeypatch.setattr(Watch, "_measure", measure)
        monkeypatch.setattr(watch, "draw_samples", lambda *_: plain_samples())

    return follow


def plain_samples(name: str = "gloop") -> list[Sample]:
    """One grey picture for every scale and prompt."""
    image = Image.new("RGB", (8, 8), "grey")
    return [Sample(scale, prompt, image) for scale in SCALES for prompt in prompts_for(f"<{name}>")]
