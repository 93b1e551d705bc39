"""The daemon keeps a copy of the newest release when it is told to, and says so."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fedshow.errors import Damaged
from fedshow.releases import verify_release
from fedshow.transfer.forms import LORA_FILES, Form
from fedshow_client.daemon import keeper, link
from fedshow_client.daemon.link import ServerLink
from fedshow_client.settings import load_settings
from fedshow_client.status import read_status
from tests.client.conftest import digest, wait_for
from tests.releases import concepts_json

BIG = os.urandom(300_000)
POTTER = {"potter": digest(b"potter")}
FILES = {"fused.safetensors": BIG, "README.md": b"#", "concepts.json": concepts_json(POTTER)}


@pytest.fixture(autouse=True)
def _watches_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "keep_node", lambda *arguments: arguments[-1].wait())
    monkeypatch.setattr("fedshow.transfer.releases.RENEWAL_PAUSE_SECONDS", 0.1)


@contextmanager
def keeping(known, place, queue, form: str = "diffusers") -> Iterator[None]:
    opened = ServerLink(known, place, queue, load_settings(keep_release=form))
    try:
        yield
    finally:
        opened.close()


def folder(known, home: Path, form: Form = Form.diffusers) -> Path:
    return known.copy_folder(home, form)


def holds(out: Path, manifest) -> bool:
    try:
        return verify_release(out) == manifest
    except Damaged:
        return False


def status(home: Path):
    (server,) = read_status(home).servers
    return server


def test_a_copy_follows_what_is_announced(host, known, home, place, queue, call) -> None:
    first = host.publish(FILES)
    out = folder(known, home)
    with keeping(known, place, queue):
        wait_for(lambda: holds(out, first))
        host.sent_bytes = 0
        names = {**POTTER, "dobby": digest(b"dobby")}
        second = host.publish({**FILES, "concepts.json": concepts_json(names)}, tuple(names))
        wait_for(lambda: holds(out, second))
        assert host.sent_bytes < len(BIG)
        wait_for(lambda: status(home).kept.release == second.release)
    _, shown, _ = call("client", "status", "--json")
    (server,) = json.loads(shown)["servers"]
    assert server["kept"] == {
        "folder": str(out), "form": "diffusers", "release": second.release, "trouble": "",
    }  # fmt: skip
    assert f"copy in {out}: the newest" in call("client", "status")[1]


def test_a_copy_is_not_fetched_again_after_a_restart(host, known, home, place, queue) -> None:
    host.publish(FILES)
    for _ in range(2):
        with keeping(known, place, queue):
            wait_for(lambda: status(home).kept is not None and status(home).kept.release)
        sent, host.sent_bytes = host.sent_bytes, 0
    assert sent == 0


def test_what_was_withdrawn_leaves_the_copy(host, known, home, place, queue, call) -> None:
    host.publish(FILES)
    out = folder(known, home)
    with keeping(known, place, queue):
        wait_for(lambda: status(home).kept is not None and status(home).kept.release)
        assert not status(home).withdrawn
        host.releases.clear()
        wait_for(lambda: status(home).withdrawn)
        wait_for(lambda: not out.exists())
        wait_for(lambda: status(home).kept.release is None)
        assert status(home).release is None
        assert "no newest release now: what it held was withdrawn" in call("client", "status")[1]
        again = host.publish(FILES)
        wait_for(lambda: holds(out, again))
        assert not status(home).withdrawn


def test_a_server_without_a_release_has_withdrawn_nothing(host, known, home, place, queue) -> None:
    with keeping(known, place, queue):
        wait_for(lambda: queue.latest("home") is not None)
        assert (status(home).release, status(home).withdrawn) == (None, False)


def test_the_lora_alone_is_kept_and_takes_the_place_of_the_whole(
    host, known, home, place, queue
) -> None:
    host.publish(FILES)
    with keeping(known, place, queue):
        wait_for(lambda: status(home).kept is not None and status(home).kept.release)
    lora = folder(known, home, Form.lora)
    with keeping(known, place, queue, "lora"):
        wait_for(lambda: status(home).kept.form == "lora" and status(home).kept.release)
        wait_for(lambda: not folder(known, home).exists())
    assert {file.name for file in lora.iterdir()} == LORA_FILES


def test_what_keeps_a_copy_from_being_made_is_told(
    host, known, home, place, queue, monkeypatch, call
) -> None:
    """And tried again."""
    monkeypatch.setattr("fedshow_client.daemon.keeper.delays", lambda: iter(lambda: 0.05, None))
    host.publish(FILES)
    diary = folder(known, home) / "diary.txt"
    diary.parent.mkdir(parents=True)
    diary.write_text("mine")
    with keeping(known, place, queue):
        wait_for(lambda: status(home).kept is not None and "diary.txt" in status(home).kept.trouble)
        assert "not the newest" in call("client", "status")[1]
        assert diary.read_text() == "mine"
        diary.unlink()
        wait_for(lambda: status(home).kept.release)
        assert status(home).kept.trouble == ""


def test_a_daemon_that_is_not_told_to_keeps_nothing(host, known, home, place, queue, call) -> None:
    release = host.publish(FILES)
    with keeping(known, place, queue, "no"):
        wait_for(lambda: status(home).release is not None)
    assert status(home).release.id == release.release
    assert status(home).kept is None
    assert status(home).signing_key is None
    assert "join it again to learn its key" in call("client", "status")[1]
    assert not (home / "releases").exists()


def test_a_copy_goes_when_it_is_wanted_no_more(host, known, home, place, queue, call) -> None:
    host.publish(FILES)
    with keeping(known, place, queue):
        wait_for(lambda: status(home).kept is not None and status(home).kept.release)
    out = folder(known, home)
    (out.with_name(f".{out.name}.part") / "old").mkdir(parents=True)
    with keeping(known, place, queue, "no"):
        wait_for(lambda: status(home).kept is None)
    assert [path for path in (home / "releases").rglob("*") if path.name != "diffusers"] == []
    assert "copy in" not in call("client", "status")[1]
    with keeping(known, place, queue):
        wait_for(lambda: status(home).kept is not None and status(home).kept.release)
    assert out.exists()


@pytest.mark.timeout(120)  # it would wait for ever
def test_closing_waits_for_no_server(host, known, home, place, queue, monkeypatch) -> None:
    """In the midst of a file, with a server that is gone."""
    monkeypatch.setattr(keeper, "PATIENCE_SECONDS", None)
    host.publish(FILES)

    def vanish(chunk: bytes) -> bytes:
        if chunk in BIG:
            raise ConnectionError("gone")
        return chunk

    host.fault = vanish
    with keeping(known, place, queue):
        wait_for(lambda: len(host.offsets) > 2)
        host.stop()
    assert not folder(known, home).exists()


def test_pull_takes_what_the_daemon_has(host, known, home, place, queue, call, tmp_path) -> None:
    manifest = host.publish(FILES)
    with keeping(known, place, queue):
        wait_for(lambda: status(home).kept is not None and status(home).kept.release)
    host.sent_bytes = 0
    assert call("pull", "home", "-o", tmp_path / "model")[0] == 0
    assert verify_release(tmp_path / "model") == manifest
    assert host.sent_bytes < len(BIG)
    with (tmp_path / "model" / "fused.safetensors").open("r+b") as file:
        file.write(b"x")
    assert holds(folder(known, home), manifest), "the two share no bytes"
