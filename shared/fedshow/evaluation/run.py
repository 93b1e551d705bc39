"""An evaluation from beginning to end: draw, measure, report."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import torch

from fedshow.errors import InvalidInput
from fedshow.evaluation.candidates import Candidate, check_base
from fedshow.evaluation.features import Features, scorer_key
from fedshow.evaluation.lineup import Lineup
from fedshow.evaluation.measuring import Drawn, Found, Measuring
from fedshow.evaluation.pictures import OnPictures, Pictures, drawn_with
from fedshow.evaluation.plans import Plan, plans_for
from fedshow.evaluation.report import Report, model_scores
from fedshow.evaluation.settings import Settings
from fedshow.families import Base
from fedshow.families.locating import TOYWORLD, public_name
from fedshow.families.placing import settle
from fedshow.sampling.loading import load
from fedshow.sampling.model import Model
from fedshow.saying import OnProgress, Say, counter
from fedshow.scoring.scorers import Scorer, own_scorer

Progress = Callable[[str], AbstractContextManager[OnProgress]]
"""A bar with a title; told how much is done and how much there is."""


@dataclass(frozen=True)
class Place:
    """Where an evaluation computes, and where it keeps what it drew and found."""

    work: Path
    """Pictures and their features, never those of references."""

    device: str = "cpu"


def evaluate(
    lineup: Lineup,
    settings: Settings,
    scorers: Sequence[Path],
    place: Place,
    say: Say,
    progress: Progress,
) -> tuple[Report, list[Drawn]]:
    """The report and the pictures that it is about.

    One model is in memory at a time, after the last one the scorers, one by one. What lies in the work
    folder is neither drawn nor looked at again. Raises InvalidInput before anything is drawn.
    """
    opened = open_scorers(lineup, scorers, "cpu")
    plans = plans_for(lineup, settings)
    if lineup.base is None and settings.drift:
        say("no drift: the models are of a base of somebody's own; name it with --base")
    with progress("drawing") as on_progress:
        drawn = _draw_all(plans, lineup, place, say, _counting(plans, on_progress))
    if place.device != "cpu":
        opened = open_scorers(lineup, scorers, place.device)
    found = {
        scorer.name: _measure(scorer, key, lineup, drawn, place, progress) for scorer, key in opened
    }
    report = Report(
        base=None if lineup.base is None else public_name(lineup.base),
        prompts=settings.prompts,
        seeds=settings.seeds,
        steps=settings.steps,
        scorers=list(found),
        among={scorer: one.among for scorer, one in found.items()},
        models=model_scores(drawn, found),
    )
    return report, drawn


def open_scorers(lineup: Lineup, paths: Sequence[Path], device: str) -> list[tuple[Scorer, str]]:
    """Every scorer that was named, else the base's own, and what names its findings.

    Raises InvalidInput when there is none, or two would have one name in the report.
    """
    if not paths:
        own = own_scorer(TOYWORLD) if lineup.is_toyworld else None
        if own is None:
            raise InvalidInput(
                "this base has no measuring encoder of its own; name CLIP, DINOv2 or ArcFace models "
                "with --scorer"
            )
        return [(own, scorer_key(own, None))]
    from fedshow.scoring.encoders import open_encoder

    found: dict[str, tuple[Scorer, str]] = {}
    for path in paths:
        scorer = open_encoder(path, torch.device(device))
        if scorer.name in found:
            raise InvalidInput(f"two scorers are called {scorer.name!r}; rename a folder")
        found[scorer.name] = scorer, scorer_key(scorer, path)
    return list(found.values())


def _draw_all(
    plans: Sequence[Plan], lineup: Lineup, place: Place, say: Say, on_pictures: OnPictures
) -> list[Drawn]:
    drawn = []
    for plan in plans:
        model = _open(plan, lineup, place.device, say)
        check_base(lineup.candidates, model.base.card.ref)
        digest = plan.candidate.digest or model.base.card.sha256
        pictures = Pictures(place.work / "pictures", drawn_with(model, digest))
        model.tokens.check([text for table in plan.tables for text in table.texts])
        for table in plan.tables:
            pictures.draw(model, table, on_pictures)
        drawn.append((plan, pictures))
        del model  # before the next one comes into memory
    return drawn


def _open(plan: Plan, lineup: Lineup, device: str, say: Say) -> Model:
    def arrange(base: Base, device: str) -> None:
        size = max(table.size(base.sample_pixels) for table in plan.tables)
        at_once = max(table.pictures_at_once(size) for table in plan.tables)
        settle(base, device, say, size[0] * size[1], at_once)

    one: Candidate = plan.candidate
    return load(one.given, lineup.base if one.kind == "concept" else None, device, arrange)


def _counting(plans: Sequence[Plan], on_progress: OnProgress) -> OnPictures:
    return counter(sum(plan.count for plan in plans), on_progress)


def _measure(
    scorer: Scorer,
    key: str,
    lineup: Lineup,
    drawn: Sequence[Drawn],
    place: Place,
    progress: Progress,
) -> Found:
    with progress(f"measuring with {scorer.name}") as on_progress:
        features = Features(place.work / "features", scorer, key)
        counted = _counting([plan for plan, _ in drawn], on_progress)
        return Measuring(lineup, features, counted)(drawn)
