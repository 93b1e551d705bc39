"""Root file systems to run steps in: Debian by debootstrap, processes by chroot, in their own namespaces."""

import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

NEEDED = ("setpriv", "unshare", "nsenter", "chroot", "mount", "ip")
PACKAGES = "python3,python3-pip,python3-venv,ca-certificates"
SUITES = {"bookworm": "3.11"}
"""Debian's suites in the tags of Python's images, with the Python that each has."""


@dataclass(frozen=True)
class Mount:
    """A folder of this machine inside, or with no source an empty one in memory."""

    source: Path | None
    target: str


@dataclass(frozen=True)
class Inside:
    """How something runs in there."""

    environment: Mapping[str, str] = field(default_factory=dict)
    user: str = "0:0"
    folder: str = "/"
    mounts: tuple[Mount, ...] = ()
    read_only: bool = False
    network_of: int | None = None
    """The process whose network it shares; None: one of its own, which reaches nobody."""


def missing(*programs: str) -> str:
    """Why nothing can be run in a root file system here, or which `programs` are lacking; else empty."""
    if os.geteuid() != 0:
        return "chroot takes root"
    if lacking := [name for name in (*NEEDED, *programs) if shutil.which(name) is None]:
        return f"not installed: {', '.join(lacking)}"
    done = subprocess.run(["unshare", "--mount", "--net", "true"], capture_output=True, check=False)
    return "" if done.returncode == 0 else "this machine gives no namespaces"


def debian(base: str, folder: Path) -> Path:
    """What `FROM base` would give, as near as Debian's own packages come to it; made once."""
    image, _, tag = base.partition(":")
    suite = tag.rpartition("-")[2]
    assert (image, suite in SUITES) == ("python", True), f"no stand-in for {base}"
    assert tag.startswith(f"{SUITES[suite]}-"), f"{suite} has Python {SUITES[suite]}, not {tag}"
    if not (folder / "made").exists():
        shutil.rmtree(folder, ignore_errors=True)
        command = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", suite, str(folder)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        for name, program in (("python", "python3"), ("pip", "pip3")):
            (folder / "usr/local/bin" / name).symlink_to(f"/usr/bin/{program}")
        (folder / "made").touch()
    return folder


def copy(root: Path, target: Path) -> Path:
    """A root file system like `root`."""
    shutil.rmtree(target, ignore_errors=True)
    subprocess.run(["cp", "-a", "--reflink=auto", str(root), str(target)], check=True)
    return target


def command(root: Path, arguments: Iterable[str], inside: Inside) -> list[str]:
    """The command line that runs `arguments` in there; all of it ends with whoever started it."""
    setting = [f"{key}={value}" for key, value in inside.environment.items()]
    changed = [
        *("chroot", f"--userspec={inside.user}", str(root), "/usr/bin/env", "-i"),
        *(*setting, "sh", "-c", 'cd "$0" && exec "$@"', inside.folder, *arguments),
    ]
    # the shell stays, as an init would: it dies with its parent, and with it all processes in there
    script = "\n".join(["set -e", *_mounting(root, inside), '"$@"', "exit $?"])
    new = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
    if inside.network_of is not None:
        new = ["nsenter", f"--target={inside.network_of}", "--net", *new]
    else:
        new += ["--net"]
        script = f"ip link set lo up\n{script}"
    return ["setpriv", "--pdeathsig", "KILL", *new, "sh", "-c", script, "sh", *changed]


def run(root: Path, arguments: Iterable[str], inside: Inside) -> str:
    """What it prints; raises CalledProcessError when it fails."""
    line = command(root, arguments, inside)
    return subprocess.run(line, check=True, stdout=subprocess.PIPE, text=True).stdout


def _mounting(root: Path, inside: Inside) -> Iterable[str]:
    """Shell lines that mount everything, in a mount namespace of its own."""
    if inside.read_only:
        yield f"mount --bind '{root}' '{root}'"
        yield f"mount -o remount,bind,ro '{root}'"
    yield f"mount -t proc proc '{root}/proc'"
    yield f"mount --rbind /dev '{root}/dev'"
    for mount in inside.mounts:
        target = root / mount.target.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        if mount.source and mount.source.is_file():
            target.touch()
        else:
            target.mkdir(exist_ok=True)
        if mount.source is None:
            yield f"mount -t tmpfs -o mode=1777 tmpfs '{target}'"
        else:
            yield f"mount --bind '{mount.source}' '{target}'"
