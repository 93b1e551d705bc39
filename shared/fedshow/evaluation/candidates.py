"""The models to evaluate: what each is, which concepts it holds, which base it needs."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from fedshow.concepts import BaseRef, check_class, read_concept
from fedshow.documents import read_json
from fedshow.errors import BaseMismatch, Damaged, InvalidInput
from fedshow.families.locating import is_public, locate
from fedshow.given import Kind, kind_of
from fedshow.releases.file_names import CONCEPTS, MANIFEST
from fedshow.releases.manifest import Manifest
from fedshow.releases.verify import check_concepts


@dataclass(frozen=True)
class Candidate:
    """One model as somebody named it."""

    given: str
    kind: Kind
    classes: Mapping[str, str]
    """Its concepts, and the class word of each."""

    digest: str = ""
    """Of the concept file, or of the release's manifest; a base has its fingerprint."""

    base: BaseRef | None = None
    """What it was made for; a base does not say before it is opened."""

    @property
    def name(self) -> str:
        """What tables and pictures call it."""
        return Path(self.given).name or self.given


def read_candidate(given: str) -> Candidate:
    """What `given` is, without loading its weights; raises InvalidInput, RefusedConcept or Damaged."""
    path, kind = Path(given), kind_of(given)
    if kind == "concept":
        concept = read_concept(path)
        header = concept.header
        classes = {header.name: header.class_word}
        return Candidate(given, kind, classes, concept.sha256, header.base)
    if kind == "release":
        manifest = Manifest.read(path)
        digest = sha256((path / MANIFEST).read_bytes()).hexdigest()
        return Candidate(given, kind, _classes(path, manifest), digest, manifest.base)
    try:
        locate(given)
    except InvalidInput as error:
        raise InvalidInput(f"no release folder and no concept file: {error}") from error
    return Candidate(given, kind, {})


def base_of(candidates: Sequence[Candidate], named: str | None) -> str | None:
    """The one base of all models; None when only releases of a base that nobody else has were given.

    Raises InvalidInput when there are two, or none is known that concept files could be drawn with.
    """
    made_for = {one.base.sha256: one for one in candidates if one.base is not None}
    if len(made_for) > 1:
        first, second = list(made_for.values())[:2]
        raise InvalidInput(
            f"{first.name} and {second.name} are of two bases ({_told(first.base)}, "
            f"{_told(second.base)}); evaluate them one by one"
        )
    names = {one.given for one in candidates if one.kind == "base"} | ({named} if named else set())
    if len(names) > 1:
        raise InvalidInput(f"two bases, {' and '.join(sorted(names))}: name one")
    if names:
        return names.pop()
    ref = next(iter(made_for.values())).base
    if ref is not None and is_public(ref.name):
        return ref.name
    if any(one.kind == "concept" for one in candidates):
        raise InvalidInput(
            "the concepts were made for a base of somebody's own; name it with --base"
        )
    return None


def check_base(candidates: Iterable[Candidate], base: BaseRef) -> None:
    """Raises BaseMismatch for a model of another base than the one that was opened."""
    for one in candidates:
        if one.base is not None and one.base.sha256 != base.sha256:
            raise BaseMismatch(
                f"{one.name} was made for base {_told(one.base)}, this is {_told(base)}"
            )


def classes_of(candidates: Iterable[Candidate], wanted: Iterable[str]) -> dict[str, str]:
    """The concepts to evaluate with their class words: those wanted, all when none is.

    Raises InvalidInput for one that no model holds, or that two call differently.
    """
    found: dict[str, str] = {}
    for one in candidates:
        for name, class_word in one.classes.items():
            if found.setdefault(name, class_word) != class_word:
                raise InvalidInput(
                    f"<{name}> is a {found[name]} in one model and a {class_word} in {one.name}"
                )
    if not found:
        raise InvalidInput("no model here holds a concept; name a concept file or a release")
    names = list(wanted)
    for name in names:
        if name not in found:
            known = ", ".join(f"<{known}>" for known in sorted(found))
            raise InvalidInput(f"<{name}> is in none of these models (they hold {known})")
    return {name: found[name] for name in names or sorted(found)}


def _classes(folder: Path, manifest: Manifest) -> dict[str, str]:
    if not (folder / CONCEPTS).is_file():
        raise Damaged(f"{folder}: {CONCEPTS} is missing")
    check_concepts(folder, manifest)
    listed = read_json((folder / CONCEPTS).read_bytes())
    try:
        return {str(concept["name"]): check_class(str(concept["class"])) for concept in listed}
    except (KeyError, InvalidInput) as error:
        raise Damaged(f"{folder}: {CONCEPTS}: class of a concept: {error}") from None


def _told(base: BaseRef | None) -> str:
    return "unknown" if base is None else f"{base.name} ({base.sha256[:12]})"
