"""Recipes: what pictures carry, and pictures drawn again from them."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw
from PIL.PngImagePlugin import PngInfo

from fedshow.documents import read_document
from fedshow.errors import InvalidInput
from fedshow.sampling import carried
from fedshow.sampling.conditions import Condition
from fedshow.sampling.document import RecipeDocument
from fedshow.sampling.model import Model
from fedshow.sampling.recipe import Recipe
from fedshow.sampling.regions import Region
from fedshow.toyworld import CONDITIONS

REGION = "0,0,.5,1; weight=.8; feather=.2; start=.1; end=.9; negative=a hat; sketch=.5: a bunny"


@pytest.fixture
def file(make_concept, tmp_path: Path) -> Path:
    """A concept file."""
    make_concept("potter").save(tmp_path / "potter.safetensors")
    return tmp_path / "potter.safetensors"


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    """A picture of lines."""
    image = Image.new("L", (32, 32))
    ImageDraw.Draw(image).ellipse((8, 8, 24, 26), outline=255)
    image.save(tmp_path / "lines.png")
    return tmp_path / "lines.png"


@pytest.fixture
def mask(tmp_path: Path) -> Path:
    """The right half, with a grey edge."""
    image = Image.new("L", (32, 32))
    image.paste(255, (18, 0, 32, 32))
    image.paste(100, (16, 0, 18, 32))
    image.save(tmp_path / "mask.png")
    return tmp_path / "mask.png"


def test_a_recipe_survives_its_document(lines: Path, mask: Path) -> None:
    recipe = Recipe(
        prompt="a robot",
        regions=[Region.parse(REGION), Region.parse_mask(f"{mask}: a chick")],
        overlap="priority",
        negative="a cat",
        conditions=[Condition.parse("control", f"sketch={lines}; weight=.5; end=.6")],
        separation=0.5,
        presence=0.25,
        layout=0.3,
        windows=0.7,
        steps=7,
        guidance=2.5,
        seed=11,
        n=3,
        scale=0.9,
        width=48,
        height=40,
    )
    text = RecipeDocument.of(recipe).model_dump_json(exclude_none=True)
    assert read_document(RecipeDocument, text).recipe() == recipe


def test_a_document_without_anything_else_is_the_default_recipe() -> None:
    assert read_document(RecipeDocument, '{"prompt": "x"}').recipe() == Recipe(prompt="x")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"prompt": []}, "no prompt"),
        ({"steps": 0}, "steps 0: must be a number of 1 to 1000"),
        ({"n": 65}, "n 65: must be a number of 1 to 64"),
        ({"guidance": float("nan")}, "guidance nan: must be a number of at least 0"),
        ({"guidance": float("inf")}, "guidance inf"),
        ({"scale": 5.0}, "scale 5.0: must be a number of 0 to 4"),
        ({"seed": -1}, "seed -1"),
        ({"seed": [1, 2]}, "2 seeds for 1 pictures"),
        ({"overlap": "mix"}, "overlap 'mix': use average or priority"),
        ({"separation": 2.0}, "separation 2: use a fraction from 0 to 1"),
        ({"presence": -1.0}, "presence -1: use a fraction from 0 to 1"),
        ({"layout": float("nan")}, "layout nan: use a fraction from 0 to 1"),
        ({"windows": 1.5}, "windows 1.5: use a fraction from 0 to 1"),
        ({"strength": 0.0}, "strength 0: use more than 0"),
        ({"image": Image.new("RGB", (8, 8)), "strength": 0.01}, "use at least 0.05"),
        ({"regions": [Region(box=(0, 0, 1, 1), prompt="x")] * 65}, "65 regions: use at most 64"),
    ],
)
def test_what_no_model_can_draw_is_refused(changes: dict[str, object], says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        Recipe(**{"prompt": "a robot", **changes})  # type: ignore[arg-type]


def test_several_seeds_are_those_pictures(base) -> None:
    model = Model(base)
    several = model("a robot", steps=2, n=2, seed=[5, 3])
    alone = [model("a robot", steps=2, seed=seed).images[0] for seed in (5, 3)]
    model.restore()
    assert several.seeds == [5, 3]
    for together, one in zip(several.images, alone, strict=True):
        assert np.abs(np.asarray(together, int) - np.asarray(one, int)).max() <= 1


def test_large_drawings_are_made_in_parts(base, monkeypatch) -> None:
    model, seen = Model(base), []
    whole = model("a robot", steps=2, n=3)
    monkeypatch.setattr("fedshow.sampling.recipe.PIXELS_AT_ONCE", 2 * 32 * 32)
    parts = model("a robot", steps=2, n=3, on_step=lambda *now: seen.append(now))
    model.restore()
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]
    for together, apart in zip(whole.images, parts.images, strict=True):
        assert np.abs(np.asarray(together, int) - np.asarray(apart, int)).max() <= 1


def test_a_picture_is_drawn_again(
    call, file: Path, lines: Path, mask: Path, tmp_path: Path
) -> None:
    """Also one of several, with everything that a recipe can hold; other options change it."""
    first, again = tmp_path / "first.png", tmp_path / "again.png"
    options = [
        *("--region", REGION, "--region-mask", f"{mask}: a <potter>", "--overlap", "priority"),
        *("--control", f"sketch={lines}; weight=.5", "--negative", "a cat", "--separation", 0.5),
        *("--steps", 3, "--guidance", 2.5, "--seed", 7, "--n", 2, "--scale", 0.9),
    ]
    assert call("sample", file, "a <potter>", *options, "-o", first)[0] == 0
    second = tmp_path / "first-2.png"
    code, _, err = call("sample", file, "--again", second, "-o", again)
    assert (code, err) == (0, "")
    assert again.read_bytes() == second.read_bytes()
    assert call("sample", file, "--again", second, "--seed", 7, "-o", again)[0] == 0
    difference = np.asarray(Image.open(again), int) - np.asarray(Image.open(first), int)
    assert np.abs(difference).max() <= 1


@pytest.fixture
def own_net(tmp_path: Path) -> Path:
    """A ControlNet in a folder with a long name."""
    folder = tmp_path.joinpath("people", *"abc", "n" * 100, "m" * 100)
    return Path(shutil.copytree(CONDITIONS / "control" / "sketch", folder))


def photo(path: Path, mode: str, edge: int) -> Path:
    """A file as cameras and printers leave it: nothing repeats."""
    noise = np.random.default_rng(0).integers(0, 256, (edge, edge, len(mode)), np.uint8)
    Image.fromarray(noise, mode).save(path, "JPEG", quality=95)
    return path


def test_whatever_leads_a_picture_is_kept_as_it_is_used(
    call, lines: Path, own_net: Path, tmp_path: Path
) -> None:
    """A camera's picture is larger than what a recipe may hold, CMYK is nothing for a PNG file."""
    large, printed = photo(tmp_path / "l.jpg", "RGB", 1800), photo(tmp_path / "p.jpg", "CMYK", 32)
    out, again = tmp_path / "out.png", tmp_path / "again.png"
    led = ("--control", f"sketch={large}", "--adapter", f"sketch={printed}")
    own = ("--control", f"{own_net}={lines}")
    for options, given in ((led, ()), (own, own)):
        assert call("sample", "toyworld", "a cat", *options, "--steps", 1, "-o", out)[0] == 0
        assert {one.condition().picture.size for one in carried.read(out).recipe.conditions} == {
            (32, 32)
        }
        assert call("sample", "--again", out, *given, "-o", again)[0] == 0
        assert again.read_bytes() == out.read_bytes()


