"""All other pages: what they say is typed on a machine where the things that they speak of lie ready."""

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from secrets import token_hex

import pytest

from fedshow.families import Base
from fedshow.roles import Role
from tests.docs.blocks import PAGES, blocks_of
from tests.docs.machines import Machine
from tests.docs.stage import NAME, Stage, make_stage
from tests.docs.test_server_tutorial import PAGE as SERVER_TUTORIAL
from tests.docs.typing_in import Reader
from tests.docs.warm import warm_programs
from tests.server.backends import _s3_server, postgres, s3  # noqa: F401  # fixtures
from tests.stage.postgres import Postgres

FROM_NOTHING = "docs/tutorials/"
RELEASE_TUTORIAL = "docs/tutorials/release.md"
DATABASES = "docs/how-to/databases.md"
WITH_BLOCKS = [page for page in PAGES if page != SERVER_TUTORIAL and blocks_of(page)]


@pytest.fixture(scope="session")
def stage(opened_base: Base, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Concepts, a release, pictures, and a server that has it."""
    things, server, programs = map(tmp_path_factory.mktemp, ("things", "server", "programs"))
    with warm_programs(programs):
        made = make_stage(things, opened_base, server / "data", programs)
        yield made
        assert made.server.end() == 0


@pytest.mark.timeout(900)
@pytest.mark.parametrize("page", [page for page in WITH_BLOCKS if page != DATABASES])
def test_a_page_does_what_it_says(page: str, stage: Stage, tmp_path: Path) -> None:
    read(page, stage, tmp_path, {})


@pytest.mark.timeout(900)
def test_databases(stage: Stage, tmp_path: Path, postgres: Postgres, _s3_server) -> None:  # noqa: F811, PT019
    places = {
        "postgresql://fedshow:secret@db.example.org:5432/fedshow": postgres.new_database(),
        "postgresql://fedshow:secret@db.example.org:5432/restored": postgres.new_database(),
        "https://s3.example.org": _s3_server.address,
        "s3://fedshow-content/": f"s3://{_s3_server.bucket}/",
        "pg_": f"{postgres.programs}/pg_",
    }
    read(DATABASES, stage, tmp_path, places)


def read(page: str, stage: Stage, folder: Path, places: dict[str, str]) -> None:
    """Types what a page says, on one machine, whatever it calls it."""
    if page.startswith(FROM_NOTHING):
        machine = Machine(folder / "home", programs=stage.programs)
        machine.home.mkdir()
    else:
        machine = stage.machine(folder / "home")
    role = Role.DOWNLOADER if page == RELEASE_TUTORIAL else Role.CONTRIBUTOR
    node = f"dora-{token_hex(4)}"
    code = stage.server.invite(node, role).encode()
    machines = defaultdict(lambda: machine)
    Reader(machines, places | stand_ins(stage, node), code).read(page)


def stand_ins(stage: Stage, node: str) -> dict[str, str]:
    """What stands for the server of the pages, and for other hosts, which nobody outside can reach."""
    return {
        "/srv/fedshow": str(stage.server.data),
        "0.0.0.0:8443": "127.0.0.1:0",
        f"--public-name {NAME}": "--public-name 127.0.0.1",
        f"{NAME}:8443": stage.server.address,
        " as dora,": f" as {node},",
        "client join fedshow-join:": f"client join --as {NAME} fedshow-join:",
    }
