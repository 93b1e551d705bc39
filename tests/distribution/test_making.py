"""What `make release` does around building: only what is committed counts, and the sums are right."""

import shutil
import subprocess
from pathlib import Path

import pytest

from distribution.__main__ import write_sums
from distribution.building import changed_files, commit_time, export


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """One with a file that is committed, and one that is not."""
    root = tmp_path / "repository"
    root.mkdir()
    git = ("git", "-C", str(root), "-c", "user.name=anna", "-c", "user.email=anna@example.org")
    (root / "kept").write_text("one")
    dated = ("commit", "--quiet", "-m", "all", "--date", "@1700000000 +0000")
    for command in (("init", "--quiet"), ("add", "."), dated):
        subprocess.run(
            [*git, *command], check=True, env={"GIT_COMMITTER_DATE": "@1700000000 +0000"}
        )
    (root / "new").touch()
    return root


def test_a_release_is_what_is_committed(repository: Path, tmp_path: Path) -> None:
    assert changed_files(repository) == []
    (repository / "kept").write_text("two")
    assert changed_files(repository) == ["kept"]
    out = export(tmp_path / "out", repository)
    assert [(path.name, path.read_text()) for path in out.iterdir()] == [("kept", "one")]
    assert commit_time(repository) == 1_700_000_000


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="no sha256sum here")
def test_sums_are_what_sha256sum_reads(tmp_path: Path) -> None:
    file = tmp_path / "fedshow.whl"
    file.write_bytes(b"wheel")
    write_sums(tmp_path / "SHA256SUMS", [file])
    check = ["sha256sum", "--check", "--quiet", "SHA256SUMS"]
    assert subprocess.run(check, cwd=tmp_path, check=False).returncode == 0
    file.write_bytes(b"whale")
    assert subprocess.run(check, cwd=tmp_path, check=False, capture_output=True).returncode == 1
