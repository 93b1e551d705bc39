"""The compose file: who waits for whom, what each may do and see, and that its variables are ours."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import yaml

from distribution.building import ROOT
from distribution.images.building import Image
from distribution.images.dockerfile import read
from tests.server.backends import S3, _s3_server, s3  # noqa: F401  # fixtures
from tests.stage.waiting import PATIENCE_SECONDS

DOCKER = ROOT / "docker"
MADE_HERE = {"server", "bucket", "alice", "bob"}


@pytest.fixture(scope="module")
def compose() -> dict:
    """The compose file."""
    return yaml.safe_load((DOCKER / "compose.yaml").read_text())


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


def test_the_docs_stop_the_services_of_every_profile(compose: dict) -> None:
    """Compose leaves those running whose profile is not named."""
    text = (ROOT / "docs" / "how-to" / "containers.md").read_text()
    profiles = {name for one in compose["services"].values() for name in one.get("profiles", [])}
    stops = re.findall(r"docker compose ((?:--profile \w+ )*)(?:stop|down)\b", text)
    assert stops
    assert profiles
    for options in stops:
        assert set(options.split()) - {"--profile"} == profiles


def test_every_volume_is_one_that_its_image_makes(compose: dict) -> None:
    made = {
        json.dumps(volume)
        for file in DOCKER.glob("*.Dockerfile")
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


def test_the_bucket_is_made_once(compose: dict, s3: S3) -> None:  # noqa: F811  # the fixture
    python, *arguments = compose["services"]["bucket"]["entrypoint"]
    assert python == "python"
    for _ in range(2):
        subprocess.run([sys.executable, *arguments], env=os.environ | s3.environment, check=True)
    store = compose["services"]["server"]["environment"]["FEDSHOW_SERVER_STORE"]
    bucket = store.removeprefix("s3://").partition("/")[0]
    assert httpx.head(f"{s3.address}/{bucket}", timeout=PATIENCE_SECONDS).is_success
