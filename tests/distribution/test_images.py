"""Dockerfiles and compose file: what they promise, and that their steps are read as Docker reads them."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from distribution.building import ROOT
from distribution.images.building import Builder, Image
from distribution.images.dockerfile import Instruction, Stage, read

DOCKER = ROOT / "docker"
FILES = [DOCKER / "server.Dockerfile", DOCKER / "client.Dockerfile"]


@pytest.fixture(params=FILES, ids=lambda path: path.name)
def stages(request: pytest.FixtureRequest) -> list[Stage]:
    """Those of each Dockerfile."""
    return read(request.param)[1]


def test_images_hold_the_wheel_and_run_as_nobody_in_particular(stages: list[Stage]) -> None:
    assert [stage.name for stage in stages] == ["wheel", "requirements", ""]
    assert {stage.base for stage in stages} == {"python:3.11-slim-bookworm"}
    last = {one.word: one.rest for one in stages[-1].instructions}
    assert "COPY" not in last  # no sources: what is in there was installed
    assert last["USER"] == "10001:10001"
    assert last["ENTRYPOINT"] == '["fedshow"]'
    assert "HEALTHCHECK" in last
    installing = [one.command() for one in stages[-1].instructions if "pip" in one.rest]
    assert [("--only-binary :all:" in line, "*.whl" in line) for line in installing] == [
        (True, False),  # torch
        (True, False),  # the libraries
        (False, True),
    ]


def test_a_server_that_still_downloads_its_base_is_not_called_unhealthy() -> None:
    """7 GB at 16 Mbit/s; compose gives up on clients of an unhealthy server."""
    (health,) = (
        one
        for one in read(DOCKER / "server.Dockerfile")[1][-1].instructions
        if one.word == "HEALTHCHECK"
    )
    assert health.options()["start-period"] == "1h"


def test_the_context_holds_what_is_copied_and_nothing_private(stages: list[Stage]) -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in lines
    sent = {line[1:] for line in lines if line.startswith("!")}
    copied = {
        source
        for stage in stages
        for one in stage.instructions
        if one.word == "COPY"
        for source in one.arguments()[:-1]
    }
    mounted = {
        mount["source"]
        for stage in stages
        for one in stage.instructions
        for mount in one.mounts()
        if mount["type"] == "bind" and "from" not in mount
    }
    assert copied | mounted == sent


@pytest.mark.parametrize(
    ("extra", "added"), [("server", {"psycopg", "s3fs"}), ("client", {"pillow-heif"})]
)
def test_the_library_layer_is_what_the_wheel_asks_for(extra: str, added: set[str]) -> None:
    text = (ROOT / "pyproject.toml").read_bytes()
    script = [sys.executable, str(DOCKER / "requirements.py"), extra]
    printed = subprocess.check_output(script, input=text).decode().splitlines()
    asked = tomllib.loads(text.decode())["project"]["dependencies"]
    names = {re.split(r"[^a-z0-9-]", line)[0] for line in set(printed) - set(asked)}
    assert set(asked) <= set(printed)
    assert names == added


def test_instructions_are_read_as_docker_reads_them(tmp_path: Path) -> None:
    file = tmp_path / "Dockerfile"
    file.write_text(
        "# syntax=docker/dockerfile:1\nARG BASE=python:3.11\nFROM ${BASE} AS first\n"
        "run --mount=type=cache,target=/c \\\n  # why\n  --mount=type=bind,from=x,source=/a,target=/b \\\n"
        "  make it && \\\n  make that\nFROM python:3.12\n"
        'ENV PATH=/opt/bin:$PATH \\\n  WHO="a b"\nHEALTHCHECK --interval=3s CMD ["ask", "it"]\n'
    )
    known, (first, second) = read(file)
    assert known == {"BASE": "python:3.11"}
    assert (first.base, first.name, second.base) == ("python:3.11", "first", "python:3.12")
    (step,) = first.instructions
    assert step.word == "RUN"
    assert step.command().split() == ["make", "it", "&&", "make", "that"]
    assert step.mounts() == [
        {"type": "cache", "target": "/c"},
        {"type": "bind", "from": "x", "source": "/a", "target": "/b"},
    ]
    environment, health = second.instructions
    assert environment.pairs({"PATH": "/bin"}) == {"PATH": "/opt/bin:/bin", "WHO": "a b"}
    assert health.options() == {"interval": "3s"}


def test_copies_land_where_docker_puts_them(tmp_path: Path) -> None:
    context, root = tmp_path / "context", tmp_path / "root"
    (context / "part" / "inner").mkdir(parents=True)
    for name in ("one", "part/inner/two"):
        (context / name).write_text(name)
    image = Image(root, folder="/src")
    builder = Builder(context, tmp_path, tmp_path, print)
    builder._copy(image, Instruction("COPY", "one ./"))
    builder._copy(image, Instruction("COPY", "part part"))
    assert (root / "src/one").read_text() == "one"
    assert (root / "src/part/inner/two").is_file()
