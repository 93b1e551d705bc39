"""What is compared: models of one base, concepts that they hold, pictures of the real ones, scenes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fedshow.concepts.names import mentioned, words_of
from fedshow.errors import InvalidInput
from fedshow.evaluation.candidates import Candidate, base_of, classes_of, read_candidate
from fedshow.families.locating import TOYWORLD
from fedshow.sampling import carried
from fedshow.sampling.recipe import Recipe


@dataclass(frozen=True)
class Scene:
    """A picture with regions, to be drawn anew by every model that holds its concepts."""

    name: str
    recipe: Recipe
    concepts: tuple[str | None, ...]
    """Whom each region shows; None for a region of no concept, or several."""

    @property
    def shown(self) -> set[str]:
        """All of them."""
        return {name for name in self.concepts if name is not None}


@dataclass(frozen=True)
class Lineup:
    """Everything that an evaluation compares."""

    candidates: Sequence[Candidate]
    base: str | None
    """What they are all of; None when it is somebody's own and was not named."""

    classes: Mapping[str, str]
    """The concepts to evaluate, and the class word of each."""

    references: Mapping[str, Path] = field(default_factory=dict)
    """Folders of private pictures."""

    scenes: Sequence[Scene] = ()

    @property
    def is_toyworld(self) -> bool:
        """Whether these are models of the embedded base."""
        names = (one.base.name for one in self.candidates if one.base is not None)
        return (self.base or next(names, None)) == TOYWORLD


def line_up(
    models: Sequence[str],
    base: str | None = None,
    references: Mapping[str, Path] | None = None,
    scenes: Sequence[Path] = (),
) -> Lineup:
    """All that was named, looked at without loading weights; raises InvalidInput for what does not fit."""
    candidates = [read_candidate(model) for model in dict.fromkeys(models)]
    found = base_of(candidates, base)
    references = references or {}
    classes = classes_of(candidates, references)
    read = [_scene(path, classes) for path in scenes]
    _check_names([scene.name for scene in read])
    _check_all_serve(candidates, classes, read)
    return Lineup(candidates, found, classes, references, read)


def _scene(file: Path, classes: Mapping[str, str]) -> Scene:
    said = carried.read(file)
    if said.image_sha256 is not None:
        raise InvalidInput(f"scene {file} began with an image, which it does not carry")
    recipe = said.recipe.recipe()
    known = {name: words_of(name) for name in said.model.concepts}
    named = [mentioned(region.prompt, known) for region in recipe.regions]
    concepts = tuple(names[0] if len(names) == 1 else None for names in named)
    if not any(concepts):
        raise InvalidInput(f"scene {file} has no region that names one concept")
    scene = Scene(file.name, recipe, concepts)
    for name in sorted(scene.shown - {*classes}):
        raise InvalidInput(f"scene {file} shows <{name}>, which is not evaluated here")
    return scene


def _check_all_serve(
    candidates: Sequence[Candidate], classes: Mapping[str, str], scenes: Sequence[Scene]
) -> None:
    """Raises InvalidInput for a model or a scene that nothing can be measured of."""
    for one in candidates:
        if one.kind != "base" and not {*classes} & {*one.classes}:
            raise InvalidInput(f"{one.name} holds none of {', '.join(f'<{n}>' for n in classes)}")
    for scene in scenes:
        if not any(scene.shown <= {*one.classes} for one in candidates):
            named = ", ".join(f"<{name}>" for name in sorted(scene.shown))
            raise InvalidInput(f"scene {scene.name}: no model here holds all of {named}")


def _check_names(names: Sequence[str]) -> None:
    if len({*names}) < len(names):
        raise InvalidInput(f"two scenes are called {max(names, key=names.count)}; rename one")
