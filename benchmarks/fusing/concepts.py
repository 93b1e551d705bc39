"""The sixteen concepts that are fused, and the sets of them: held-out characters of all five kinds."""

from collections.abc import Sequence
from pathlib import Path

from benchmarks.private_folder import person
from fedshow.toyworld.heldout import HELDOUT
from fedshow_client.tuning.tune import TuneRequest, tune
from fedshow_client.tuning.watching.settings import WatchSettings

CHARACTERS = tuple(HELDOUT)[:16]
SIZES = (2, 4, 8, 16)
SETS_OF = {2: 4, 4: 2, 8: 2, 16: 1}
"""How many sets of each size: small ones vary more."""


def sets(size: int) -> list[tuple[str, ...]]:
    """The disjoint sets of one size."""
    return [CHARACTERS[k * size : (k + 1) * size] for k in range(SETS_OF[size])]


def concept_path(character: str, work: Path) -> Path:
    """Where the tuned concept lies."""
    return work / "concepts" / f"{character}.safetensors"


def tune_character(character: str, work: Path) -> dict[str, str]:
    """Tunes one character with the recipe that people get."""
    someone = person(character, work / "people")
    out = concept_path(character, work)
    out.parent.mkdir(parents=True, exist_ok=True)
    tuned = tune(
        TuneRequest(
            images=someone.images,
            name=character,
            class_word=someone.class_word,
            out=out,
            work=work / "tuning" / character,
            leakage=False,
            watch=WatchSettings(samples=False),
        )
    )
    return {"sha256": tuned.sha256}


def paths(characters: Sequence[str], work: Path) -> list[Path]:
    """The files of a set."""
    return [concept_path(character, work) for character in characters]
