"""What the pages show and do: the same as the commands, and nothing private outlasts its answer."""

import io
import json
import re
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from PIL import Image

from fedshow.roles import Role
from fedshow.transfer.servers import save_server
from fedshow_client.home import Home
from fedshow_client.page import looking
from fedshow_client.page.browsing import listing
from fedshow_client.page.entering import Entering
from fedshow_client.queue import Job, JobState, NewJob, Queue
from fedshow_client.tuning.watching.sample_files import keep_last_look, sample_path
from tests.client.page.conftest import Visitor
from tests.conftest import Call


@pytest.fixture
def looked(visitor: Visitor, known, pictures: Path) -> str:
    """The path of the page about a folder of three images."""
    answer = visitor.post("/folders", folder=str(pictures))
    assert answer.status_code == 303, answer.text
    return answer.headers["location"].removeprefix(visitor.room)


@pytest.fixture
def put(queue: Queue, known) -> Callable[..., Job]:
    """Queues a concept without looking at its images."""

    def add(name: str = "potter") -> Job:
        return queue.add(NewJob("home", name, "man", Path("/pictures"), "toyworld"))

    return add


def leave_samples(place: Home, job: Job, *steps: int) -> Path:
    work = place.job(job.id).work
    (work / "samples").mkdir(parents=True)
    for step in steps:
        for number in range(9):
            Image.new("RGB", (8, 8), (step, number, 0)).save(
                sample_path(work / "samples", step, number)
            )
    return work


def test_what_check_found_is_shown_and_its_pictures_are_kept_by_nobody(
    visitor: Visitor, looked: str, pictures: Path
) -> None:
    text = visitor.text(looked)
    assert "3 of 3 images usable" in text
    assert "usable images: 3, few" in text
    for number in range(3):
        address = f"{looked}/pictures/{number}"
        assert f'src="{visitor.room}{address}"' in text
        answer = visitor.get(address)
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["content-type"] == "image/jpeg"
        with Image.open(io.BytesIO(answer.content)) as image:
            red, *_ = image.convert("RGB").getpixel((32, 32))
        assert abs(red - 80 * number) < 9
    assert visitor.get(f"{looked}/pictures/3").status_code == 404
    assert len(looked.removeprefix("/folders/")) >= 22, "somebody could guess it"


def test_only_the_last_looks_are_kept(visitor: Visitor, looked: str, pictures: Path) -> None:
    for _ in range(looking.MOST_LOOKS):
        assert visitor.post("/folders", folder=str(pictures)).status_code == 303
    assert visitor.get(looked).status_code == 404
    assert visitor.get(f"{looked}/pictures/0").status_code == 404


def test_a_thumbnail_has_nothing_of_its_file_but_the_picture(
    visitor: Visitor, known, pictures: Path
) -> None:
    exif = Image.Exif()
    exif[0x010E] = "taken at home"
    Image.new("RGB", (900, 600)).save(pictures / "0.jpg", exif=exif)
    looked = visitor.post("/folders", folder=str(pictures)).headers["location"]
    answer = visitor.client.get(f"{looked}/pictures/0")
    assert b"taken at home" not in answer.content
    with Image.open(io.BytesIO(answer.content)) as image:
        assert max(image.size) == looking.EDGE_PIXELS


def test_starting_queues_what_the_command_would(
    visitor: Visitor, looked: str, pictures: Path, queue: Queue, call: Call
) -> None:
    answer = visitor.post(
        looked, name="potter", **{"class": "monster"}, steps="30", seed="", flip="no", set="ema=0.9",
        priority="-2", max_leakage="0.5", visible_to="bob, anna",
    )  # fmt: skip
    assert answer.status_code == 303, answer.text
    asked = ["--steps", "30", "--no-flip", "--set", "ema=0.9", "--priority", "-2"]
    asked += ["--max-leakage", "0.5", "--visible-to", "bob", "--visible-to", "anna"]
    assert call("client", "add", pictures, "--name", "other", "--class", "monster", *asked)[0] == 0
    first, second = queue.jobs()
    assert answer.headers["location"] == f"{visitor.room}/jobs/{first.id}"
    for fact in ("options", "priority", "visible_to", "images", "base", "server", "class_word"):
        assert getattr(first, fact) == getattr(second, fact), fact


