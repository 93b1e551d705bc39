"""What members may order, checked before it is queued; needs no torch."""

from typing import Annotated

from pydantic import Field

from fedshow.concepts.names import expand_prompt, mentioned, words_of
from fedshow.errors import InvalidInput
from fedshow.families.card import BaseCard
from fedshow.sampling.conditions import types
from fedshow.sampling.document import RecipeDocument, Strict
from fedshow.sampling.recipe import Recipe
from fedshow_server.settings import ServerSettings
from fedshow_server.store import Release


class DrawingOrder(Strict):
    """Pictures that a member wants."""

    release: Annotated[str, Field(max_length=64)] = "latest"
    """An id, the first eight digits or more of one, or `latest`."""

    recipe: RecipeDocument


def check_order(
    order: DrawingOrder, release: Release, card: BaseCard, settings: ServerSettings
) -> None:
    """Raises InvalidInput for what cannot be drawn with this release, or may not be drawn here."""
    _check_limits(order.recipe, settings)
    recipe = order.recipe.recipe()
    check_pixels(recipe, settings.drawing_pixels, 0)
    check_concepts(recipe, release)
    for condition in recipe.conditions:
        known = types(card.name, card.family, condition.kind)
        if condition.name not in known:  # a path would be one of the server's own
            raise InvalidInput(
                f"{condition.kind} {condition.name!r}: here there is {', '.join(known) or 'none'}"
            )


def check_concepts(recipe: Recipe, release: Release) -> None:
    """Raises InvalidInput for concepts that the release does not hold, or that were withdrawn since."""
    concepts = {name: words_of(name) for name in release.concepts}
    for text in recipe.texts:
        expand_prompt(text, concepts)
        for name in mentioned(text, concepts):
            if name in release.withdrawn:
                raise InvalidInput(f"<{name}> was withdrawn: nothing is drawn with it any more")


def _check_limits(recipe: RecipeDocument, settings: ServerSettings) -> None:
    """Before anything is decoded: a small file may hold very many pixels."""
    for what, value, most in (
        ("pictures", recipe.n, settings.drawing_pictures),
        ("steps", recipe.steps, settings.drawing_steps),
    ):
        if value > most:
            raise InvalidInput(f"{value} {what}: this server draws at most {most}")
    recipe.check_pictures(settings.drawing_pixels)


def check_pixels(recipe: Recipe, most: int, edge: int) -> None:
    """Raises InvalidInput when the pictures are too large, for a base whose own edge is `edge`."""
    height, width = recipe.size(edge)
    if width * height > most:
        raise InvalidInput(
            f"pictures of {width}x{height} pixels: this server draws at most {most} pixels"
        )
