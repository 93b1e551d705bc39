"""The wheel and the sdist: all of ours, nothing else, and the same bytes whoever makes them."""

import os
import shutil
import zipfile
from email import message_from_bytes
from email.message import Message
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from distribution.building import ROOT, Packages, build, build_from_sdist
from distribution.contents import (
    sdist_names,
    sdist_problems,
    source_names,
    wheel_names,
    wheel_problems,
)
from fedshow import __version__
from fedshow.files import digest

EPOCH = 1_700_000_000
PASSING = ("__pycache__", ".hypothesis")
"""What other tests, at the same time, put into the source tree and take away again."""


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Packages:
    """Both, made of this source tree."""
    return build(ROOT, tmp_path_factory.mktemp("dist"), EPOCH)


@pytest.fixture(scope="module")
def facts(packages: Packages) -> Message:
    """What the wheel says of itself."""
    with zipfile.ZipFile(packages.wheel) as archive:
        return message_from_bytes(archive.read(f"fedshow-{__version__}.dist-info/METADATA"))


def test_the_wheel_holds_the_packages_and_nothing_else(packages: Packages) -> None:
    names = wheel_names(packages.wheel)
    assert wheel_problems(names, __version__, source_names(ROOT)) == []
    for needed in (
        *("fedshow/py.typed", "fedshow_client/py.typed", "fedshow_server/py.typed"),
        "fedshow/toyworld/weights/unet/diffusion_pytorch_model.safetensors",
        "fedshow/v1/concepts_pb2_grpc.py",
        "fedshow/web/static/look.css",
        "fedshow_client/page/templates/page/overview.html",
        "fedshow_server/store/migrations/env.py",
        "fedshow_server/web/pages/templates/gallery/page.html",
    ):
        assert needed in names


def test_the_sdist_holds_what_is_needed_to_build_and_test(packages: Packages) -> None:
    assert sdist_problems(sdist_names(packages.sdist), source_names(ROOT)) == []


def test_what_is_missing_strange_or_private_is_named(packages: Packages) -> None:
    sources = source_names(ROOT)
    names = [name for name in wheel_names(packages.wheel) if name != "fedshow/py.typed"]
    strange = ["fedshow/fonts/somebodys.ttf", "fedshow_server/ca.pem"]
    assert wheel_problems([*names, *strange], __version__, sources | {strange[0]}) == [
        "missing: fedshow/py.typed",
        "not ours: fedshow_server/ca.pem",
        "of no known kind: fedshow/fonts/somebodys.ttf",
        "never: fedshow_server/ca.pem",
    ]
    assert "never: /.venv/pip.py" in sdist_problems([".venv/pip.py"], sources)


def test_whoever_builds_gets_the_same_bytes(packages: Packages, tmp_path: Path) -> None:
    elsewhere = tmp_path / "under another name"
    shutil.copytree(ROOT, elsewhere, ignore=_ignored, copy_function=shutil.copy)  # other times
    os.chmod(elsewhere / "NOTICE", 0o600)
    again = build(elsewhere, tmp_path / "again", EPOCH)
    from_sdist = build_from_sdist(packages.sdist, tmp_path / "unpacked", EPOCH)
    assert [digest(path) for path in again.files] == [digest(path) for path in packages.files]
    assert digest(from_sdist) == digest(packages.wheel)


def test_the_version_is_said_once(packages: Packages, facts: Message) -> None:
    assert facts["Version"] == __version__
    assert packages.wheel.name == f"fedshow-{__version__}-py3-none-any.whl"
    assert packages.sdist.name == f"fedshow-{__version__}.tar.gz"


def test_extras_name_everything_that_people_may_want(facts: Message) -> None:
    extras = set(facts.get_all("Provides-Extra", []))
    assert {"client", "server", "all"} <= extras
    needed = {extra: _needed(facts, extra) for extra in extras - {"dev", "fuzz"}}
    assert needed["client"] == {"pillow-heif"}
    assert needed["server"] == {"psycopg", "s3fs"}
    assert needed.pop("all") == set().union(*needed.values())


def test_licence_and_notice_go_along(packages: Packages, facts: Message) -> None:
    assert facts["License-Expression"] == "Apache-2.0"
    assert facts.get_all("License-File") == ["LICENSE", "NOTICE"]


@pytest.mark.skipif(
    "FEDSHOW_WHEEL_ENVIRONMENT" not in os.environ, reason="`make release` tests the wheel"
)
def test_what_is_tested_is_the_wheel() -> None:
    import fedshow
    import fedshow_client
    import fedshow_server

    environment = Path(os.environ["FEDSHOW_WHEEL_ENVIRONMENT"])
    for package in (fedshow, fedshow_client, fedshow_server):
        assert Path(str(package.__file__)).is_relative_to(environment)


def _needed(facts: Message, extra: str) -> set[str]:
    """The packages that an extra adds."""
    found = map(Requirement, facts.get_all("Requires-Dist", []))
    return {r.name for r in found if r.marker and f'extra == "{extra}"' in str(r.marker)}


def _ignored(folder: str, names: list[str]) -> set[str]:
    """What git ignores, as far as it is in the way here."""
    made = {name for name in names if name in PASSING or name.endswith("_cache")}
    return made | ({".git", ".venv", "build", "demo", "dist"} if Path(folder) == ROOT else set())
