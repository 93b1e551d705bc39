"""systemd takes the units, and they start what the package brings, shut in."""

import configparser
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from distribution.building import ROOT
from distribution.contents import UNITS

PAIRS = [("fedshow-client.service", "--user"), ("fedshow-server.service", "--system")]
SYSTEMD = ROOT / "systemd"
SHUT_IN = {
    "NoNewPrivileges": "yes",
    "ProtectSystem": "strict",
    "PrivateTmp": "yes",
    "LockPersonality": "yes",
    "RestrictSUIDSGID": "yes",
    "UMask": "0077",
}

HIDES_CARDS = {"PrivateDevices", "DeviceAllow", "DevicePolicy", "ProtectClock"}
"""The last by an implied DeviceAllow, before systemd 252."""


def test_the_units_are_those_that_the_wheel_brings() -> None:
    assert sorted(path.name for path in SYSTEMD.iterdir()) == sorted(UNITS)


@pytest.mark.parametrize("unit", UNITS)
def test_units_are_shut_in(unit: str) -> None:
    read = configparser.ConfigParser(strict=False, interpolation=None)
    read.optionxform = str  # type: ignore[assignment,method-assign]
    read.read(SYSTEMD / unit)
    service = dict(read["Service"])
    assert {key: service.get(key) for key in SHUT_IN} == SHUT_IN
    assert not HIDES_CARDS & set(service)
    part = unit.removeprefix("fedshow-").removesuffix(".service")
    assert service["ExecStart"].startswith(f"/opt/fedshow/bin/fedshow {part} run")
    assert read["Install"]["WantedBy"] in ("multi-user.target", "default.target")


def test_the_docs_put_the_clients_unit_where_no_unit_was_before(tmp_path: Path) -> None:
    lines = (ROOT / "docs" / "how-to" / "containers.md").read_text().splitlines()
    (line,) = (one for one in lines if "~/" in one and one.endswith("/fedshow-client.service"))
    command = line.replace("/opt/fedshow/share/fedshow/systemd", str(SYSTEMD))
    subprocess.run(["sh", "-c", command], env=os.environ | {"HOME": str(tmp_path)}, check=True)
    assert (tmp_path / ".config/systemd/user/fedshow-client.service").is_file()


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze here")
@pytest.mark.parametrize(("unit", "manager"), PAIRS)
def test_systemd_finds_nothing_wrong(unit: str, manager: str, tmp_path: Path) -> None:
    """With a program that is there in place of ours: whether it is installed is not asked here."""
    text = (SYSTEMD / unit).read_text().replace("/opt/fedshow/bin/fedshow", "/bin/true")
    (tmp_path / unit).write_text(text)
    with tempfile.TemporaryDirectory() as runtime:
        done = subprocess.run(
            ["systemd-analyze", manager, "verify", "--man=no", str(tmp_path / unit)],
            env=os.environ | {"XDG_RUNTIME_DIR": runtime},
            capture_output=True,
            text=True,
            check=False,
        )
    assert (done.returncode, done.stderr) == (0, "")
