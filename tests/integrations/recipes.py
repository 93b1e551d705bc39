"""What releases' own pipelines are asked to draw, and how fedshow draws it."""

from typing import Any

import numpy as np
from PIL import Image

import fedshow
from fedshow.sampling.model import Model

LEFT, RIGHT = (0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 1.0, 1.0)
PLAIN: dict[str, Any] = {"prompt": "a <potter> next to a <mimi>", "seed": 3}
TINY_BOX = "tiny box, negative, other size"
REGIONS: dict[str, dict[str, Any]] = {
    "regions": {**PLAIN, "regions": [(LEFT, "a <potter>"), (RIGHT, "a red robot")]},
    "overlap": {
        **PLAIN,
        "regions": [((0.0, 0.1, 0.6, 1.0), "a <potter>"), ((0.3, 0.0, 1.0, 0.7), "a <mimi>")],
    },
    TINY_BOX: {
        **PLAIN,
        "negative_prompt": "a <mimi>",
        "regions": [((0.41, 0.41, 0.42, 0.43), "a <mimi>")],
    },
}


def by_fedshow(model: Model, recipe: dict[str, Any]) -> Image.Image:
    """The picture of a recipe that is written for a release's own pipeline."""
    return model(
        recipe["prompt"],
        regions=[fedshow.Region(box=box, prompt=text) for box, text in recipe.get("regions", ())],
        negative=recipe.get("negative_prompt", ""),
        height=recipe.get("height"),
        width=recipe.get("width"),
        seed=recipe["seed"],
        steps=4,
    ).images[0]


def apart(one: Image.Image, other: Image.Image) -> Any:
    """How many of 255 grey levels lie between two pictures, value by value."""
    return np.abs(np.asarray(one, np.int16) - np.asarray(other, np.int16))
