"""Which pictures each model has to draw."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from fedshow.evaluation.candidates import Candidate
from fedshow.evaluation.lineup import Lineup
from fedshow.evaluation.settings import Settings
from fedshow.sampling.recipe import Recipe


@dataclass(frozen=True)
class Plan:
    """One model, and its tables of pictures."""

    candidate: Candidate
    concepts: Mapping[str, Recipe] = field(default_factory=dict)
    """Of the base it is the class word that is drawn."""

    drift: Recipe | None = None
    scenes: Mapping[str, Recipe] = field(default_factory=dict)
    is_shown: bool = True
    """Not a base that nobody named, which is drawn with to compare."""

    @property
    def tables(self) -> Iterator[Recipe]:
        """All of them."""
        yield from self.concepts.values()
        yield from () if self.drift is None else (self.drift,)
        yield from self.scenes.values()

    @property
    def count(self) -> int:
        """How many pictures that is."""
        return sum(len(table.prompts) * len(table.seeds) for table in self.tables)


def plans_for(lineup: Lineup, settings: Settings) -> list[Plan]:
    """One for each model, that of the base first: what others are compared with is there before them."""
    drift = settings.drift_table(lineup.classes) if settings.drift and lineup.base else None
    plans = [_plan(one, lineup, settings, drift) for one in lineup.candidates]
    if drift is not None and not any(plan.candidate.kind == "base" for plan in plans):
        base = Candidate(str(lineup.base), "base", {})
        plans.append(Plan(base, drift=drift, is_shown=False))
    return sorted(plans, key=lambda plan: plan.candidate.kind != "base")


def _plan(one: Candidate, lineup: Lineup, settings: Settings, drift: Recipe | None) -> Plan:
    if one.kind == "base":
        concepts = {n: settings.concept_table(word) for n, word in lineup.classes.items()}
        return Plan(one, concepts, drift)
    concepts = {n: settings.concept_table(f"<{n}>") for n in lineup.classes if n in one.classes}
    scenes = {
        scene.name: replace(scene.recipe, seed=settings.seeds, n=settings.per_prompt)
        for scene in lineup.scenes
        if scene.shown <= {*one.classes}
    }
    return Plan(one, concepts, drift, scenes)
