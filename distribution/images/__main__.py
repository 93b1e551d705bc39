"""`make containers`: runs the steps of docker/*.Dockerfile in new root file systems, and what comes of them.

Takes root, debootstrap and a quarter of an hour. Writes build/containers/report.json.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from distribution.building import ROOT, export
from distribution.images.building import Builder
from distribution.images.rootfs import SUITES, missing
from distribution.images.trying import size_of, try_images

WORK = ROOT / "build" / "containers"
EXTRAS = ("server", "client")


def main() -> None:
    """Makes both images, runs a server and a client of them, and says how it went."""
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    ours = "" if here in SUITES.values() else f"Python {here} is not theirs"
    if reason := missing("debootstrap") or ours:
        sys.exit(f"no images can be made here: {reason}")
    shutil.rmtree(WORK / "context", ignore_errors=True)
    WORK.mkdir(parents=True, exist_ok=True)
    _say("fetching wheels")
    builder = Builder(export(WORK / "context"), _wheels(WORK / "wheels"), WORK, _say)
    server, client = (builder.build(ROOT / f"docker/{name}.Dockerfile") for name in EXTRAS)
    report: dict[str, Any] = {"server": size_of(server), "client": size_of(client)}
    report |= try_images(server, client, WORK / "volumes", _say)
    text = json.dumps(report, indent=2)
    (WORK / "report.json").write_text(text + "\n")
    print(text)


def _wheels(folder: Path) -> Path:
    """A folder with all that pip will be asked for; what is there already is not fetched again."""
    project = (ROOT / "pyproject.toml").read_bytes()
    script = [sys.executable, str(ROOT / "docker/requirements.py")]
    asked = [subprocess.check_output([*script, extra], input=project) for extra in EXTRAS]
    wanted = ["torch", "hatchling", *b"".join(asked).decode().splitlines()]
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--only-binary", ":all:"]
    places = ["--constraint", str(ROOT / "constraints.txt"), "--dest", str(folder)]
    known = ["--find-links", str(folder)]
    subprocess.run([*pip, *places, *known, *wanted], check=True)
    return folder


def _say(what: str) -> None:
    print(f"containers: {what}", flush=True)


if __name__ == "__main__":
    main()
