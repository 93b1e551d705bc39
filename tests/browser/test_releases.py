"""Flows: what is in a release, how good it is, and taking it home."""

import subprocess
import sys
import tarfile
from hashlib import sha256

from fedshow.roles import Role
from tests.stage.page import DESK, PHONE
from tests.stage.waiting import eventually


def came(downloads, name):
    """The file, once the browser has it whole."""
    file = downloads / name
    eventually(lambda: file.exists() and not list(downloads.glob("*.crdownload")))
    return file


def test_see_what_is_in_a_release_and_how_good_it_is(enter, released, picture):
    earlier, later = released
    page = enter(Role.DOWNLOADER, "/gallery/releases")
    page.click(later.release)
    page.sees("good, checked just now")
    page.sees("added: thing-123x, thing-124x, thing-125x; gone: thing-120x")
    page.sees("97.8 %")  # kept of thing-122x's identity
    assert page.is_painted(".maps img")
    picture(page, "release")
    page.be(PHONE)
    picture(page, "release-phone")
    page.be(DESK)
    page.click(earlier.release[:8])
    page.sees("thing-120x")
    assert "added" not in page.text


def test_a_bad_signature_is_said(enter, stocked, released):
    store = stocked.store()
    earlier, later = (store.releases.get(one.release) for one in released)
    theirs = store.releases.file(later.id, "manifest.sig")
    ours = store.releases.file(earlier.id, "manifest.sig")
    store.releases.sign(earlier.id, theirs)
    page = enter(Role.OWNER, f"/gallery/releases/{earlier.id}")
    page.sees("not that of this manifest")
    store.releases.sign(earlier.id, ours)
    store.close()
    page.driver.refresh()
    page.sees("good, checked just now")


def test_download_a_release_and_verify_it(enter, released, downloads, tmp_path, members):
    later = released[-1]
    page = enter(Role.DOWNLOADER, f"/gallery/releases/{later.release}")
    page.click("Download folder")
    with tarfile.open(came(downloads, f"fedshow-{later.release}.tar")) as archive:
        archive.extractall(tmp_path, filter="data")
    folder, key = tmp_path / f"fedshow-{later.release}", members[Role.OWNER].reply.signing_key
    command = [sys.executable, "-m", "fedshow.cli", "verify", str(folder), "--key", key]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert later.release in said
    page.click("Download LoRA")
    lora = came(downloads, "fused.safetensors").read_bytes()
    assert sha256(lora).hexdigest() in page.text


def test_copy_a_command(enter, released):
    page = enter(Role.DOWNLOADER, f"/gallery/releases/{released[-1].release}")
    page.may_paste()
    page.click("Copy")
    page.sees("Copied")
    assert page.pasted() == f"fedshow pull 127.0.0.1@{released[-1].release} -o model"
