"""Flows: pictures are laid out, drawn, compared, cancelled."""

import io
import time

import pytest
from PIL import Image

from fedshow.demo.measuring import held_out_references, present, reference
from fedshow.roles import Role
from fedshow.sampling import carried
from fedshow.toyworld.encoder import load_encoder
from tests.stage.studio import Studio
from tests.stage.waiting import eventually

WHOLE = (1280, 1540)
HALVES = (((0.02, 0.02), (0.49, 0.99)), ((0.51, 0.02), (0.99, 0.99)))


def test_two_characters_laid_out_by_mouse_are_both_in_the_picture(
    enter, tuned, people, tmp_path, picture
):
    studio = Studio(enter(Role.CONTRIBUTOR, "/gallery/studio"))
    studio.shape(64, 32)
    studio.write(prompt="an empty beach", seed=3)
    for (begin, end), person in zip(HALVES, people, strict=True):
        studio.pull(begin, end)
        studio.drop(person.concept, ((begin[0] + end[0]) / 2, 0.5))
    assert list(studio.regions) == ["a <gloop>", "a <bolt>"]
    for field in studio.page.all("#regions [data-part=prompt]"):
        field.send_keys(" on the beach")
    (drawn,) = studio.draw()
    assert drawn.get_attribute("data-state") == "done", drawn.text
    (png,) = studio.pictures()
    studio.page.be(WHOLE)
    studio.page.driver.execute_script("scrollTo(0, 0)")
    picture(studio.page, "studio")
    (tmp_path / "both.png").write_bytes(png)
    said = carried.read(tmp_path / "both.png")
    assert said.model.release == tuned
    encoder = load_encoder()
    known = [reference(person.concept, person.images, encoder) for person in people]
    with Image.open(io.BytesIO(png)) as image:
        regions, crowd = said.recipe.recipe().regions, held_out_references(encoder)
        assert present(image.convert("RGB"), regions, known, crowd, encoder).both


def test_two_releases_side_by_side_from_one_seed(studio, releases, tmp_path):
    studio.write(prompt="a <potter>", steps=4, other=releases[0])
    studio.page.click("Another")
    (seed,) = studio.read("seed")
    figures = studio.draw()
    assert [figure.get_attribute("data-state") for figure in figures] == ["done", "done"]
    first, second = (figure.rect for figure in figures)
    assert (first["y"], first["x"] < second["x"]) == (second["y"], True)
    for number, (png, release) in enumerate(zip(studio.pictures(), releases[::-1], strict=True)):
        file = tmp_path / f"{number}.png"
        file.write_bytes(png)
        said = carried.read(file)
        assert (said.model.release, said.recipe.seed) == (release, int(seed))


def test_what_one_release_does_not_know_is_said_beside_the_other(studio, releases, tuned):
    studio.page.excuse("the server responded with a status of 400")
    studio.page.driver.refresh()  # there is a new release to compare with
    studio = Studio(studio.page)
    studio.write(prompt="a <potter>", steps=2, other=tuned)
    known, unknown = studio.draw()
    assert known.get_attribute("data-state") == "done"
    assert "<potter> in the prompt is not a concept of this model" in unknown.text


def test_a_drawing_can_be_cancelled_while_it_is_drawn(studio, held):
    studio.write(prompt="a <potter>", steps=100, n=8)
    studio.shape(64, 64)
    studio.order()
    studio.ended("drawing")
    studio.page.sees("of 100 steps")
    with held():
        assert studio.page.all("progress")
        studio.page.click("Cancel")
        (figure,) = studio.ended()
    assert figure.get_attribute("data-state") == "cancelled"
    time.sleep(1.5)  # the page may have asked once more; or asks no more, which nothing tells
    assert "Cancelled" in figure.text
    assert not studio.page.all("progress")
    assert not studio.pictures()


def test_what_the_server_refuses_is_said(studio):
    studio.page.excuse("the server responded with a status of 400")
    studio.write(prompt="a <nobody>")
    studio.page.one("#draw").click()
    studio.page.sees("<nobody> in the prompt is not a concept of this model")
    assert studio.page.one("#fault").get_attribute("role") == "alert"


ONCE = """
const [verb, status] = arguments;
const real = window.fetch;
window.fetch = async (path, how) => {
  const wanted = (how?.method ?? "GET") === verb && /drawings\\/./.test(path);
  if (!wanted) return real(path, how);
  window.fetch = real;
  window.refused = true;
  return Response.json({message: "not just now"}, {status});
};
"""
"""The next call of this kind about one drawing is answered so, without the server's hearing of it."""


UNTOLD = """
const real = window.fetch;
window.fetch = async (path, how) => {
  if (!/drawings\\/./.test(path)) return real(path, how);
  if (how?.method === "DELETE") window.fetch = real;
  return Response.json({message: "not just now"}, {status: 503});
};
"""
"""Nobody hears how far a drawing is before it could not be cancelled, however fast it is drawn."""


def once(studio, verb, status):
    studio.page.driver.execute_script(ONCE, verb, status)


def was_refused(studio):
    return studio.page.driver.execute_script("return window.refused === true")


def looked_at_again(studio):
    """The page asked how far a drawing is, once more."""
    looks = studio.page.calls("/api/drawings/")
    eventually(lambda: studio.page.calls("/api/drawings/") > looks)


@pytest.mark.parametrize("status", [429, 503])
def test_a_look_that_the_server_has_no_time_for_is_no_end(studio, status):
    studio.write(prompt="a <potter>", steps=2)
    once(studio, "GET", status)
    (figure,) = studio.draw()
    assert was_refused(studio)
    assert figure.get_attribute("data-state") == "done", figure.text
    assert studio.pictures()


def test_what_could_not_be_cancelled_goes_on_and_can_be_cancelled(studio, held):
    studio.write(prompt="a <potter>", steps=100, n=8)
    studio.shape(64, 64)
    once(studio, "DELETE", 503)
    studio.order()
    studio.ended("drawing")
    with held():
        studio.page.click("Cancel")
        studio.page.sees("not cancelled: not just now")
        looked_at_again(studio)
        (figure,) = studio.ended("drawing")
        assert "not cancelled" in figure.text
        assert studio.page.all("progress")
        studio.page.click("Cancel")
        (figure,) = studio.ended()
    assert figure.get_attribute("data-state") == "cancelled"
    assert "not cancelled" not in figure.text


def test_a_picture_comes_although_cancelling_failed(studio):
    studio.write(prompt="a <potter>", steps=2)
    studio.page.driver.execute_script(UNTOLD)
    studio.order()
    studio.page.click("Cancel")
    (figure,) = studio.ended()
    assert figure.get_attribute("data-state") == "done", figure.text
    assert studio.pictures()
