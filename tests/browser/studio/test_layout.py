"""Flows: regions by keys, finger and brush; names that complete; sketches; for everybody."""

from hashlib import sha256

import pytest
from PIL import Image
from selenium.webdriver.common.keys import Keys

from fedshow.roles import Role
from fedshow.sampling.pictures import encode_picture
from fedshow_server.store import Offer
from fedshow_server.store.samples import Sample
from tests.stage.page import DESK, PHONE
from tests.stage.waiting import eventually


def test_a_box_and_its_prompt_by_keys_alone(studio):
    driver = studio.page.driver
    studio.write(prompt="a beach")
    studio.page.one("#add-box").send_keys(Keys.ENTER)
    field = driver.switch_to.active_element
    assert field.get_attribute("aria-label") == "Prompt of region 1"
    field.send_keys("a <pett")
    eventually(lambda: studio.page.texts("#names li") == ["pettigrew"])
    field.send_keys(Keys.ENTER, " in the snow")
    box = studio.page.one(".box")
    for keys in (Keys.ARROW_RIGHT, Keys.SHIFT + Keys.ARROW_LEFT, Keys.SHIFT + Keys.ARROW_UP):
        box.send_keys(keys)
    (region,) = studio.ordered().regions
    assert region.prompt == "a <pettigrew> in the snow"
    assert region.box == pytest.approx([0.02, 0, 0.5, 0.98])
    assert "a <pettigrew> in the snow, left 2 %" in box.get_attribute("aria-label")
    box.send_keys(Keys.DELETE)
    assert not studio.regions
    assert driver.switch_to.active_element.get_attribute("id") == "add-box"


COUNT = """
const real = window.fetch;
window.orders = 0;
window.fetch = async (path, how) => {
  if (how?.method !== "POST") return real(path, how);
  window.orders += 1;
  return Response.json({message: "not now"}, {status: 400});
};
"""
"""What is ordered is counted, and refused."""

TYPE_AT_ONCE = """
const [field, text] = arguments;
field.value = text;
field.dispatchEvent(new Event("input", {bubbles: true}));
field.dispatchEvent(new KeyboardEvent("keydown", {key: "Enter", bubbles: true}));
"""
"""With Enter in no time: whoever pauses before it is answered already."""


def test_enter_in_a_field_orders_nothing(studio):
    studio.write(prompt="a beach")
    studio.pull((0.1, 0.1), (0.5, 0.5))
    studio.page.driver.execute_script(COUNT)
    before = studio.page.calls("find=pott")
    studio.page.driver.execute_script(TYPE_AT_ONCE, studio.page.one("#find"), "pott")
    eventually(lambda: len(studio.page.all("#tray .chip")) == 1)
    assert studio.page.calls("find=pott") == before + 1, "asked at once, and not again"
    studio.page.one("#find").send_keys(Keys.ENTER)
    studio.page.one("#regions summary").click()
    right = studio.page.all("#regions [data-part=edges] input")[2]
    right.clear()
    right.send_keys("80", Keys.ENTER)
    (where,) = studio.regions.values()
    assert where == "Box: left 10 %, top 10 %, right 80 %, bottom 50 %"
    studio.page.one("#seed").send_keys("7", Keys.ENTER)
    studio.page.one("#draw").click()
    studio.page.sees("not now")
    assert studio.page.driver.execute_script("return window.orders") == 1, "by Draw alone"


def test_boxes_are_moved_and_resized_by_mouse(studio):
    studio.pull((0.1, 0.1), (0.5, 0.5))
    studio.pull((0.3, 0.3), (0.5, 0.4))
    (where,) = studio.regions.values()
    assert where == "Box: left 30 %, top 20 %, right 70 %, bottom 60 %"
    studio.pull((0.7, 0.6), (0.9, 0.9))
    (where,) = studio.regions.values()
    assert where == "Box: left 30 %, top 20 %, right 90 %, bottom 90 %"
    studio.pull((0.6, 0.5), (0, 0))
    (where,) = studio.regions.values()
    assert where == "Box: left 0 %, top 0 %, right 60 %, bottom 70 %"


def test_with_a_finger_on_a_phone(studio):
    studio.page.be(PHONE)
    studio.page.driver.execute_script(
        "arguments[0].scrollIntoView({block: 'center'})", studio.stage
    )
    studio.finger((0.1, 0.1), (0.6, 0.9))
    (where,) = studio.regions.values()
    assert where == "Box: left 10 %, top 10 %, right 60 %, bottom 90 %"


