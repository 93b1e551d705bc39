"""`fedshow fuse`: where it writes, and what it says."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from fedshow.families import BaseCard
from fedshow.releases import verify_release
from fedshow_server.fusion import offline
from fedshow_server.fusion.recording import Plan
from tests.conftest import Call, MakeConcept
from tests.stage.concepts import varied_concept

QUICK = Plan(fit_seeds=(0,), heldout_seeds=(1,), steps=1, fit_prompts=1, texts=2, things=1)
fuse = offline.fuse


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Records next to nothing."""
    monkeypatch.setattr(offline, "fuse", lambda *words, **more: fuse(*words, **more, plan=QUICK))


@pytest.fixture
def potter(make_concept: MakeConcept, tmp_path: Path) -> Path:
    path = tmp_path / "potter.safetensors"
    make_concept("potter", 1).save(path)
    return path


def writable_if(says: Callable[[Path], bool]) -> Callable[[str, int], bool]:
    """As `os.access`, also for root, who may write everywhere."""
    return lambda path, mode: not mode & os.W_OK or says(Path(path).resolve())


@pytest.mark.parametrize("named", [".", "../link"])
def test_an_empty_folder_is_filled_whatever_it_is_called(
    call: Call, potter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    """It stays the same folder: one that is mounted, or that somebody works in, cannot be replaced, and
    beside it nothing may be written.
    """
    out = tmp_path / "out"
    out.mkdir()
    (tmp_path / "link").symlink_to(out)
    before = out.stat().st_ino
    monkeypatch.chdir(out)
    monkeypatch.setattr(os, "access", writable_if(lambda path: path == out))
    code, said, err = call("fuse", potter, "--method", "average", "-o", named)
    assert code == 0, err
    assert said.startswith(f"{named}: release ")
    assert out.stat().st_ino == before
    verify_release(out)
    assert call("verify", named)[0] == 0
    assert sorted(tmp_path.glob("**/.*fusing")) == []
    code, _, err = call("fuse", potter, "--method", "average", "-o", named)
    assert (code, err) == (2, f"fedshow: {out} is not an empty folder\n")


def test_what_a_killed_run_left_is_no_obstacle(call: Call, potter: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / ".fusing" / "unet").mkdir(parents=True)
    assert call("fuse", potter, "--method", "average", "-o", out)[0] == 0
    verify_release(out)


def test_what_cannot_be_filled_is_said_before_anything_is_computed(
    call: Call, potter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    monkeypatch.setattr(os, "access", writable_if(lambda path: path != out))
    code, _, err = call("fuse", potter, "-o", out)
    assert (code, err) == (2, f"fedshow: folder {out} is not writable\n")


@pytest.mark.usefixtures("quick")
def test_a_report_of_words_alone_says_that_there_is_nothing_to_judge(
    call: Call, card: BaseCard, tmp_path: Path
) -> None:
    file, out = tmp_path / "mimi.safetensors", tmp_path / "out"
    varied_concept(file, card, "mimi", adapters=False)
    code, said, err = call("fuse", file, "-o", out, "--report")
    assert code == 0, err
    assert said.splitlines()[1:] == ["no layer is adapted: nothing to judge"]
    assert not list(out.glob("*.png"))


@pytest.mark.usefixtures("quick")
def test_a_report_names_its_pictures(call: Call, potter: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    code, said, err = call("fuse", potter, "-o", out, "--report")
    assert code == 0, err
    *_, moves, last = said.splitlines()
    assert moves.startswith("the base moves ")
    assert (
        last == f"{out}/report.json has it per layer, as pictures residuals.png and crosstalk.png"
    )
