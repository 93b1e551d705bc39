"""The list before a release: each item is provoked in a repository of its own."""

import json
import subprocess
from pathlib import Path

import pytest

from distribution import checklist
from distribution.checklist import Item, main, walk
from distribution.links import anchors_of, broken_links


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A repository in which all is right."""
    write(tmp_path, "shared/fedshow/__init__.py", '__version__ = "1.2.3"\n')
    write(tmp_path, "CHANGELOG.md", "# Changelog\n\n## 1.2.3 - 2026-01-02\n\n### Added\n- all\n")
    for command in (["init", "-q"], ["config", "user.name", "x"], ["config", "user.email", "x@y"]):
        git(tmp_path, *command)
    commit(tmp_path)
    return tmp_path


def write(root: Path, name: str, text: str) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(text)


def git(root: Path, *words: str) -> str:
    command = ["git", "-C", str(root), *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def commit(root: Path) -> str:
    git(root, "add", "-A")
    git(root, "commit", "-qm", "x", "--no-verify")
    return git(root, "rev-parse", "--short=12", "HEAD").strip()


QUICK = (
    checklist.uncommitted,
    checklist.misnamed,
    checklist.already_tagged,
    checklist.unfinished,
    checklist.orphaned_results,
    checklist.broken,
)


def test_all_is_right_at_first(root: Path) -> None:
    assert [look(root) for look in QUICK] == [""] * len(QUICK)


def test_what_is_not_committed_is_shown(root: Path) -> None:
    for number in range(5):
        write(root, f"new{number}", "")
    assert checklist.uncommitted(root).splitlines() == [
        "?? new0",
        "?? new1",
        "?? new2",
        "and 2 more",
    ]


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ("## Unreleased", "it is 'Unreleased', the package is 1.2.3"),
        ("## 1.2.2 - 2026-01-02", "it is '1.2.2', the package is 1.2.3"),
        ("## 1.2.3", "it has no date: ## 1.2.3 - YYYY-MM-DD"),
        ("", "CHANGELOG.md has no entry"),
    ],
)
def test_the_changelog_must_begin_with_this_version(root: Path, entry: str, says: str) -> None:
    write(root, "CHANGELOG.md", f"# Changelog\n\n{entry}\n")
    assert checklist.misnamed(root) == says


def test_a_version_is_tagged_once(root: Path) -> None:
    git(root, "tag", "v1.2.3")
    assert checklist.already_tagged(root) == "v1.2.3"


def test_what_is_left_to_do_is_found(root: Path) -> None:
    write(root, "a.py", "# TODO: more\nmastodon = 1\n")
    commit(root)
    assert checklist.unfinished(root) == "a.py:1:# TODO: more"


def test_results_of_unknown_commits_are_named(root: Path) -> None:
    write(root, "benchmarks/results/good.json", json.dumps({"commit": f"{commit_of(root)}+"}))
    write(root, "benchmarks/results/bad.json", json.dumps({"commit": "0" * 12}))
    write(root, "benchmarks/results/none.json", json.dumps({"commit": "unknown"}))
    assert checklist.orphaned_results(root).splitlines() == [
        f"bad.json: {'0' * 12}",
        "none.json: unknown",
    ]


def commit_of(root: Path) -> str:
    return git(root, "rev-parse", "--short=12", "HEAD").strip()


def test_links_are_followed(root: Path) -> None:
    write(
        root,
        "docs/a.md",
        "# A & B: *more*\n## Again\n## Again\n[up](../CHANGELOG.md#changelog) [me](#a--b-more)\n"
        "[twice](#again-1) [out](https://nowhere.invalid) ![no](gone.png) [x](../CHANGELOG.md#none)\n"
        "`[code](gone)`\n```\n[fenced](gone)\n```\n[dir](../shared) [b](b.md)\n",
    )
    commit(root)
    assert broken_links(root) == [
        "docs/a.md: gone.png",
        "docs/a.md: ../CHANGELOG.md#none",
        "docs/a.md: b.md",
    ]
    assert {"a--b-more", "a-b-more", "again", "again-1"} <= anchors_of(root / "docs/a.md")


def test_links_of_this_project_lead_somewhere() -> None:
    assert broken_links(checklist.ROOT) == []


def test_results_of_this_project_are_of_commits_that_exist() -> None:
    shallow = git(checklist.ROOT, "rev-parse", "--is-shallow-repository").strip() == "true"
    if shallow:
        pytest.skip("the history is not here")
    assert checklist.orphaned_results(checklist.ROOT) == ""


def test_each_item_is_told_and_none_hides_another(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    items = [
        Item("first", lambda _: "is bad\nvery", "mend it"),
        Item("second", lambda _: "", "nothing"),
    ]
    assert not walk(items, root)
    assert capsys.readouterr().out == ("✗ first\n    is bad\n    very\n  -> mend it\n✓ second\n")


def test_programs_that_fail_say_their_last_words(root: Path) -> None:
    write(root, "Makefile", "good:\n\t@true\nbad:\n\t@echo 1; echo 2; echo 3; echo 4; exit 3\n")
    assert checklist.make("good")(root) == ""
    assert "Error 3" in checklist.make("bad")(root)
    assert checklist.run("-c", "print('no'); raise SystemExit(1)")(root) == "no"
    assert checklist.run("-c", "pass")(root) == ""


@pytest.fixture
def one_item(monkeypatch: pytest.MonkeyPatch):
    def put(problem: str) -> None:
        items = (
            Item("all", lambda _: problem, "mend it"),
            Item("tests", lambda _: "", "", slow=True),
        )
        monkeypatch.setattr(checklist, "checklist", lambda: items)

    return put


def test_a_tag_is_made_on_request_and_only_when_all_is_right(root: Path, one_item, capsys) -> None:
    one_item("wrong")
    assert main(["--tag"], root) == 1
    assert git(root, "tag") == ""
    one_item("")
    assert main([], root) == 0
    assert git(root, "tag") == ""
    assert "--tag, which tags v1.2.3" in capsys.readouterr().out
    assert main(["--tag"], root) == 0
    assert git(root, "tag") == "v1.2.3\n"
    assert git(root, "cat-file", "-t", "v1.2.3") == "tag\n"


def test_no_tag_by_half_a_list(root: Path, one_item) -> None:
    one_item("")
    with pytest.raises(SystemExit):
        main(["--tag", "--quick"], root)


def test_quick_leaves_out_what_takes_minutes(root: Path, one_item, capsys) -> None:
    one_item("")
    assert main(["--quick"], root) == 0
    assert capsys.readouterr().out == "✓ all\n"


def test_the_list_has_what_a_release_needs() -> None:
    items = checklist.checklist()
    assert [item.slow for item in items] == sorted(item.slow for item in items)
    assert all(item.next_step for item in items)
    assert {"make lint", "make test", "make release"} <= {item.next_step for item in items}