@pytest.mark.parametrize(
    ("limit", "prompt", "says"),
    [
        (
            "document.MOST_PICTURE_BYTES",
            "a cat",
            "control sketch: [0-9]+ bytes as a PNG file of 32x32",
        ),
        ("carried.MOST_BYTES", "a cat", "the recipe takes [0-9]+ bytes .* carries 100"),
        (None, "a" + " " * 2000, "recipe: prompt: .* at most 2000 characters"),
    ],
)
def test_nothing_is_drawn_that_could_not_say_how(
    call, lines: Path, tmp_path: Path, monkeypatch, limit: str | None, prompt: str, says: str
) -> None:
    if limit:
        monkeypatch.setattr(f"fedshow.sampling.{limit}", 100)
    monkeypatch.setattr(Model, "draw", lambda *_: pytest.fail("a step is done"))
    control = ("--control", f"sketch={lines}")
    code, _, err = call("sample", "toyworld", prompt, *control, "-o", tmp_path / "out.png")
    assert (code, re.search(says, err) is not None) == (2, True), err


def test_a_module_of_somebodys_own_is_asked_for(
    call, lines: Path, own_net: Path, tmp_path: Path
) -> None:
    """A picture says what was in the folder, not where that was; regions weigh it as they did."""
    out, again, elsewhere = tmp_path / "out.png", tmp_path / "again.png", tmp_path / "elsewhere"
    region = ("--region", f"0,0,.5,1; {own_net}=.5: a robot")
    led = ("--control", f"{own_net}={lines}")
    assert call("sample", "toyworld", "a cat", *region, *led, "--steps", 2, "-o", out)[0] == 0
    with Image.open(out) as image:
        assert "people" not in image.info["fedshow"]
    code, _, err = call("sample", "--again", out, "-o", again)
    assert (code, "say where that is, --control FOLDER=PNG" in err) == (2, True)
    own_net.rename(elsewhere)
    given = ("--control", f"{elsewhere}={lines}")
    assert call("sample", "--again", out, *given, "-o", again)[0] == 0
    assert again.read_bytes() == out.read_bytes()


