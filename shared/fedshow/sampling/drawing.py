"""Pictures from a recipe.

Shapes: B pictures, C contexts (background and regions), S slots, T tokens, D width.
"""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from PIL.Image import Image
from torch import nn

from fedshow.errors import InvalidInput
from fedshow.families.encoded import Encoded
from fedshow.sampling import stock
from fedshow.sampling.conditioning import conditioned
from fedshow.sampling.conditions import Condition
from fedshow.sampling.presence import calling
from fedshow.sampling.recipe import Recipe
from fedshow.sampling.regional import RegionPlan, regional
from fedshow.sampling.separation import separated
from fedshow.sampling.windows import windowed

if TYPE_CHECKING:
    from fedshow.sampling.model import Model

OnStep = Callable[[int, int], None]
"""Told of denoising steps done and steps in all; what it raises ends the drawing."""


@dataclass(frozen=True)
class Drawing:
    """What a call gives back."""

    images: list[Image]
    seeds: list[int]
    """One for each picture: with it and its prompt it can be drawn alone."""


@torch.no_grad()
def draw(model: "Model", recipe: Recipe, on_step: OnStep) -> Drawing:
    """The pictures of a recipe: all of the first prompt, then all of the next.

    Raises InvalidInput before anything is computed: for concepts, conditions and sizes that the model does
    not have, and for prompts that are too long.
    """
    guidance = stock.default_guidance(model.base) if recipe.guidance is None else recipe.guidance
    base, size = model.base, recipe.size(model.base.sample_pixels)
    recipe.check_size(size, base.multiple)
    _check_places(model, recipe)
    latent = stock.latent_size(base, size)
    model.tokens.check(recipe.texts)
    conditions = [(one, model.conditions(one)) for one in recipe.conditions]
    begin = 0 if recipe.start is None else recipe.start.skipped(recipe.steps)
    with ExitStack() as stack:
        stack.enter_context(model.strength(recipe.scale))
        positive, negative = _encoded(model, recipe)
        plan = RegionPlan(recipe.regions, latent, size, recipe.overlap, like=positive.features)
        stack.enter_context(regional(_attending(model, conditions), plan))
        stack.enter_context(separated(model.self_attention, plan, recipe.separation))
        stack.enter_context(conditioned(base.denoiser, conditions, plan, positive.features))
        native = stock.latent_size(base, (base.sample_pixels, base.sample_pixels))
        stack.enter_context(windowed(base.denoiser, plan, native, recipe.windows))
        seeds = recipe.seeds * len(recipe.prompts)
        at_once = recipe.pictures_at_once(size)
        parts = [slice(k, k + at_once) for k in range(0, len(seeds), at_once)]
        images: list[Image] = []
        for number, rows in enumerate(parts):

            def reach(done: int) -> None:
                plan.progress = done / recipe.steps
                model.set_strength(0 if plan.progress < recipe.layout else recipe.scale)

            def after_step(done: int, number: int = number) -> None:
                reach(done)
                on_step(number * recipe.steps + done, len(parts) * recipe.steps)

            reach(begin)
            images += stock.run(
                base,
                positive[rows],
                negative,
                seeds=seeds[rows],
                size=size,
                steps=recipe.steps,
                guidance=guidance,
                start=recipe.start,
                after_step=after_step,
                adjust=calling(model, recipe, plan, positive[rows]),
            )
    return Drawing(images, seeds)


def _check_places(model: "Model", recipe: Recipe) -> None:
    """Raises InvalidInput for regions that this base's family cannot draw with."""
    if recipe.regions and not model.cross_attention:
        raise InvalidInput(
            f"regions: bases of family {model.base.family.name!r} have no cross-attention to draw them by"
        )


def _attending(model: "Model", conditions: list[tuple[Condition, nn.Module]]) -> list[nn.Module]:
    """All cross-attention layers: the denoiser's, and those of every ControlNet."""
    nets = [module for condition, module in conditions if condition.kind == "control"]
    return [
        layer
        for module in (model.base.denoiser, *dict.fromkeys(nets))
        for layer, _ in model.base.family.slotted_layers(module)
    ]


def _encoded(model: "Model", recipe: Recipe) -> tuple[Encoded, Encoded]:
    """Packed features `[B, C*S*T, D]` of all pictures, and `[1, C*S*T, D]` of what they must not show."""
    regions, count = recipe.regions, len(recipe.prompts)
    positive = model.encoded(recipe.prompts, [[one.prompt] * count for one in regions])
    negatives = [recipe.negative if one.negative is None else one.negative for one in regions]
    opposite = model.encoded_negative([recipe.negative], [[text] for text in negatives])
    return positive.repeated(recipe.n), opposite
