"""All other pages: what they say is typed on a machine where the things that they speak of lie ready."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fedshow.families import Base
from fedshow.roles import Role
from tests.docs.blocks import HERE, PAGES, blocks_of
from tests.docs.machines import Machine
from tests.docs.stage import NAME, Stage, make_stage
from tests.docs.test_server_tutorial import PAGE as SERVER_TUTORIAL
from tests.docs.typing_in import Reader

FROM_NOTHING = "docs/tutorials/"
WITH_BLOCKS = [page for page in PAGES if page != SERVER_TUTORIAL and blocks_of(page)]


@pytest.fixture(scope="session")
def stage(opened_base: Base, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Concepts, a release, pictures, and a server that has it."""
    folders = (tmp_path_factory.mktemp("stage"), tmp_path_factory.mktemp("server") / "data")
    made = make_stage(folders[0], opened_base, folders[1])
    yield made
    assert made.server.end() == 0


@pytest.mark.timeout(900)
@pytest.mark.parametrize("page", WITH_BLOCKS)
def test_a_page_does_what_it_says(page: str, stage: Stage, tmp_path: Path) -> None:
    home = tmp_path / "home"
    if page.startswith(FROM_NOTHING):
        home.mkdir()
        machine = Machine(home)
    else:
        machine = stage.machine(home)
    Reader({HERE: machine}, typed(stage)).read(page)


def typed(stage: Stage) -> dict[str, str]:
    """What stands for the server of the pages, which nobody outside of the tests can reach."""
    code = stage.server.invite("dora", Role.DOWNLOADER).encode()
    return {
        f"{NAME}:8443": stage.server.address,
        "--listen 0.0.0.0:8443": "--listen 127.0.0.1:0",
        "client join fedshow-join:…": f"client join {code} --as {NAME}",
    }
