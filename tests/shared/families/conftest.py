"""One small member of every family."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fedshow.families import Base, open_base
from fedshow.sampling.model import Model
from tests.stage.bases import MAKERS


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Of every family a base as diffusers writes it."""
    root = tmp_path_factory.mktemp("bases")
    return {name: make(root / name) for name, make in MAKERS.items()}


@pytest.fixture(scope="session")
def members(folders: dict[str, Path]) -> dict[str, Base]:
    """All of them, opened."""
    return {name: open_base(str(folder)) for name, folder in folders.items()}


@pytest.fixture(params=sorted(MAKERS))
def member(members: dict[str, Base], request: pytest.FixtureRequest) -> Base:
    """One after another."""
    return members[request.param]


@pytest.fixture
def model(member: Base) -> Iterator[Model]:
    """Something to draw with; its base is left as it was."""
    opened = Model(member)
    yield opened
    opened.restore()
