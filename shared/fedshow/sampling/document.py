"""A recipe as JSON: what pictures carry, what `--again` reads, what a server's API takes."""

from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from dataclasses import fields
from typing import Annotated, Any

from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from fedshow.documents import first_fault
from fedshow.errors import InvalidInput
from fedshow.sampling.conditions import MOST_CONDITIONS, Condition, Kind
from fedshow.sampling.pictures import decode_picture, encode_picture, said_size
from fedshow.sampling.recipe import MOST_PICTURES, MOST_STEPS, Recipe
from fedshow.sampling.regions import MOST_REGIONS, Overlap, Region

MOST_TEXT = 2000
MOST_PICTURE_BYTES = 8 << 20

Text = Annotated[str, StringConstraints(max_length=MOST_TEXT)]
Picture = Annotated[str, StringConstraints(max_length=MOST_PICTURE_BYTES * 4 // 3 + 4)]
"""A PNG file in base64."""


class Strict(BaseModel):
    """Nothing unknown, nothing changed."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class RegionDocument(Strict):
    """A `Region`; a mask is a PNG in base64."""

    box: Annotated[list[float], Field(min_length=4, max_length=4)] | None = None
    mask: Picture | None = None
    prompt: Text
    negative: Text | None = None
    weight: float = 1.0
    feather: float = 0.0
    start: float = 0.0
    end: float = 1.0
    controls: dict[str, float] = Field(default_factory=dict, max_length=MOST_CONDITIONS)

    @classmethod
    def of(cls, region: Region) -> "RegionDocument":
        """What a region says; raises InvalidInput for a mask that is too large."""
        said = _said(region)
        box = None if region.box is None else list(region.box)
        return cls(**said | {"box": box, "mask": _encoded("region mask", region.mask)})

    def region(self) -> Region:
        """The region; raises InvalidInput."""
        left_top_right_bottom: Any = None if self.box is None else tuple(self.box)
        mask = _decoded("region mask", self.mask)
        return Region(**dict(self) | {"box": left_top_right_bottom, "mask": mask})


class ConditionDocument(Strict):
    """A `Condition`; its picture is a PNG in base64, its module goes by its name alone."""

    kind: Kind
    name: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    picture: Picture
    weight: float = 1.0
    start: float = 0.0
    end: float = 1.0

    @classmethod
    def of(cls, condition: Condition) -> "ConditionDocument":
        """What a condition says; raises InvalidInput for a picture that is too large."""
        picture = _encoded(f"{condition.kind} {condition.name}", condition.picture)
        return cls(**_said(condition) | {"picture": picture})

    def condition(self) -> Condition:
        """The condition; raises InvalidInput."""
        picture = _decoded(f"{self.kind} {self.name}", self.picture)
        return Condition(**dict(self) | {"picture": picture})


class RecipeDocument(Strict):
    """A `Recipe` of one prompt; pictures in it are PNGs in base64."""

    prompt: Text
    regions: Annotated[list[RegionDocument], Field(max_length=MOST_REGIONS)] = []
    overlap: Overlap = "average"
    negative: Text = ""
    conditions: Annotated[list[ConditionDocument], Field(max_length=MOST_CONDITIONS)] = []
    image: Picture | None = None
    strength: float = 0.6
    separation: float = 0.0
    presence: float = 0.0
    layout: float = 0.0
    windows: float = 0.0
    steps: Annotated[int, Field(ge=1, le=MOST_STEPS)] = 20
    guidance: float | None = None
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    n: Annotated[int, Field(ge=1, le=MOST_PICTURES)] = 1
    scale: float = 1.0
    width: int | None = None
    height: int | None = None

    @classmethod
    def of(cls, recipe: Recipe) -> "RecipeDocument":
        """What a recipe of one prompt and consecutive seeds says, without the image it begins with.

        Raises InvalidInput for what is too large to be said.
        """
        assert isinstance(recipe.prompt, str), "one document, one prompt"
        assert isinstance(recipe.seed, int), "one document, one seed"
        try:
            return cls(
                **_said(recipe)
                | {
                    "regions": [RegionDocument.of(region) for region in recipe.regions],
                    "conditions": [ConditionDocument.of(one) for one in recipe.conditions],
                    "image": None,
                }
            )
        except ValidationError as error:
            fault = first_fault(error)
            raise InvalidInput(f"recipe: {fault.where}: {fault.says}") from None

    def recipe(self) -> Recipe:
        """The recipe; raises InvalidInput for what cannot be drawn with any model."""
        return Recipe(
            **dict(self)
            | {
                "regions": [region.region() for region in self.regions],
                "conditions": [one.condition() for one in self.conditions],
                "image": _decoded("image", self.image),
            }
        )

    def check_pictures(self, most_pixels: int) -> None:
        """Raises InvalidInput for pictures in it that are too large, before any of them is decoded.

        A mask is as large as what is drawn; nothing has more than `most_pixels`.
        """
        own = None if self.image is None else _checked_size("image", self.image, most_pixels)
        for one in self.conditions:
            _checked_size(f"{one.kind} {one.name}", one.picture, most_pixels)
        width, height = self.width or (own and own[0]), self.height or (own and own[1])
        for region in self.regions:
            if region.mask is None:
                continue
            size = _checked_size("region mask", region.mask, most_pixels)
            if (
                width and height and sorted(size) != sorted((width, height))
            ):  # it may lie on its side
                raise InvalidInput(
                    f"region mask of {size[0]}x{size[1]} pixels: make it as large as the picture, "
                    f"{width}x{height}"
                )


def _said(value: Any) -> dict[str, Any]:
    return {field.name: getattr(value, field.name) for field in fields(value)}


def _encoded(what: str, picture: Image.Image | None) -> str | None:
    if picture is None:
        return None
    content = encode_picture(picture)
    if len(content) > MOST_PICTURE_BYTES:
        raise InvalidInput(
            f"{what}: {len(content)} bytes as a PNG file of {picture.width}x{picture.height} pixels, limit "
            f"{MOST_PICTURE_BYTES}"
        )
    return b64encode(content).decode()


def _decoded(what: str, text: str | None) -> Image.Image | None:
    return None if text is None else decode_picture(what, _file(what, text))


def _checked_size(what: str, text: str, most_pixels: int) -> tuple[int, int]:
    width, height = said_size(what, _file(what, text))
    if width * height > most_pixels:
        raise InvalidInput(f"{what}: {width}x{height} pixels, limit {most_pixels}")
    return width, height


def _file(what: str, text: str) -> bytes:
    try:
        return b64decode(text, validate=True)
    except NotBase64 as error:
        raise InvalidInput(f"{what}: is no base64 ({error})") from None
