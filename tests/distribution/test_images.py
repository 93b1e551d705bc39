"""Dockerfiles and compose file: what they promise, and that their steps are read as Docker reads them."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from distribution.building import ROOT
from distribution.images.building import Builder, Image
from distribution.images.dockerfile import Instruction, Stage, read

DOCKER = ROOT / "docker"
FILES = [DOCKER / "server.Dockerfile", DOCKER / "client.Dockerfile"]
MADE_HERE = {"server", "bucket", "alice", "bob"}


@pytest.fixture(params=FILES, ids=lambda path: path.name)
def stages(request: pytest.FixtureRequest) -> list[Stage]:
    """Those of each Dockerfile."""
    return read(request.param)[1]


@pytest.fixture(scope="module")
def compose() -> dict:
    """The compose file."""
    return yaml.safe_load((DOCKER / "compose.yaml").read_text())


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


def test_compose_waits_for_health_and_shuts_images_in(compose: dict) -> None:
    services = compose["services"]
    assert services["server"]["depends_on"] == {
        "database": {"condition": "service_healthy"},
        "bucket": {"condition": "service_completed_successfully"},
    }
    for name in MADE_HERE:
        assert services[name]["read_only"], name
        assert services[name]["cap_drop"] == ["ALL"], name
    assert {name for name in services if "ports" in services[name]} == {"server"}
    assert compose["networks"]["inside"] == {"internal": True}


@pytest.mark.parametrize("client", ["alice", "bob"])
def test_each_client_has_a_card_and_sees_its_own_pictures_only(compose: dict, client: str) -> None:
    service = compose["services"][client]
    (device,) = service["deploy"]["resources"]["reservations"]["devices"]
    assert device["driver"] == "nvidia"
    assert device["capabilities"] == ["gpu"]
    assert [f"{client.upper()}_GPU" in one for one in device["device_ids"]] == [True]
    (pictures,) = (volume for volume in service["volumes"] if "/pictures" in volume)
    assert f"{client.upper()}_PICTURES" in pictures
    assert pictures.endswith(":ro")


def test_every_volume_is_one_that_its_image_makes(compose: dict) -> None:
    made = {
        json.dumps(volume)
        for file in FILES
        for one in read(file)[1][-1].instructions
        if one.word == "VOLUME"
        for volume in one.arguments()
    }
    used = {
        json.dumps(volume.split(":")[1])
        for name in MADE_HERE
        for volume in compose["services"][name].get("volumes", [])
        if "pictures" not in volume
    }
    assert used == made


def test_the_example_names_every_variable_and_no_secret(compose: dict) -> None:
    text = (DOCKER / "compose.yaml").read_text()
    wanted = set(re.findall(r"\$\{([A-Z0-9_]+)", text))
    lines = (DOCKER / ".env.example").read_text().splitlines()
    given = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    assert set(given) == wanted
    secret = set(re.findall(r"\$\{([A-Z0-9_]+):\?", text))
    assert {name for name, value in given.items() if not value} == secret


@pytest.mark.parametrize("name", ["server", "client"])
def test_settings_in_images_and_compose_are_settings(
    compose: dict, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fedshow_client.settings import load_settings as client_settings
    from fedshow_server.settings import load_settings as server_settings

    image = Image(Path("/"))
    for one in read(DOCKER / f"{name}.Dockerfile")[1][-1].instructions:
        if one.word == "ENV":
            image.environment |= one.pairs(image.environment)
    service = compose["services"]["server" if name == "server" else "alice"]
    for key, value in (image.environment | service["environment"]).items():
        if key.startswith("FEDSHOW_"):
            filled = re.sub(r"\$\{[A-Z_]+:-([^}]*)\}", r"\1", value)
            monkeypatch.setenv(key, re.sub(r"\$\{[^}]*\}", "x", filled))
    if name == "client":
        assert client_settings().device == "cuda"
        return
    found = server_settings()
    assert (found.listen, found.name, str(found.data)) == ("0.0.0.0:8443", "server", "/data")
    assert found.store_url == "s3://fedshow/content"
    assert found.database_url.startswith("postgresql://fedshow:")
