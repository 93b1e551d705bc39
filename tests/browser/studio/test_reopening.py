"""Flows: a picture is saved, reopened, and gone on from."""

from base64 import b64encode

from PIL import Image

from fedshow.sampling import carried
from fedshow.sampling.document import RecipeDocument
from fedshow.sampling.pictures import encode_picture
from tests.stage.waiting import eventually

FIELDS = ("prompt", "negative", "seed", "steps", "size_width", "size_height", "windows", "presence")


def saved(folder, before):
    def found():
        new = set(folder.glob("fedshow-*.png")) - before
        return new.pop() if new else None

    return eventually(found)


def test_what_is_saved_and_reopened_is_the_same_recipe(studio, downloads, tmp_path):
    studio.shape(64, 32)
    studio.write(prompt="a beach", negative="a hat", seed=41, steps=3)
    studio.pull((0.1, 0.2), (0.4, 0.8))
    studio.drop("potter", (0.2, 0.5))
    studio.page.click("Add a mask")
    studio.pull((0.6, 0.5), (0.9, 0.5))
    studio.drop("pettigrew", (0.7, 0.5))
    before, regions = studio.read(*FIELDS), studio.regions
    studio.draw()
    files = set(downloads.glob("fedshow-*.png"))
    studio.page.click("Save")
    file = saved(downloads, files)
    first = carried.read(file)
    studio.page.go("/gallery/studio")
    assert studio.read("prompt") == [""]
    studio = type(studio)(studio.page)
    studio.reopen(file)
    studio.page.sees("This picture's recipe is filled in.")
    assert (studio.read(*FIELDS), studio.regions) == (before, regions)
    assert studio.read("release") == [first.model.release]
    studio.draw()
    (tmp_path / "again.png").write_bytes(studio.pictures()[0])
    assert carried.read(tmp_path / "again.png") == first
    with Image.open(tmp_path / "again.png") as again, Image.open(file) as once:
        assert again.tobytes() == once.tobytes()


def test_going_on_from_a_picture(studio, tmp_path):
    studio.write(prompt="a <potter>", seed=5, steps=4)
    studio.draw()
    studio.page.click("Go on from it")
    studio.page.sees("Begin with the picture on the layout")
    studio.write(prompt="a <potter> at night", seed=6)
    studio.page.one("#begins").click()
    studio.draw()
    (tmp_path / "on.png").write_bytes(studio.pictures()[0])
    said = carried.read(tmp_path / "on.png")
    assert (said.recipe.seed, said.image_sha256 is not None) == (6, True)


def test_earlier_drawings_are_there_when_one_comes_back(studio):
    studio.write(prompt="a <potter>", steps=2)
    studio.draw()
    (link,) = studio.page.all("#drawn .together:first-child [data-part=save]")
    path = link.get_attribute("href")
    studio.page.go("/gallery/studio")
    eventually(lambda: studio.page.all("#drawn img"))
    links = studio.page.all("#drawn [data-part=save]")
    assert links[0].get_attribute("href") == path


def test_what_carries_no_recipe_is_said(studio, tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "plain.png")
    (tmp_path / "text.png").write_text("no picture")
    studio.reopen(tmp_path / "plain.png")
    studio.page.sees("This picture carries no recipe")
    studio.reopen(tmp_path / "text.png")
    studio.page.sees("This is no PNG file")


def carrying(studio, tmp_path, **recipe):
    """A file that says this of itself besides, with all that it says."""
    studio.write(prompt="a <potter>", steps=2)
    studio.draw()
    first = tmp_path / "first.png"
    first.write_bytes(studio.pictures()[0])
    said = carried.read(first)
    document = {**said.recipe.model_dump(), "width": 32, "height": 32, **recipe}
    other = said.model_copy(update={"recipe": RecipeDocument.model_validate(document)})
    with Image.open(first) as image:
        image.load()
        carried.save(image, tmp_path / "carrying.png", other)
    return tmp_path / "carrying.png", other.recipe


def test_what_no_field_shows_is_kept_and_said(studio, tmp_path):
    sketch = b64encode(encode_picture(Image.new("L", (32, 32)))).decode()
    region = {"box": [0.4, 0.4, 0.42, 0.9], "prompt": "a <pettigrew>"}
    region |= {"negative": "a hat", "weight": 0.5, "feather": 0.2, "controls": {"sketch": 0.3}}
    condition = {"kind": "control", "name": "sketch", "picture": sketch, "weight": 0.85}
    file, recipe = carrying(
        studio,
        tmp_path,
        scale=0.0,
        separation=1.0,
        layout=0.25,
        guidance=61.5,
        regions=[region, {"box": [0.1234, 0, 1, 1], "prompt": "snow", "start": 0.5}],
        conditions=[{**condition, "end": 0.6}],
    )
    studio.reopen(file)
    studio.page.sees("This picture's recipe is filled in.")
    also = studio.page.one("#kept").text.partition("It also says ")[2]
    whole, pettigrew, snow, lines = also.removesuffix(".").split("; ")
    assert set(whole.split(", ")) == {"scale 0", "separation 1", "layout 0.25"}
    told = {"negative a hat", "weight 0.5", "feather 0.2", "weight of sketch 0.3"}
    assert set(pettigrew.removeprefix("of “a <pettigrew>” ").split(", ")) == told
    assert (snow, lines) == ("of “snow” start 0.5", "of “sketch” end 0.6")
    pictures = {"conditions": {0: {"picture"}}}  # written anew
    ordered = studio.ordered()
    assert ordered.model_dump(exclude=pictures) == recipe.model_dump(exclude=pictures)


def test_nothing_is_said_of_what_is_as_always(studio, tmp_path):
    file, recipe = carrying(studio, tmp_path, regions=[{"box": [0, 0, 1, 1], "prompt": "snow"}])
    studio.reopen(file)
    studio.page.sees("This picture's recipe is filled in.")
    assert "It also says" not in studio.page.text
    assert studio.ordered() == recipe


def test_concepts_are_those_of_the_reopened_release(studio, releases, tuned, tmp_path):
    file, _ = carrying(studio, tmp_path)
    studio.page.go(f"/gallery/studio?release={tuned}")
    studio = type(studio)(studio.page)
    assert studio.page.texts("#tray .chip > span:last-child") == ["bolt", "gloop"]
    studio.reopen(file)
    studio.page.one("[data-concept=potter]")
    assert studio.read("release") == [releases[-1]]
    assert len(studio.page.all("#tray .chip")) == 2
    studio.page.one("#prompt").clear()
    studio.page.one("#prompt").send_keys("a <pet")
    assert eventually(lambda: studio.page.texts("#names li")) == ["pettigrew"]
