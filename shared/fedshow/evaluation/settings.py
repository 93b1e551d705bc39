"""What people may choose about an evaluation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from fedshow.errors import InvalidInput
from fedshow.sampling.recipe import MOST_PICTURES, Recipe
from fedshow.scoring.prompts import PROMPTS, TOYWORLD_PROMPTS, said_of

TOYWORLD_PER_PROMPT, PER_PROMPT = 5, 50
"""As many as the papers draw; toyworld's are drawn on processors."""

DRIFT = 5


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How much is drawn, and how. Raises InvalidInput for what cannot be."""

    prompts: tuple[str, ...]
    """Each with `{}` where the concept stands."""

    per_prompt: int
    """Pictures of each prompt, of consecutive seeds: the same for every model."""

    drift: int
    """Pictures of each prompt without a concept; 0 does not measure drift."""

    seed: int = 0
    steps: int = 20
    guidance: float | None = None
    negative: str = ""

    def __post_init__(self) -> None:
        for name, value, least in (
            ("--per-prompt", self.per_prompt, 1),
            ("--drift", self.drift, 0),
        ):
            if not least <= value <= MOST_PICTURES:
                raise InvalidInput(f"{name} {value}: use {least} to {MOST_PICTURES} pictures")
        self.table(self.prompts, 1)

    @classmethod
    def chosen(cls, toyworld: bool, **given: Any) -> Self:
        """Those given, and for None what suits the base."""
        suiting: dict[str, Any] = {
            "prompts": TOYWORLD_PROMPTS if toyworld else PROMPTS,
            "per_prompt": TOYWORLD_PER_PROMPT if toyworld else PER_PROMPT,
            "drift": DRIFT,
        }
        return cls(**suiting | {name: value for name, value in given.items() if value is not None})

    @property
    def seeds(self) -> tuple[int, ...]:
        """Of the pictures of each prompt."""
        return self._seeds(self.per_prompt)

    def concept_table(self, subject: str) -> Recipe:
        """All prompts of `<name>` or of a class word, times all seeds."""
        return self.table(said_of(self.prompts, subject), self.per_prompt)

    def drift_table(self, classes: Mapping[str, str]) -> Recipe:
        """The prompts with class words in turn: as near to the concepts as prompts without one come."""
        words = sorted({*classes.values()})
        pairs = range(max(len(self.prompts), len(words)))
        texts = [
            self.prompts[k % len(self.prompts)].replace("{}", words[k % len(words)]) for k in pairs
        ]
        return self.table(texts, self.drift)

    def table(self, prompts: Sequence[str], per_prompt: int) -> Recipe:
        """These prompts, times so many seeds."""
        return Recipe(
            prompt=prompts,
            seed=self._seeds(per_prompt),
            n=per_prompt,
            steps=self.steps,
            guidance=self.guidance,
            negative=self.negative,
        )

    def _seeds(self, count: int) -> tuple[int, ...]:
        return tuple(self.seed + k for k in range(count))
