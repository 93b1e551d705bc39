"""Which crops of which image a run will use: the same answer for `check`, for the sheet and for tuning."""

from typing import TYPE_CHECKING

from fedshow_client.tuning.data.augmentation import Crop, Freedom, plan_crops
from fedshow_client.tuning.data.folder import Candidate
from fedshow_client.tuning.data.frames import Frame
from fedshow_client.tuning.data.masks import subject_box

if TYPE_CHECKING:
    from fedshow_client.tuning.recipe import Recipe


def crops_of(
    image: Candidate, number: int, frame: Frame, recipe: "Recipe", seed: int
) -> list[Crop]:
    """The crops of accepted image `number` in all its variants."""
    mask = image.load_mask()
    subject = subject_box(mask) if mask else None
    size = frame.size_for(image.size, recipe.aspect)
    freedom = Freedom(recipe.zoom_out, recipe.zoom, recipe.flip)
    return plan_crops(image.size, subject, size, freedom, recipe.variants, f"{seed}/{number}")
