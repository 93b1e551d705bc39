"""Drawing for members: a real server, a real release, a real worker."""

import io
import os
import signal
from base64 import b64encode
from pathlib import Path

import pytest
from PIL import Image

from fedshow.sampling import carried
from fedshow.sampling.loading import load
from fedshow.sampling.pictures import encode_picture
from fedshow_server.fusion.offline import fuse_to_folder
from fedshow_server.releasing.publishing import publish
from fedshow_server.releasing.signing import open_signer
from tests.conftest import BASE
from tests.stage.concepts import make_data, random_concept
from tests.stage.processes import children
from tests.stage.server import Server
from tests.stage.waiting import eventually

ENDED = ("done", "failed", "cancelled")
LIMITS = {
    "FEDSHOW_SERVER_DRAWINGS_AT_ONCE": "2",
    "FEDSHOW_SERVER_DRAWING_PIXELS": str(64 * 64),
}


@pytest.fixture(scope="module")
def release(opened_base, tmp_path_factory) -> Path:
    """A release of one concept made from noise."""
    folder = tmp_path_factory.mktemp("release")
    file = folder / "potter.safetensors"
    random_concept(file, opened_base.card, "potter", seed=1)
    fuse_to_folder(BASE, [file], folder / "release", method="average")
    return folder / "release"


@pytest.fixture(scope="module")
def studio(opened_base, release, tmp_path_factory):
    """A server that has it."""
    data = make_data(tmp_path_factory.mktemp("studio") / "data", opened_base.card, BASE)
    found = Server(data, LIMITS, options=("--base", BASE))
    found.start()
    store = found.store()
    publish(store, release, open_signer(data / "ca"))
    store.close()
    yield found
    assert found.end() == 0


@pytest.fixture(scope="module")
def anna(studio, joined):
    return joined(studio, "anna")


@pytest.fixture
def ask(studio, anna):
    """Requests as anna."""
    with studio.http() as client:
        client.headers["authorization"] = f"Bearer {anna.reply.token}"
        yield client.request


def order(ask, **recipe):
    recipe = {"prompt": "a <potter>", "steps": 2, **recipe}
    answer = ask("POST", "/api/drawings", json={"recipe": recipe})
    assert answer.status_code == 202, answer.text
    return answer.json()


def until(ask, drawing, *states):
    found = {}

    def reached() -> bool:
        found.update(ask("GET", f"/api/drawings/{drawing['id']}").json())
        return found["state"] in states

    eventually(reached)
    return found


def workers(studio) -> list[int]:
    return children(studio.process.pid, "fedshow_server.drawing.worker")


def test_pictures_are_those_of_the_release(ask, release, tmp_path):
    region = {"box": [0, 0, 0.5, 1], "prompt": "a robot"}
    queued = order(ask, regions=[region], n=2, seed=5)
    assert (queued["state"], queued["ahead"], queued["pictures"]) == ("queued", 0, [])
    done = until(ask, queued, *ENDED)
    assert (done["state"], done["reason"]) == ("done", "")
    assert (done["done_steps"], done["all_steps"]) == (2, 2)
    assert [one["id"] for one in ask("GET", "/api/drawings").json()][:1] == [done["id"]]
    answers = [ask("GET", path) for path in done["pictures"]]
    assert [answer.headers["content-type"] for answer in answers] == ["image/png"] * 2
    (tmp_path / "second.png").write_bytes(answers[1].content)
    said = carried.read(tmp_path / "second.png")
    assert said.model.release == done["release"]
    assert said.recipe.seed == 6
    model = load(release)
    (same,) = model.draw(said.recipe.recipe()).images
    with Image.open(io.BytesIO(answers[1].content)) as picture:
        difference = max(abs(a - b) for a, b in zip(picture.tobytes(), same.tobytes(), strict=True))
    assert difference <= 1


def test_what_is_drawn_can_be_cancelled(ask):
    long, behind = order(ask, steps=100, n=8, width=64, height=64), order(ask)
    assert behind["ahead"] == 1
    seen = until(ask, long, "drawing", *ENDED)
    assert seen["state"] == "drawing"
    assert ask("DELETE", f"/api/drawings/{long['id']}").json()["state"] == "cancelled"
    assert until(ask, behind, *ENDED)["state"] == "done"
    assert until(ask, long, *ENDED)["done_steps"] < 100, "it was not drawn to its end"
    assert ask("GET", f"/api/drawings/{long['id']}/pictures/1").status_code == 404


