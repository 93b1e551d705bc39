"""Guidance by attention mass: objects that are forgotten, or drawn where they do not belong, are called back.

While the layout forms, the latent is moved so that in each region the words of its concept get more of the
attention, and get it in the region's middle: a step down the gradient of what is missing (after
Attend-and-Excite, arXiv 2301.13826, and layout guidance, arXiv 2304.03373, for regional attention).
Shapes: B pictures, Q places, P of them in one region, T tokens, E heads, D width of a head.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from fedshow.families.encoded import Encoded
from fedshow.sampling.regional import RegionPlan
from fedshow.sampling.regions import Region, Size
from fedshow.sampling.stock import Adjust

if TYPE_CHECKING:
    from fedshow.sampling.model import Model
    from fedshow.sampling.recipe import Recipe

FORMING = 0.2
"""Share of the steps in which the layout forms."""

STRIDE = 0.15
"""Length of a step at strength 1, in standard deviations of the latent."""

SPREAD = 0.3
"""Standard deviation of the figure's place, over the edges of its region."""


@dataclass
class Masses:
    """What attention to the words of concepts comes to, told by every layer."""

    subjects: Sequence[Tensor]
    """For each region which tokens `[T]` are its concept's."""

    found: list[tuple[int, int, Tensor]] = field(default_factory=list)
    """Region, number of places of the layer, and mass `[B, P]`."""

    def hear(
        self, region: int, places: int, queries_BEPD: Tensor, keys_BETD: Tensor, scale: float
    ) -> None:
        """A layer's queries of the places of one region, and the keys of its prompt."""
        scores_BEPT = queries_BEPD @ keys_BETD.mT * scale
        mass_BP = scores_BEPT.softmax(-1)[..., self.subjects[region]].sum(-1).mean(1)
        self.found.append((region, places, mass_BP))


def missing(masses: Masses, plan: RegionPlan) -> Tensor:
    """How far from full and central the masses are, summed over pictures; 0 is the best."""
    total = torch.zeros((), device=masses.found[0][2].device)
    for region, places, mass_BP in masses.found:
        middle_P = middle(plan.regions[region], plan.grids[places])
        inside_P = plan.shares_at(plan.grids[places])[1 + region].flatten() > 0
        weight_P = middle_P.flatten()[inside_P].to(mass_BP)
        weight_P = weight_P / weight_P.max()
        central_B = (mass_BP * weight_P).sum(1) / mass_BP.sum(1)
        present_B = (mass_BP * weight_P).sum(1) / weight_P.sum()
        total = total + (1 - central_B).sum() + (1 - present_B).sum()
    return total / max(1, len(masses.found))


def middle(region: Region, grid: Size) -> Tensor:
    """A bell around the middle of the region, `[H, W]`."""
    left, top, right, bottom = region.bounds
    height, width = grid

    def bell(low: float, high: float, count: int) -> Tensor:
        places = (torch.arange(count) + 0.5) / count
        return torch.exp(-(((places - (low + high) / 2) / (SPREAD * (high - low))) ** 2) / 2)

    return bell(top, bottom, height)[:, None] * bell(left, right, width)


def calling(model: "Model", recipe: "Recipe", plan: RegionPlan, encoded: Encoded) -> Adjust | None:
    """What moves latents before the steps in which the layout forms; None when nobody has to be called."""
    if not recipe.presence or not recipe.regions:
        return None
    subjects = [model.tokens.subjects(region.prompt) for region in recipe.regions]

    def adjust(latents: Tensor, timestep: Tensor) -> Tensor:
        left = 1 - plan.progress / FORMING
        if left <= 0 or not plan.active:
            return latents
        masses = Masses(subjects)
        with torch.enable_grad(), plan.told_to(masses.hear):
            moved = latents.detach().requires_grad_(True)
            model.base.denoise(moved, timestep, encoded)
            (gradient,) = torch.autograd.grad(missing(masses, plan), moved)
        return latents - STRIDE * recipe.presence * left * _unit(gradient)

    return adjust


def _unit(gradient_BCHW: Tensor) -> Tensor:
    """Each picture's with the length of noise."""
    size = gradient_BCHW.float().square().mean(dim=(1, 2, 3), keepdim=True).sqrt()
    return gradient_BCHW / size.clamp(min=torch.finfo(torch.float32).tiny).to(gradient_BCHW)
