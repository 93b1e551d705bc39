"""The sampling worker, a process of its own: draws what is missing, and ends when nothing is.

python -m fedshow_server.samples.worker --data DIR --steps N [--scorer NAME [--scorer-folder DIR]]

It may be ended at any moment: every picture is kept at once, and none is drawn again.
"""

import argparse
import logging
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from fedshow.concepts import ConceptFile, read_concept
from fedshow.device import choose_device
from fedshow.errors import BaseMismatch, NotFound, RefusedConcept
from fedshow_server.children import die_with_parent
from fedshow_server.folder import DataFolder, DescribedBase
from fedshow_server.releasing.fetching import open_release
from fedshow_server.samples.current import current_releases
from fedshow_server.samples.pictures import pictures_of
from fedshow_server.samples.scorer import ScorerChoice
from fedshow_server.store import Store
from fedshow_server.store.samples import Sample, Subject
from fedshow_server.upkeep.logs import set_up_logs

if TYPE_CHECKING:
    from fedshow.families import Base
    from fedshow.sampling.model import Model
    from fedshow.scoring.scorers import Scorer

log = logging.getLogger(__name__)


def main() -> None:
    """Exit status 0: all that can be drawn is drawn, or somebody else wants the card."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--scorer", default="")
    parser.add_argument("--scorer-folder", type=Path)
    arguments = parser.parse_args()
    folder = DataFolder(arguments.data)
    die_with_parent()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    set_up_logs("text", "info")
    described = folder.base()
    assert described is not None, "the server describes its base before anything is drawn"
    store = folder.open_store()
    try:
        with folder.workplace("sampling") as work:
            scorer = ScorerChoice(arguments.scorer, arguments.scorer_folder)
            Sampler(store, described, arguments.steps, scorer, work).work()
    finally:
        store.close()


class Sampler:
    """Draws concepts one after another on one base; then measures them in releases."""

    def __init__(
        self,
        store: Store,
        described: DescribedBase,
        steps: int,
        choice: ScorerChoice,
        work: Path,
    ) -> None:
        self._store, self._described, self._steps = store, described, steps
        self._choice, self._work = choice, work
        self._device = choose_device()
        self._base: Base | None = None
        self._scorer: Scorer | None = None

    def work(self) -> None:
        """Until nothing is missing that can be had."""
        while (subject := self._store.samples.next(self._choice.name)) is not None:
            self._draw_or_give_up(subject)
        self._base = None
        if self._choice.name:
            self._measure_releases()

    def _draw_or_give_up(self, subject: Subject) -> None:
        base = self._open_base()
        self._open_scorer(base)  # what is wrong with it is no failure of the concept's
        try:
            concept = self._file_of(subject)
        except (NotFound, RefusedConcept, BaseMismatch) as error:
            log.warning("%s cannot be drawn: %s", subject.name, error)
            return self._store.samples.give_up(subject)
        with self._begun(subject, concept.header.rank):
            self._draw(subject, concept, base)
        return None

    def _file_of(self, subject: Subject) -> ConceptFile:
        """Checked again: disks lose bits."""
        with self._store.blobs.open(subject.sha256) as source:
            concept = read_concept(source.read(), self._described.card)
        if concept.sha256 != subject.sha256:
            raise RefusedConcept(f"sha256 {concept.sha256[:12]}… is there")
        return concept

    @contextmanager
    def _begun(self, subject: Subject, rank: int) -> Iterator[None]:
        """Inside, the concept is drawn; what goes wrong counts as a failure, being ended does not."""
        self._store.samples.begin(subject, rank)
        try:
            yield
        except SystemExit:
            self._store.samples.rest(subject)
            raise
        except Exception:
            log.exception("%s was not drawn", subject.name)

    def _draw(self, subject: Subject, concept: ConceptFile, base: "Base") -> None:
        from fedshow.sampling.model import Model
        from fedshow_server.samples.measuring import measure_own

        log.info("drawing %s", subject.name)
        model = Model(base)
        try:
            model.add_concept(concept)
            if not (kept := self._drawn(subject, model)):
                return
            scorer = self._open_scorer(base)
            measure = None
            if scorer is not None:
                measure = measure_own(scorer, self._choice.name, model, subject.name, kept)
            self._store.samples.finish(subject, measure)
        finally:
            model.restore()

    def _drawn(self, subject: Subject, model: "Model") -> list[Sample]:
        """All its pictures, those drawn now that were missing; none when the concept goes away meanwhile."""
        there = {picture.number for picture in self._store.samples.of(subject)}
        wanted = [one for one in pictures_of(subject.name) if one.number not in there]
        for scale in sorted({one.scale for one in wanted}):
            at_once = [one for one in wanted if one.scale == scale]
            prompts = [one.prompt for one in at_once]
            images = model(prompts, seed=at_once[0].seed, steps=self._steps, scale=scale).images
            drawn = zip(at_once, images, strict=True)
            kept = [one.kept(image, self._steps) for one, image in drawn]
            if not self._store.samples.add(subject, kept):
                break
        return self._store.samples.of(subject)

    def _measure_releases(self) -> None:
        """Every concept in every release that is somebody's latest."""
        releases = current_releases(self._store)
        while found := self._store.samples.unmeasured(releases, self._choice.name):
            release, subjects = found
            releases.discard(release)
            try:
                self._measure_release(release, subjects)
            except Exception:
                log.exception("nothing was measured in release %s", release)

    def _measure_release(self, release: str, subjects: list[Subject]) -> None:
        from fedshow_server.samples.measuring import measure_fused

        log.info("measuring %d concepts in release %s", len(subjects), release)
        model = open_release(self._store, release, self._work, self._device)
        scorer = self._open_scorer(model.base)
        for subject in subjects:
            pictures = self._store.samples.of(subject)
            if scorer and subject.measure and pictures:
                identity = measure_fused(scorer, model, subject.measure, pictures)
                self._store.samples.measured(release, subject, self._choice.name, identity)

    def _open_base(self) -> "Base":
        """Raises BaseMismatch when other weights are there than the concepts were made for."""
        from fedshow.sampling.loading import load  # torch: takes seconds

        if self._base is None:
            name, wanted = self._described.base, self._described.card.sha256
            base = load(name, device=self._device).restore()
            if base.card.sha256 != wanted:
                raise BaseMismatch(
                    f"base {name!r} is {base.card.sha256[:12]}… now, concepts were made for {wanted[:12]}…"
                )
            self._base = base
        return self._base

    def _open_scorer(self, base: "Base") -> "Scorer | None":
        from fedshow.scoring.scorers import scorer_of

        if self._scorer is None and self._choice.name:
            self._scorer = scorer_of(base, self._choice.folder)
        return self._scorer


if __name__ == "__main__":
    main()