WRONG = (
    ({"name": "No Name!"}, "'No Name!'"),
    ({"class": "sea monster"}, "'sea monster'"),
    ({"steps": "many"}, "steps = 'many': not a number"),
    ({"steps": "0"}, "steps = 0"),
    ({"seed": "9" * 30}, "no number up to"),
    ({"priority": "9" * 30}, "no number up to"),
    ({"max_leakage": "1.5"}, "max_leakage = 1.5"),
    ({"max_leakage": "nan"}, "max_leakage"),
    ({"flip": "maybe"}, "flip = 'maybe'"),
    ({"set": "pace=9"}, "pace"),
    ({"visible_to": "me bob"}, "'me' goes with no other name"),
)


def test_what_is_wrong_is_said_and_what_was_typed_stays(
    visitor: Visitor, looked: str, queue: Queue
) -> None:
    for fields, says in WRONG:
        answer = visitor.post(
            looked, **{"name": "potter", "class": "monster", "steps": "7"} | fields
        )
        assert answer.status_code == 400, says
        alert = answer.text.partition('role="alert">')[2].partition("</p>")[0]
        assert says in alert.replace("&#39;", "'")
        typed = next(iter(fields.values()))
        assert f'value="{typed}"' in answer.text or fields.keys() == {"flip"}
    assert queue.jobs() == []


@pytest.mark.parametrize(
    "folder", ["", "pictures", "~nobody-here/x", "/nowhere/at/all", "/x\0y", "/" + "x" * 300]
)
def test_folders_that_are_none(visitor: Visitor, known, in_home, folder: str) -> None:
    answer = visitor.post("/folders", folder=folder)
    assert answer.status_code == 400
    assert 'role="alert"' in answer.text