def test_names_complete_while_one_types(studio):
    field = studio.page.one("#prompt")
    field.send_keys("two: <")
    eventually(lambda: studio.page.texts("#names li") == ["pettigrew", "potter"])
    field.send_keys("P", Keys.ARROW_DOWN)
    active = studio.page.one(f"#{field.get_attribute('aria-activedescendant')}")
    assert (active.text, active.get_attribute("aria-selected")) == ("potter", "true")
    field.send_keys(Keys.TAB, " and <grew")
    assert [found.text for found in studio.page.all("#names li")] == ["pettigrew"]
    field.send_keys(Keys.ENTER)
    assert studio.read("prompt") == ["two: <potter> and <pettigrew>"]
    assert not studio.page.one("#names").is_displayed()


LATE = """
const real = window.fetch;
const told = new Promise((done) => (window.tell = done));
window.fetch = async (path, how) => {
  if (String(path).startsWith("/api/releases/")) await told;
  return real(path, how);
};
"""
"""What a release holds is not known before `tell()`."""


def test_names_that_come_late_are_offered_to_who_types_already(studio):
    driver = studio.page.driver
    late = driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": LATE})
    driver.refresh()
    driver.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", late)
    studio.page.one("#prompt").send_keys("a <gr")
    assert not studio.page.one("#names").is_displayed()
    driver.execute_script("tell()")
    eventually(lambda: studio.page.texts("#names li") == ["pettigrew"])


def test_a_mask_is_painted_and_a_sketch_added(studio, tmp_path):
    drawing = Image.new("L", (64, 64), 255)
    drawing.paste(0, (16, 30, 48, 34))
    drawing.save(tmp_path / "black on white.png")
    studio.write(prompt="a beach")
    studio.page.click("Add a mask")
    studio.pull((0.1, 0.5), (0.4, 0.5))
    studio.drop("potter", (0.2, 0.5))
    studio.page.click("Add")
    upload = studio.page.one(".condition input[type=file]")
    upload.send_keys(str(tmp_path / "black on white.png"))
    studio.pull((0.5, 0.1), (0.5, 0.2))
    recipe = studio.ordered().recipe()
    (region,), (condition,) = recipe.regions, recipe.conditions
    assert region.prompt == "a <potter>"
    left, top, right, bottom = region.bounds
    assert (left < 0.12, 0.4 < right < 0.5, top > 0.4, bottom < 0.6) == (True,) * 4
    assert (condition.kind, condition.name) == ("control", "sketch")
    picture = condition.picture.convert("L")
    lines = [picture.getpixel((x, 16)) for x in (2, 16, 30)]
    assert lines == [0, 255, 0], "white lines on black"
    assert max(picture.getpixel((x, 5)) for x in (15, 16)) > 120, "the stroke"
    across = sum(region.mask.getpixel((8, y)) for y in (15, 16))
    assert across > 280, "white, whatever its colour on the page"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_serious_fault_in_any_look_and_size(studio, picture, scheme):
    page = studio.page
    page.look(scheme)
    studio.drop("potter", (0.3, 0.5))
    page.click("Add a mask")
    page.click("Add")
    page.one(".more summary").click()
    for size in (DESK, PHONE):
        page.be(size)
        assert page.serious_faults() == [], size
        assert not page.overflows(), size


def test_a_card_shows_what_the_server_drew_of_its_concept(studio, members, server):
    store = server.store()
    carl = store.members.authenticate(members[Role.CONTRIBUTOR].reply.token)
    content = encode_picture(Image.new("RGB", (8, 8), "red"))
    store.concepts.submit(carl.id, Offer("potter", "man", "ab" * 32, 10, None), 100)
    store.concepts.admit("ab" * 32, 4)
    subject = store.samples.next("toyworld")
    digest = sha256(content).hexdigest()
    store.samples.add(subject, [Sample(0, "a <x>", 1.0, 1, 20, 8, 8, digest, content)])
    store.close()
    studio.page.driver.refresh()
    card = studio.page.one("[data-concept=potter] img")
    eventually(lambda: card.get_property("naturalWidth"))
    assert digest[:16] in card.get_attribute("src")
    assert not studio.page.all("[data-concept=pettigrew] img")
