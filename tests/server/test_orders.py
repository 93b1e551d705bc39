"""Orders of pictures are checked before they cost anything."""

from base64 import b64encode
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image, ImageFile

from fedshow.errors import InvalidInput
from fedshow.sampling.pictures import encode_picture
from fedshow_server.drawing.orders import DrawingOrder, check_order
from fedshow_server.settings import ServerSettings

CONCEPTS = ("potter", "dobby")


def png(width: int, height: int) -> str:
    return b64encode(encode_picture(Image.new("1", (width, height), 1))).decode()


def order(**recipe: Any) -> None:
    """Raises InvalidInput for what this server, with a release of CONCEPTS, does not draw."""
    made = DrawingOrder.model_validate({"recipe": {"prompt": "x", **recipe}})
    card: Any = SimpleNamespace(name="toyworld", family="toyworld")
    release: Any = SimpleNamespace(concepts=dict.fromkeys(CONCEPTS), withdrawn=["dobby"])
    check_order(made, release, card, ServerSettings(drawing_pixels=64 * 64))


def masked(size: tuple[int, int], number: int = 1, **recipe: Any) -> dict[str, Any]:
    return {"regions": [{"mask": png(*size), "prompt": "y"}] * number, **recipe}


LARGE = (
    (masked((8000, 8000), 64, width=64, height=64), "limit 4096"),
    (masked((64, 32), 64, width=32, height=32), "make it as large as the picture, 32x32"),
    (masked((64, 32), image=png(16, 16)), "make it as large as the picture, 16x16"),
    (masked((128, 64)), "region mask: 128x64 pixels, limit 4096"),
    ({"image": png(128, 64), "width": 64, "height": 64}, "image: 128x64 pixels, limit 4096"),
    (
        {"conditions": [{"kind": "control", "name": "sketch", "picture": png(128, 64)}]},
        "control sketch: 128x64 pixels, limit 4096",
    ),
)


@pytest.mark.parametrize(("recipe", "says"), LARGE)
def test_what_is_too_large_is_not_even_decoded(
    monkeypatch: pytest.MonkeyPatch, recipe: dict[str, Any], says: str
) -> None:
    def load(picture: Image.Image) -> None:
        pytest.fail(f"{picture.size} was decoded")

    monkeypatch.setattr(ImageFile.ImageFile, "load", load)
    with pytest.raises(InvalidInput, match=says):
        order(**recipe)


@pytest.mark.parametrize("said", ["a <dobby> at sea", "a <Dobby> at sea", "a <dobby2> at sea"])
def test_nothing_is_drawn_with_a_withdrawn_concept(said: str) -> None:
    order(prompt="a <potter> at sea")
    for recipe in ({"prompt": said}, {"regions": [{"box": [0, 0, 1, 1], "prompt": said}]}):
        with pytest.raises(InvalidInput, match=r"^<dobby> was withdrawn"):
            order(**recipe)


def test_masks_as_large_as_the_picture_may_be_ordered() -> None:
    order(**masked((64, 32), 64, width=64, height=32))
    order(**masked((32, 64), image=png(32, 64)))
    order(**masked((32, 32)))  # as large as the base's own pictures, which the worker knows
