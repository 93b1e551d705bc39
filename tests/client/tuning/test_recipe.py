"""Whatever a recipe allows may stand in a concept file's header: nothing is refused after tuning."""

from datetime import UTC, datetime
from typing import Any

import pytest

from fedshow.concepts import BaseRef, ConceptHeader, words_of
from fedshow.errors import InvalidInput
from fedshow_client.tuning.recipe import Recipe

EXTREMES = (0, 1e-300, 0.5, 1, 4, 64, 1024, 65536, 1e6, (1 << 31) - 1, 1e308)
NO_NUMBERS = (float("inf"), float("-inf"), float("nan"))


def header(recipe: Recipe) -> ConceptHeader:
    """What the file of a concept that was tuned so says about itself."""
    return ConceptHeader(
        family="sd1",
        base=BaseRef(name="toyworld", sha256="b" * 64),
        name="potter",
        class_word="man",
        words=words_of("potter"),
        slots=4,
        rank=recipe.rank,
        alpha=recipe.alpha,
        recipe=recipe.model_dump(exclude={"rank", "alpha"}),
        created=datetime.now(UTC),
        fedshow="0.1.0",
    )


def allowed(key: str) -> list[Recipe]:
    """Recipes with every extreme of a setting that is allowed."""
    found = []
    for value in EXTREMES + NO_NUMBERS:
        try:
            found.append(Recipe.of({key: value}))
        except InvalidInput:
            continue
    return found


@pytest.mark.parametrize("key", Recipe.model_fields)
def test_what_a_recipe_allows_a_header_takes(key: str) -> None:
    recipes = allowed(key)
    assert recipes
    for recipe in recipes:
        assert ConceptHeader.parse(header(recipe).dump()).recipe == recipe.model_dump(
            exclude={"rank", "alpha"}
        )


@pytest.mark.parametrize(
    ("key", "value"),
    [("norm_limit", "inf"), ("min_snr", "inf"), ("lr_unet", "nan"), ("alpha", 1e6)],
)
def test_what_a_header_would_refuse_is_refused_by_name(key: str, value: Any) -> None:
    with pytest.raises(InvalidInput, match=f"^{key} = "):
        Recipe.of({key: value})
