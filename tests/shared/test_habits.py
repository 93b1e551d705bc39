"""Habits that no other tool looks after: changelog, hooks, templates, CI, `make help`, CONTRIBUTING."""

import re
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest
import yaml
from pre_commit.clientlib import load_config

from fedshow import __version__

ROOT = Path(__file__).parents[2]
CHANGELOG = (ROOT / "CHANGELOG.md").read_text()
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()
MAKEFILE = (ROOT / "Makefile").read_text()
KINDS = ("Added", "Changed", "Deprecated", "Removed", "Fixed", "Security")
"""Of Keep a Changelog."""


def headings(level: int) -> list[str]:
    return re.findall(rf"^{'#' * level} (.+)$", CHANGELOG, re.MULTILINE)


def test_the_changelog_keeps_its_form() -> None:
    assert headings(1) == ["Changelog"]
    assert "https://keepachangelog.com" in CHANGELOG.split("## ")[0]
    entries = headings(2)
    released = [entry for entry in entries if entry != "Unreleased"]
    assert entries == (["Unreleased"] if "Unreleased" in entries else []) + released
    days = []
    for entry in released:
        found = re.fullmatch(r"(\d+)\.(\d+)\.(\d+) - (\d{4}-\d{2}-\d{2})", entry)
        assert found, f"{entry!r}: write ## VERSION - YYYY-MM-DD"
        days.append(date.fromisoformat(found[4]))
    assert days == sorted(days, reverse=True)
    for section in re.split(r"^## ", CHANGELOG, flags=re.MULTILINE)[1:]:
        kinds = re.findall(r"^### (.+)$", section, re.MULTILINE)
        assert kinds
        assert set(kinds) <= set(KINDS)
        assert len(kinds) == len(set(kinds)), "each kind stands once in an entry"


def test_every_line_of_the_changelog_belongs_to_an_item() -> None:
    for section in re.split(r"^### .+\n", CHANGELOG, flags=re.MULTILINE)[1:]:
        for line in filter(None, section.split("\n## ")[0].splitlines()):
            assert line.startswith(("- ", "  ")), line


def test_the_version_is_one_that_can_be_compared() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+((a|b|rc)\d+)?", __version__)


def test_make_help_lists_every_target() -> None:
    shown = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True)
    listed = set(re.findall(r"^make (\S+) +\S", shown.stdout, re.MULTILINE))
    targets = set(re.findall(r"^([a-z][a-z%-]*):", MAKEFILE, re.MULTILINE))
    assert targets <= listed, f"no comment above {sorted(targets - listed)}"
    phony = " ".join(re.findall(r"^\.PHONY: (.+)$", MAKEFILE, re.MULTILINE)).split()
    assert {target for target in targets if "%" not in target} == set(phony)


def test_make_test_runs_every_folder_of_tests() -> None:
    suites = re.search(r"^SUITES := (.+)$", MAKEFILE, re.MULTILINE)
    assert suites
    run = set(suites[1].split())
    there = {path.relative_to(ROOT / "tests").parts[0] for path in ROOT.glob("tests/**/test_*.py")}
    assert run == there


PRE_COMMIT = ROOT / ".pre-commit-config.yaml"
HOOKS = yaml.safe_load(PRE_COMMIT.read_text())["repos"]


def test_hooks_are_local_and_call_the_project_s_own_tools() -> None:
    load_config(str(PRE_COMMIT))  # raises for what pre-commit would refuse
    assert [repo["repo"] for repo in HOOKS] == ["local"]
    for hook in HOOKS[0]["hooks"]:
        assert hook["language"] == "system"
        program = hook["entry"].split()[0]
        assert program.startswith(".venv/bin/")
        assert (Path(sys.executable).parent / Path(program).name).exists()


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A small repository with our hooks and settings, and a file that has to be formatted."""
    for name in (".pre-commit-config.yaml", "pyproject.toml"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    (tmp_path / ".venv").symlink_to(sys.prefix)
    (tmp_path / "bad.py").write_text('"""A file."""\nx = {  "a":1}\n')
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    subprocess.run(["git", "-C", tmp_path, "add", "bad.py"], check=True)
    return tmp_path


def hook(clone: Path, name: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pre_commit", "run", name, "--files", "bad.py"]
    return subprocess.run(command, cwd=clone, capture_output=True, text=True, check=False)


def test_the_hooks_find_what_ruff_finds(clone: Path) -> None:
    found = hook(clone, "format")
    assert found.returncode == 1
    assert "bad.py" in found.stdout
    (clone / "bad.py").write_text('"""A file."""\n\nx = {"a": 1}\n')
    assert hook(clone, "format").returncode == 0
    (clone / "bad.py").write_text('"""A file."""\n\nimport os\n')
    found = hook(clone, "lint")
    assert (found.returncode, "F401" in found.stdout) == (1, True)


def test_ci_runs_what_everybody_runs() -> None:
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    assert workflow["permissions"] == {"contents": "read"}
    steps = workflow["jobs"]["check"]["steps"]
    assert [step["run"] for step in steps if "run" in step] == [".ci/run"]
    assert (ROOT / ".ci/run").stat().st_mode & 0o100


FORMS = sorted((ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml"))
KINDS_OF_FIELDS = ("markdown", "textarea", "input", "dropdown", "checkboxes")


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.stem)
def test_issue_forms_are_what_github_takes(form: Path) -> None:
    content = yaml.safe_load(form.read_text())
    if form.stem == "config":
        assert set(content) == {"blank_issues_enabled"}
        return
    assert (
        {"name", "description", "body"} <= set(content) <= {"name", "description", "labels", "body"}
    )
    asked = [field for field in content["body"] if field["type"] != "markdown"]
    assert asked
    for field in content["body"]:
        assert field["type"] in KINDS_OF_FIELDS
        assert field["attributes"].get("label") or field["attributes"].get("value")
    names = [field["id"] for field in asked]
    assert len(names) == len(set(names))


def test_files_that_contributing_names_are_there() -> None:
    named = re.findall(r"`((?:[\w.-]+/)+[\w.*-]*)`", CONTRIBUTING)
    assert len(named) > 20
    for name in (name for name in named if "NAME" not in name):
        there = list(ROOT.glob(name)) if "*" in name else (ROOT / name).exists()
        assert there, f"CONTRIBUTING.md: {name} is not there"


def test_tests_that_contributing_names_are_there() -> None:
    named = re.findall(r"`([\w/]+\.py)::(\w+)`", CONTRIBUTING)
    assert len(named) > 10
    for file, test in named:
        text = (ROOT / file).read_text()
        assert re.search(rf"^def {test}\(", text, re.MULTILINE), f"{file} has no {test}"
