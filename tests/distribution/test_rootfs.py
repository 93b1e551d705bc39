"""Steps run as their user, in their folder, with their environment and mounts, and reach nobody."""

import subprocess
import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from distribution.images.building import PATH
from distribution.images.container import children
from distribution.images.rootfs import Inside, Mount, command, missing, run
from tests.stage.waiting import eventually

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing() or "it can be done")
INSIDE = Inside({"PATH": PATH}, mounts=(Mount(Path("/usr"), "/usr"), Mount(None, "/tmp")))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root file system with this machine's programs in it."""
    root = tmp_path / "root"
    for folder in ("dev", "proc", "usr", "work"):
        (root / folder).mkdir(parents=True)
    for folder in ("bin", "lib", "lib64"):
        (root / folder).symlink_to(f"usr/{folder}")
    return root


def shell(root: Path, line: str, **changes: object) -> list[str]:
    """The lines that a shell prints in there."""
    return run(root, ["sh", "-c", line], replace(INSIDE, **changes)).splitlines()


def test_user_folder_and_environment_are_those_that_were_asked_for(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "of this machine")
    environment = {"PATH": PATH, "WHO": "a b"}
    said = shell(
        root,
        'id -u; id -g; pwd; echo "$WHO"; echo "${SECRET:-none}"',
        user="10001:10002",
        folder="/work",
        environment=environment,
    )
    assert said == ["10001", "10002", "/work", "a b", "none"]


def test_nothing_is_reached_but_itself(root: Path) -> None:
    assert [line.split()[0] for line in shell(root, "tail -n +3 /proc/net/dev")] == ["lo:"]


def test_read_only_leaves_volumes_and_the_temporary_folder(root: Path, tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    volume.mkdir()
    mounts = (*INSIDE.mounts, Mount(volume, "/data"))
    for place, ends_well in (("/work/x", False), ("/tmp/x", True), ("/data/x", True)):
        try:
            shell(root, f"echo hello > {place}", mounts=mounts, read_only=True)
        except subprocess.CalledProcessError:
            assert not ends_well, place
        else:
            assert ends_well, place
    assert (volume / "x").read_text() == "hello\n"
    shell(root, "echo hello > /work/x", mounts=mounts)
    assert (root / "work/x").exists()


def test_all_of_it_ends_with_whoever_started_it(root: Path, tmp_path: Path) -> None:
    line = command(root, ["sleep", "600"], INSIDE)
    starter = f"import subprocess; print(subprocess.Popen({line!r}).pid, flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", starter], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        started = int(process.stdout.readline())
        init = eventually(lambda: children(started))[0]
        sleeping = eventually(lambda: [p for p in children(init) if _name(p) == "sleep"])[0]
        process.kill()
    eventually(lambda: not Path(f"/proc/{sleeping}").exists())


def test_mounts_end_with_the_step(root: Path) -> None:
    shell(root, "true")
    assert str(root) not in Path("/proc/mounts").read_text()
    assert list((root / "usr").iterdir()) == []


def _name(process: int) -> str:
    """Empty when it has just ended, as those do that mount."""
    with suppress(OSError):
        return Path(f"/proc/{process}/comm").read_text().strip()
    return ""