def test_what_a_picture_says_of_itself(
    call, file: Path, lines: Path, own_net: Path, tmp_path: Path, make_concept
) -> None:
    out = tmp_path / "out.png"
    led = ("--control", f"{own_net}={lines}", "--region", f"0,0,.5,1; {own_net}=.5: a robot")
    assert call("sample", file, "a <potter>", *led, "--steps", 1, "-o", out)[0] == 0
    with Image.open(out) as image:
        said = json.loads(image.info["fedshow"])
    assert said["recipe"]["prompt"] == "a <potter>"
    assert said["recipe"]["seed"] == 0
    assert said["model"]["base"]["name"] == "toyworld"
    assert said["model"]["concepts"] == {"potter": make_concept("potter").sha256}
    assert str(tmp_path) not in json.dumps(said), "names of files are nobody's business"


def test_a_picture_can_say_nothing(call, file: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.png"
    assert call("sample", file, "a cat", "--steps", 1, "--no-recipe", "-o", out)[0] == 0
    with Image.open(out) as image:
        assert image.info == {}
    code, _, err = call("sample", file, "--again", out, "-o", tmp_path / "again.png")
    assert (code, "out.png carries no recipe" in err) == (2, True)


def test_with_another_model_it_says_so(call, file: Path, make_concept, tmp_path: Path) -> None:
    out, other = tmp_path / "out.png", tmp_path / "other.safetensors"
    make_concept("potter", seed=5).save(other)
    assert call("sample", file, "a <potter>", "--steps", 1, "-o", out)[0] == 0
    code, _, err = call("sample", other, "--again", out, "-o", tmp_path / "again.png")
    assert code == 0
    assert "was drawn with base toyworld with potter (" in err


def test_a_plain_base_need_not_be_named_again(call, file: Path, tmp_path: Path) -> None:
    out, again = tmp_path / "out.png", tmp_path / "again.png"
    assert call("sample", "toyworld", "a cat", "--steps", 1, "-o", out)[0] == 0
    assert call("sample", "--again", out, "-o", again)[0] == 0
    assert again.read_bytes() == out.read_bytes()
    assert call("sample", file, "a <potter>", "--steps", 1, "-o", out)[0] == 0
    code, _, err = call("sample", "--again", out, "-o", again)
    assert (code, "potter" in err and "say where that is" in err) == (2, True)


def test_the_image_that_it_began_with_is_not_carried(call, tmp_path: Path) -> None:
    """It may be a private one: whoever has it names it again."""
    start, out, again = (tmp_path / f"{name}.png" for name in ("start", "out", "again"))
    assert call("sample", "toyworld", "a red robot", "--steps", 4, "-o", start)[0] == 0
    began = ("--image", start, "--strength", 0.5, "--steps", 4)
    assert call("sample", "toyworld", "a blue robot", *began, "-o", out)[0] == 0
    assert carried.read(out).recipe.image is None
    code, _, err = call("sample", "--again", out, "-o", again)
    assert (code, "name it with --image" in err) == (2, True)
    assert call("sample", "--again", out, "--image", start, "-o", again)[0] == 0
    assert again.read_bytes() == out.read_bytes()


def test_strength_decides_what_is_left_of_an_image(base) -> None:
    model = Model(base)
    start = model("a red robot", steps=4).images[0]
    far = [
        np.abs(
            np.asarray(model("a blue bunny", image=start, strength=s, steps=8).images[0], int)
            - np.asarray(start, int)
        ).mean()
        for s in (0.25, 0.6, 1.0)
    ]
    model.restore()
    assert far[0] < far[1] < far[2]


@pytest.mark.parametrize(
    "said",
    [
        "no JSON",
        "{}",
        '{"format": 2}',
        '{"format": 1, "model": {"base": {"name": "toyworld", "sha256": "x"}}, "recipe": {}}',
    ],
)
def test_recipes_that_cannot_be_read_are_refused(tmp_path: Path, said: str) -> None:
    info = PngInfo()
    info.add_itxt(carried.CHUNK, said)
    Image.new("RGB", (8, 8)).save(tmp_path / "odd.png", pnginfo=info)
    with pytest.raises(InvalidInput, match=r"odd\.png carries a recipe that cannot be read"):
        carried.read(tmp_path / "odd.png")


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n", b"GIF89a" + b"0" * 20])
def test_what_is_no_png_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "odd.png").write_bytes(content)
    with pytest.raises(InvalidInput, match=r"odd\.png cannot be read as a PNG file"):
        carried.read(tmp_path / "odd.png")


def test_models_are_compared_in_one_picture(call, file: Path, tmp_path: Path) -> None:
    out = tmp_path / "grid.png"
    options = ("--steps", 1, "--n", 2, "--compare", "toyworld")
    code, printed, _ = call("sample", file, "a cat", *options, "-o", out)
    assert (code, printed) == (0, f"{out}\n")
    with Image.open(out) as grid:
        assert (grid.width - 210) // 96 == 2, "two pictures wide"
        assert grid.height // 96 == 2, "two models high"


def test_regions_are_scored(call, file: Path, make_concept, tmp_path: Path) -> None:
    """By concept; one that names none has no score. The picture carries them, too."""
    out = tmp_path / "out.png"
    regions = ("--region", "0,0,.5,1: a <potter>", "--region", ".5,0,1,1: a robot")
    code, printed, _ = call(
        "sample", file, "a cat", *regions, "--steps", 2, "--score", "--json", "-o", out
    )
    assert code == 0
    ((first, second),) = json.loads(printed)["scores"]
    assert (first["concept"], first["nearest"], second) == ("potter", "potter", None)
    assert -1 <= first["identity"] <= 2
    kept = carried.read(out).scores
    assert kept is not None
    assert [one and one.model_dump() for one in kept] == [first, None]