def test_a_killed_worker_costs_nothing(ask, studio):
    drawing = order(ask, steps=100, n=8, width=64, height=64)
    assert until(ask, drawing, "drawing", *ENDED)["state"] == "drawing"
    (worker,) = workers(studio)
    os.kill(worker, signal.SIGKILL)
    log = studio.data / "server.log"
    eventually(lambda: "the drawing worker ended with" in log.read_text())
    assert until(ask, drawing, *ENDED)["state"] == "done"


def test_a_member_has_so_many_at_once(ask):
    drawings = [order(ask, steps=100, n=8), order(ask, steps=100, n=8)]
    answer = ask("POST", "/api/drawings", json={"recipe": {"prompt": "a cat"}})
    assert (answer.status_code, "limit 2" in answer.text) == (429, True)
    assert int(answer.headers["retry-after"]) > 0
    for drawing in drawings:
        ask("DELETE", f"/api/drawings/{drawing['id']}")
    until(ask, order(ask), "done")


def test_others_see_nothing(ask, studio, joined):
    drawing = until(ask, order(ask), *ENDED)
    bob = joined(studio, "bob")
    with studio.http() as client:
        client.headers["authorization"] = f"Bearer {bob.reply.token}"
        for verb, path in (
            ("GET", f"/api/drawings/{drawing['id']}"),
            ("DELETE", f"/api/drawings/{drawing['id']}"),
            ("GET", drawing["pictures"][0]),
        ):
            assert client.request(verb, path).status_code == 404
        assert client.get("/api/drawings").json() == []


@pytest.mark.parametrize(
    ("recipe", "says"),
    [
        ({"prompt": "a <poter>"}, "did you mean <potter>?"),
        ({"prompt": "x", "regions": [{"box": [0, 0, 2, 1], "prompt": "y"}]}, "region box 0,0,2,1"),
        ({"prompt": "x", "regions": [{"box": [0, 0, 1], "prompt": "y"}]}, "recipe.regions.0.box"),
        ({"prompt": "x", "regions": [{"mask": "???", "prompt": "y"}]}, "region mask: is no base64"),
        ({"prompt": "x", "n": 9}, "9 pictures: this server draws at most 8"),
        ({"prompt": "x", "steps": 101}, "101 steps: this server draws at most 100"),
        (
            {"prompt": "x", "width": 128, "height": 64},
            "128x64 pixels: this server draws at most 4096",
        ),
        ({"prompt": "x", "guidance": "much"}, "recipe.guidance"),
        ({"prompt": "x", "size": 3}, "recipe.size"),
        ({}, "recipe.prompt"),
    ],
)
def test_what_cannot_be_ordered_is_refused(ask, recipe, says):
    answer = ask("POST", "/api/drawings", json={"recipe": recipe})
    assert (answer.status_code, says in answer.json()["message"]) == (400, True), answer.text


def test_no_file_of_the_server_is_a_condition(ask, tmp_path):
    """Modules go by their type alone."""
    picture = b64encode(encode_picture(Image.new("L", (32, 32)))).decode()
    for name in (str(tmp_path), "../control", "pose"):
        condition = {"kind": "control", "name": name, "picture": picture}
        recipe = {"prompt": "x", "conditions": [condition]}
        answer = ask("POST", "/api/drawings", json={"recipe": recipe})
        assert (answer.status_code, "here there is sketch" in answer.text) == (400, True)


def test_what_only_the_worker_can_tell_fails_with_its_reason(ask):
    drawing = until(ask, order(ask, prompt="word " * 40), *ENDED)
    assert drawing["state"] == "failed"
    assert "tokens, limit 32" in drawing["reason"]


def test_releases_that_are_not_there(ask):
    answer = ask("POST", "/api/drawings", json={"release": "f" * 16, "recipe": {"prompt": "x"}})
    assert answer.status_code == 404


@pytest.mark.parametrize("number", ["0", "3", "x", "1.png", "-1", "%2e%2e%2f1"])
def test_pictures_that_are_not_there(ask, number):
    drawing = until(ask, order(ask), *ENDED)
    assert ask("GET", f"/api/drawings/{drawing['id']}/pictures/{number}").status_code == 404


def test_a_server_need_not_draw(tmp_path, joined):
    none = Server(make_data(tmp_path / "data"), {"FEDSHOW_SERVER_DRAWINGS_AT_ONCE": "0"})
    none.start()
    anna = joined(none, "anna")
    with none.http() as client:
        client.headers["authorization"] = f"Bearer {anna.reply.token}"
        answer = client.post("/api/drawings", json={"recipe": {"prompt": "x"}})
    assert none.end() == 0
    assert (answer.status_code, "does not draw" in answer.text) == (403, True)


def test_the_worker_goes_when_nobody_draws(ask, studio):
    until(ask, order(ask), *ENDED)
    eventually(lambda: not workers(studio))
