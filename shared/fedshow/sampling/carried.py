"""The recipe that a picture carries in its PNG file, so that anybody can draw it again."""

from collections.abc import Mapping
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo
from pydantic import Field

from fedshow import __version__
from fedshow.concepts.header import BaseRef, Sha256
from fedshow.documents import MAX_BYTES, BadDocument, FirstFormat, read_document
from fedshow.errors import InvalidInput
from fedshow.sampling.conditions import content_name, is_content_name
from fedshow.sampling.document import RecipeDocument, Strict

if TYPE_CHECKING:
    from fedshow.sampling.model import Model
    from fedshow.sampling.recipe import Recipe

CHUNK = "fedshow"
"""Keyword of the PNG text chunk."""

MOST_BYTES = MAX_BYTES - (1 << 20)
"""What a recipe may take of a document, which holds scores, too."""


class Origin(Strict):
    """What a picture was drawn with, by content: names of files say nothing to others."""

    base: BaseRef
    release: str | None = None
    concepts: dict[str, Sha256] = Field(default_factory=dict)

    @property
    def is_more_than_base(self) -> bool:
        """Whether the base alone would draw something else."""
        return self.release is not None or bool(self.concepts)

    def __str__(self) -> str:
        if self.release is not None:
            return f"release {self.release}"
        named = ", ".join(f"{name} ({digest[:12]})" for name, digest in self.concepts.items())
        return f"base {self.base.name}" + (f" with {named}" if named else "")


class Score(Strict):
    """Whom a region shows."""

    concept: str
    identity: float
    """Likeness to pictures of the concept alone, over what these have among themselves: 1 is as like."""

    nearest: str
    """Of all concepts of the picture the one it is most like."""


class Carried(Strict):
    """Everything that a picture says of itself."""

    format: FirstFormat = 1
    fedshow: str = __version__
    model: Origin
    recipe: RecipeDocument
    image_sha256: Sha256 | None = None
    """Of the image that the picture began with: that may be private, so pictures do not carry it."""

    scores: list[Score | None] | None = None
    """One for each region; null where a region names no concept, or several."""

    def again(self, changes: Mapping[str, Any]) -> "Recipe":
        """The recipe with changes; its regions weigh modules of somebody's own by the folders given there.

        Raises InvalidInput for what cannot be drawn with any model.
        """
        recipe = self.recipe.recipe()
        weighed = {name for region in recipe.regions for name in region.controls}
        folders = [one.name for one in changes.get("conditions", ()) if Path(one.name).is_dir()]
        if not folders or not any(map(is_content_name, weighed)):
            return replace(recipe, **changes)
        names = {content_name(Path(folder)): folder for folder in folders}
        regions = [
            replace(region, controls={names.get(k, k): v for k, v in region.controls.items()})
            for region in recipe.regions
        ]
        return replace(recipe, **{"regions": regions, **changes})


def carried(
    model: "Model",
    recipe: "Recipe",
    number: int,
    scores: list[Score | None] | None = None,
) -> Carried:
    """What picture `number` of a recipe says: how to draw it alone. Raises InvalidInput, see `check`."""
    seeds = recipe.seeds * len(recipe.prompts)
    alone = recipe.alone(recipe.prompts[number // recipe.n], seeds[number])
    return Carried(
        model=model.origin,
        recipe=RecipeDocument.of(model.conditions.published(alone)),
        image_sha256=None if recipe.image is None else image_digest(recipe.image),
        scores=scores,
    )


def check(model: "Model", recipe: "Recipe") -> None:
    """Raises InvalidInput when pictures of this recipe could not say how they were made, or not be read."""
    size = len(_text(carried(model, recipe, 0)).encode())
    if size > MOST_BYTES:
        raise InvalidInput(
            f"the recipe takes {size} bytes with its masks and conditions, a picture carries {MOST_BYTES}: "
            "use fewer of them, or --no-recipe"
        )


def save(image: Image.Image, path: Path, said: Carried | None) -> None:
    """Writes the picture as PNG, with what it says of itself."""
    info = PngInfo()
    if said is not None:
        info.add_itxt(CHUNK, _text(said))
    image.save(path, "PNG", pnginfo=info)


def read(path: Path) -> Carried:
    """What a picture says of itself; raises InvalidInput."""
    try:
        with Image.open(path, formats=["PNG"]) as opened:
            opened.load()
            text = opened.info.get(CHUNK)
    except (OSError, UnidentifiedImageError, SyntaxError, ValueError) as error:
        raise InvalidInput(f"{path} cannot be read as a PNG file: {error}") from error
    if not isinstance(text, str):
        raise InvalidInput(f"{path} carries no recipe: fedshow did not draw it, or it was edited")
    try:
        return read_document(Carried, text)
    except BadDocument as error:
        raise InvalidInput(f"{path} carries a recipe that cannot be read: {error}") from error


def _text(said: Carried) -> str:
    return said.model_dump_json(exclude_none=True)


def image_digest(image: Image.Image) -> str:
    """The same for the same pixels, whatever file they were in."""
    pixels = image.convert("RGB")
    return sha256(f"{pixels.width}x{pixels.height} ".encode() + pixels.tobytes()).hexdigest()
