"""The benchmark of a fresh clone: it is fresh, nothing leaks into it, and what fails is not timed."""

import subprocess
from pathlib import Path

import pytest

from benchmarks.release import from_clone

MAKEFILE = """
setup:
	test ! -e uncommitted
	test -z "$$PYTHONPATH$$VIRTUAL_ENV"
	mkdir .venv
demo: setup
	mkdir -p demo/release && cd demo && touch {made}
test:
	test -d .venv && {test}
.PHONY: demo test
"""
EVERYTHING = "grid.png report.json release/manifest.json"


def repository(folder: Path, made: str = EVERYTHING, test: str = "true") -> Path:
    """One whose `make` is quick."""
    folder.mkdir()
    makefile = MAKEFILE.format(made=made, test=test).replace("demo: setup", "demo:")
    (folder / "Makefile").write_text(makefile)
    git = ("git", "-C", str(folder), "-c", "user.name=anna", "-c", "user.email=anna@example.org")
    for command in (("init", "--quiet"), ("add", "."), ("commit", "--quiet", "-m", "all")):
        subprocess.run([*git, *command], check=True)
    (folder / "uncommitted").touch()
    return folder


def test_set_up_counts_in_both_and_is_done_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", "/somewhere/else")
    figures = from_clone(repository(tmp_path / "source"), tmp_path / "clone")
    ready = figures["clone_seconds"] + figures["setup_seconds"]
    for last in ("demo", "test"):
        parts = ready + figures[f"{last}_seconds"]
        assert figures[f"clone_to_{last}_seconds"] == pytest.approx(parts, abs=0.2)  # rounded


def test_a_red_test_is_no_figure(tmp_path: Path) -> None:
    with pytest.raises(subprocess.CalledProcessError):
        from_clone(repository(tmp_path / "source", test="false"), tmp_path / "clone")


def test_a_demo_without_its_picture_is_no_figure(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"grid\.png"):
        from_clone(repository(tmp_path / "source", made="report.json"), tmp_path / "clone")
