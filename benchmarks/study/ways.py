"""The ways to teach that are compared: the paper's methods, and ED-LoRA with one part taken away each."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from fedshow.edlora.methods import METHODS, Method
from fedshow.errors import InvalidInput
from fedshow.families import Base
from fedshow_client.tuning.recipe import Recipe

OURS, LORA = "ed-lora", "lora"


@dataclass(frozen=True)
class Way:
    """A method, perhaps of the study's own, and what it changes in the recipe that it takes."""

    name: str
    method: Method
    recipe_of: str
    """The shipped method whose recipe it takes, and as which its concept files go."""

    changes: dict[str, Any] = field(default_factory=dict)

    def recipe(self, base: Base, changes: Mapping[str, Any]) -> Recipe:
        """All numbers, some of them changed once more."""
        return Recipe.for_base(base, self.recipe_of, **{**self.changes, **changes})

    def facts(self, base: Base, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Everything about it that decides what comes out of a tuning."""
        return {"method": asdict(self.method), "recipe": self.recipe(base, changes).model_dump()}


_SHIPPED = [Way(name, method, name) for name, method in METHODS.items()]
_ED = METHODS[OURS]
PARTS = {
    "single-slot": Way("single-slot", replace(_ED, layered=False), OURS),
    "one-word": Way("one-word", replace(_ED, words=_ED.words[1:]), OURS),
    "no-attention-loss": Way("no-attention-loss", _ED, OURS, {"attention_weight": 0.0}),
}
"""ED-LoRA without layer-wise embeddings, the word that starts from noise, regularised attention."""

WAYS = {way.name: way for way in _SHIPPED} | PARTS


def left_out(base: Base) -> dict[str, str]:
    """The shipped methods that a base cannot take, and why: narrower limits, no cross-attention."""
    found = {}
    for name in METHODS:
        try:
            WAYS[name].recipe(base, {})
        except InvalidInput as error:
            found[name] = str(error)
    return found