def test_what_may_not_be_read_is_said(
    visitor: Visitor, known, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refusing(method: Callable[..., Any], name: str) -> Callable[..., Any]:
        def refuse(path: Path, *rest: Any, **named: Any) -> Any:
            if path.name == name:
                raise PermissionError(13, "Permission denied", str(path))
            return method(path, *rest, **named)

        return refuse

    (pictures / "0.txt").write_text("a cat")
    for method, name in (("is_dir", pictures.name), ("read_text", "0.txt")):
        with monkeypatch.context() as at_once:
            at_once.setattr(Path, method, refusing(getattr(Path, method), name))
            answer = visitor.post("/folders", folder=str(pictures))
        assert answer.status_code == 400, method
        assert f"{name}: Permission denied" in answer.text


def test_the_server_that_was_chosen_stays_chosen(
    visitor: Visitor, known, home: Path, in_home
) -> None:
    in_home("photos")
    save_server(known.model_copy(update={"server": "club", "name": "club"}), home)
    first, second = re.findall(r"<option>(\w+)</option>", visitor.text("/folders"))
    for chosen, other in ((first, second), (second, first)):
        answer = visitor.post("/folders", folder="/nowhere", server=chosen)
        assert answer.status_code == 400
        assert f"<option selected>{chosen}</option>" in answer.text
        assert f"<option>{other}</option>" in answer.text
        link = answer.text.partition(" places-in")[2].partition('href="')[2].partition('"')[0]
        walked = visitor.client.get(unescape(link)).text
        assert "0 images in it" in walked
        assert f"<option selected>{chosen}</option>" in walked


def test_a_folder_of_very_many_images_is_refused_before_any_is_opened(
    visitor: Visitor, known, tmp_path: Path
) -> None:
    for number in range(looking.MOST_IMAGES + 1):
        (tmp_path / f"{number}.jpg").touch()
    answer = visitor.post("/folders", folder=str(tmp_path))
    assert f"{looking.MOST_IMAGES + 1} images" in answer.text


def test_a_downloader_is_not_offered_to_add(visitor: Visitor, known, home, pictures) -> None:
    save_server(known.model_copy(update={"role": Role.DOWNLOADER}), home)
    assert "No server that takes concepts of yours" in visitor.text("/folders")
    answer = visitor.post("/folders", folder=str(pictures))
    assert answer.status_code == 400


def test_the_listing_does_not_leave_the_home(visitor: Visitor, known, in_home, tmp_path) -> None:
    in_home("photos/anna")
    in_home(".secret")
    (tmp_path / "photos" / "out").symlink_to("/")
    text = visitor.text("/folders?at=photos")
    assert ">anna</a>" in text
    assert ">out</a>" not in text
    for elsewhere in ("/", "/etc", "..", "photos/out", "photos/../../..", "\0", "x" * 5000):
        text = visitor.text(f"/folders?at={quote(elsewhere, safe='')}")
        assert ">photos</a>" in text, elsewhere
        assert ".secret" not in text
        assert ">etc</a>" not in text
    assert [found.name for found in listing(tmp_path, "photos").folders] == ["anna"]


def test_names_of_folders_are_text(visitor: Visitor, known, in_home) -> None:
    in_home("<script>alert(1)</script> & “co” %2e")
    page = visitor.get("/folders").text
    assert "<script>alert" not in page
    link = page.partition(" places-in")[2].partition('href="')[2].partition('"')[0]
    assert "0 images in it" in visitor.client.get(link).text.replace("&amp;", "&")


def test_samples_and_curve_of_a_concept(
    visitor: Visitor, place: Home, put: Callable[..., Job]
) -> None:
    job = put()
    leave_samples(place, job, 50, 100)
    told = [json.dumps({"step": k, "steps": 200, "loss": 1 / k, "seconds": k}) for k in (10, 20)]
    place.job(job.id).progress.write_text("\n".join([*told, '{"step": 3']))
    text = visitor.text(f"/jobs/{job.id}")
    assert "Samples after step 100" in text
    assert "loss" in text
    assert '<path class="one"' in text
    assert 'style="' not in text
    address = f"/jobs/{job.id}/samples/100/8"
    assert f'src="{visitor.room}{address}"' in text
    answer = visitor.get(address)
    assert answer.headers["cache-control"] == "no-store"
    with Image.open(io.BytesIO(answer.content)) as image:
        assert image.getpixel((0, 0)) == (100, 8, 0)
    assert "Samples after step 50" in visitor.text(f"/jobs/{job.id}?look=50")
    assert "Samples after step 100" in visitor.text(f"/jobs/{job.id}?look=../../x")
    for missing in ("100/9", "99/0", "1000000/0"):
        assert visitor.get(f"/jobs/{job.id}/samples/{missing}").status_code == 404
    assert visitor.get("/jobs/99").status_code == 404
    assert visitor.get("/jobs/99/withdraw").status_code == 404


def test_of_a_tuned_concept_only_the_last_samples_stay(place: Home, put) -> None:
    """Latents, which are the private pictures in other words, do not."""
    work = leave_samples(place, put(), 50, 100)
    (work / "latents.safetensors").touch()
    (work / "more").mkdir()
    (work / "more" / "file").touch()
    keep_last_look(work)
    assert [path.name for path in work.iterdir()] == ["samples"]
    assert {path.name[:10] for path in (work / "samples").iterdir()} == {"step000100"}
    assert len(list((work / "samples").iterdir())) == 9
    for path in (work / "samples").iterdir():
        path.unlink()
    keep_last_look(work)
    assert not work.exists()
    keep_last_look(work)


def test_the_buttons_do_what_the_commands_do(visitor: Visitor, queue: Queue, put) -> None:
    job = put()

    def press(what: str, **fields: str) -> Any:
        answer = visitor.post(f"/jobs/{job.id}/{what}", **fields)
        return answer.status_code, queue.get(job.id)

    assert press("pause")[1].paused
    assert not press("resume")[1].paused
    assert press("priority", priority="9")[1].priority == 9
    assert press("retry")[0] == 400  # it has not failed
    queue.move(job.id, JobState.FAILED, "no room")
    assert press("retry")[1].state == JobState.QUEUED
    assert press("explode")[0] == 400
    code, found = press("withdraw")
    assert (code, found.state) == (303, JobState.WITHDRAWN)


def test_starting_over_forgets_the_steps_done(
    visitor: Visitor, queue: Queue, place: Home, put
) -> None:
    job = put()
    leave_samples(place, job, 50)
    queue.move(job.id, JobState.FAILED, "no room")
    assert "Start over" in visitor.text(f"/jobs/{job.id}")
    assert visitor.post(f"/jobs/{job.id}/start-over").status_code == 303
    assert not place.job(job.id).path.exists()


def test_an_older_job_of_the_same_name_is_not_steered(visitor: Visitor, queue, put) -> None:
    old = put()
    queue.move(old.id, JobState.WITHDRAWN)
    new = put()
    answer = visitor.post(f"/jobs/{old.id}/withdraw")
    assert answer.status_code == 400
    assert queue.get(new.id).state == JobState.QUEUED
    assert "Withdraw…" not in visitor.text(f"/jobs/{old.id}")
    assert "Withdraw…" in visitor.text(f"/jobs/{new.id}")


def test_the_history_tells_of_all_jobs_and_releases(visitor: Visitor, queue, put) -> None:
    queue.move(put().id, JobState.WITHDRAWN)
    put()
    queue.saw_release("home", "r" * 16, ["potter", "anna"])
    text = visitor.text("/history")
    assert text.count(">potter</a>") == 2
    assert "r" * 16 in text
    assert "<li>anna</li>" in text
    assert text.index("waits for its turn") < text.index("withdrawn"), "newest first"


def test_the_page_is_what_the_command_points_to(port: int, call: Call, place: Home) -> None:
    code, out, _ = call("client", "page", "--json")
    assert code == 0
    assert json.loads(out)["address"].startswith(f"http://127.0.0.1:{port}/")


def test_no_daemon_no_page(call: Call, place: Home) -> None:
    code, _, err = call("client", "page")
    assert (code, err) == (1, "fedshow: no daemon runs: start it with fedshow client run\n")
    with place.one_daemon():
        code, _, err = call("client", "page")
    assert code == 1
    assert "the daemon serves no page" in err


def test_opening_shows_the_code_to_no_other_user(
    call: Call, port: int, place: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", lambda address: not opened.append(address))
    code, out, err = call("client", "page", "--open")
    assert code == 0
    assert "snaps may not" in err, "the browser says no more than that access is denied"
    (address,) = opened
    assert address == (place.page / "open.html").as_uri(), "its arguments are seen by all"
    assert (place.page / "open.html").stat().st_mode & 0o777 == 0o600
    assert out.strip() in (place.page / "open.html").read_text()


def test_a_daemon_without_a_page_says_so_after_one_that_was_killed(place: Home, call: Call) -> None:
    from fedshow_client.daemon.service import Daemon
    from fedshow_client.settings import load_settings

    place.make()
    Entering(place).serve_at(9)
    daemon = Daemon(load_settings(page=False))
    daemon.stop.set()
    daemon.run()
    assert not (place.page / "port").exists()


def test_a_port_that_is_taken_is_no_trouble(port: int, tmp_path: Path) -> None:
    from fedshow_client.page.serving import page_served

    other = Home(tmp_path / "other")
    other.make()
    with Queue(other.database) as queue, other.one_daemon(), page_served(other, queue, port):
        address = Entering(other).address()
        assert address.startswith("http://127.0.0.1:")
        assert f":{port}/" not in address
    assert not (other.page / "port").exists()
