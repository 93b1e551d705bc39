"""The main job with real processes: tune, hand over, fuse, announce, download, draw; then once more."""

import json
from pathlib import Path

import pytest

from fedshow.demo.federation import Federation, start_server
from fedshow.demo.folders import Person, draw_images
from fedshow.demo.processes import background, call
from fedshow.releases import verify_release
from tests.conftest import BASE

STEPS = 2
CAST = (("alice", "gloop"), ("bob", "bolt"), ("carol", "luna"))


@pytest.fixture
def people(tmp_path: Path) -> list[Person]:
    found = [Person(node, name, tmp_path / "people" / node) for node, name in CAST]
    for seed, person in enumerate(found):
        draw_images(person, seed)
    return found


def pull(person: Person, release: str, out: Path) -> set[str]:
    server = call("client", "status", home=person.home)["servers"][0]["name"]
    call("pull", f"{server}@{release}", "-o", str(out), home=person.home)
    return {member.name for member in verify_release(out).concepts}


def join(federation: Federation, *people: Person) -> None:
    for person in people:
        federation.invite(person, STEPS)


@pytest.mark.timeout(1500)
def test_two_folders_become_one_model_and_a_third_a_second_release(
    people: list[Person], tmp_path: Path
) -> None:
    alice, bob, carol = people
    with background(tmp_path / "logs") as commands:
        federation = start_server(tmp_path / "server", commands, BASE, print, quiet_seconds=10)
        join(federation, alice, bob)
        first = federation.wait_for_release([alice, bob])
        assert pull(alice, first, tmp_path / "first") == {"gloop", "bolt"}
        join(federation, carol)
        second = federation.wait_for_release(people)
        assert second != first
        assert pull(bob, second, tmp_path / "second") == {"gloop", "bolt", "luna"}
        listed = call("releases", server_name(alice), home=alice.home)
        assert listed[0]["id"] == second
    assert call("verify", str(tmp_path / "second"))["release"] == second
    concepts = json.loads((tmp_path / "second" / "concepts.json").read_text())
    assert {c["name"]: c["class"] for c in concepts} == {p.concept: p.class_word for p in people}
    drawn = call(
        *("sample", str(tmp_path / "second"), "a <gloop> and a <luna> on the beach"),
        *("--region", "0,0,.5,1: a <gloop>", "--region", ".5,0,1,1: a <luna>"),
        *("--steps", "2", "-o", str(tmp_path / "both.png")),
    )
    assert drawn["files"] == [str(tmp_path / "both.png")]
    assert (tmp_path / "both.png").read_bytes().startswith(b"\x89PNG")


def server_name(person: Person) -> str:
    return str(call("client", "status", home=person.home)["servers"][0]["name"])
