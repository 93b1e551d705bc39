"""The drawing worker, a process of its own: makes what is queued, and ends when nothing is.

python -m fedshow_server.drawing.worker --data DIR --pixels N
"""

import argparse
import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING

from fedshow.device import choose_device
from fedshow.documents import BadDocument, read_document
from fedshow.errors import FedshowError
from fedshow.sampling.carried import carried, check, save
from fedshow.sampling.document import RecipeDocument
from fedshow_server.children import die_with_parent
from fedshow_server.drawing.orders import check_concepts, check_pixels
from fedshow_server.folder import DataFolder
from fedshow_server.releasing.fetching import open_release
from fedshow_server.store import Drawing, Release, Store
from fedshow_server.upkeep.logs import set_up_logs

if TYPE_CHECKING:
    from fedshow.sampling.model import Model

log = logging.getLogger(__name__)

IDLE_SECONDS = 20.0
"""So long the last release stays in memory for whoever asks next."""

TURN_SECONDS = 120.0
"""After so long a fusion that waits for the card has its turn."""

TOLD_SECONDS = 0.25
"""Between two words of progress."""


def main() -> None:
    """Exit status 0: nothing is queued any more, or others have their turn."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--pixels", type=int, required=True)
    arguments = parser.parse_args()
    folder = DataFolder(arguments.data)
    die_with_parent()
    set_up_logs("text", "info")
    store = folder.open_store()
    try:
        with folder.workplace("drawing") as work:
            Painter(store, folder, arguments.pixels, work).work()
    finally:
        store.close()


class Cancelled(Exception):
    """Nobody wants the drawing any more."""


class Painter:
    """Draws what is queued, with the release used last in memory."""

    def __init__(self, store: Store, folder: DataFolder, pixels: int, work: Path) -> None:
        self._store, self._folder, self._pixels, self._work = store, folder, pixels, work
        self._opened: tuple[str, Model] | None = None

    def work(self) -> None:
        """Until nothing came for a while, or it is somebody else's turn."""
        began = last = time.monotonic()
        while time.monotonic() - last < IDLE_SECONDS and time.monotonic() - began < TURN_SECONDS:
            drawing = self._store.drawings.claim()
            if drawing is None:
                time.sleep(TOLD_SECONDS)
                continue
            self._make(drawing)
            last = time.monotonic()

    def _make(self, drawing: Drawing) -> None:
        log.info("drawing %s with release %s", drawing.id, drawing.release_id)
        try:
            self._draw(drawing)
        except Cancelled:
            log.info("drawing %s was cancelled", drawing.id)
        except (FedshowError, BadDocument) as error:
            log.warning("drawing %s failed: %s", drawing.id, error)
            self._store.drawings.fail(drawing.id, str(error))
        except Exception:
            log.exception("drawing %s failed", drawing.id)
            self._store.drawings.fail(drawing.id, "the server could not draw it; its log says why")
        else:
            self._store.drawings.finish(drawing.id)

    def _draw(self, drawing: Drawing) -> None:
        recipe = read_document(RecipeDocument, drawing.recipe).recipe()
        check_concepts(recipe, self._still_shown(drawing))
        model = self._open(drawing.release_id)
        check_pixels(recipe, self._pixels, model.base.sample_pixels)
        told = 0.0

        def on_step(done: int, steps: int) -> None:
            nonlocal told
            if done < steps and time.monotonic() - told < TOLD_SECONDS:
                return
            told = time.monotonic()
            if not self._store.drawings.progress(drawing.id, done, steps):
                raise Cancelled

        check(model, recipe)
        images = model.draw(recipe, on_step).images
        out = self._folder.drawings / drawing.id
        out.mkdir(parents=True, exist_ok=True)
        for number, image in enumerate(images):
            save(image, out / f"{number + 1}.png", carried(model, recipe, number))

    def _still_shown(self, drawing: Drawing) -> Release:
        """Its release; raises NotFound when whoever asked may not have it any more."""
        asker = next(node for node in self._store.members.nodes() if node.id == drawing.node_id)
        return self._store.releases.seen_by(asker).get(drawing.release_id)

    def _open(self, release: str) -> "Model":
        if self._opened is None or self._opened[0] != release:
            self._opened = None  # before the next one is opened: a card holds one
            model = open_release(self._store, release, self._work, choose_device())
            self._opened = release, model
        return self._opened[1]


if __name__ == "__main__":
    main()
