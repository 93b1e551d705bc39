"""A server that draws with releases of toyworld, and a browser that knows it."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fedshow.demo.folders import Person, draw_images
from fedshow.roles import Role
from fedshow_client.tuning.tune import TuneRequest, tune
from fedshow_client.tuning.watching.settings import WatchSettings
from fedshow_server.fusion.offline import fuse_to_folder
from fedshow_server.releasing.publishing import publish
from fedshow_server.releasing.signing import open_signer
from tests.conftest import BASE
from tests.stage.browser import chromium, key_of, prepare_chromium
from tests.stage.concepts import make_data, random_concept
from tests.stage.gallery import MEMBERS
from tests.stage.member import Member
from tests.stage.processes import children
from tests.stage.server import Server
from tests.stage.studio import Studio

STEPS = 60
"""Enough to be recognised."""


@pytest.fixture(scope="session")
def server(opened_base, tmp_path_factory):
    """A running server with the embedded base."""
    if missing := prepare_chromium():
        pytest.skip(missing)
    data = make_data(tmp_path_factory.mktemp("studio") / "data", opened_base.card, BASE)
    found = Server(data, options=("--base", BASE, "--quiet-seconds", "86400"))
    found.start()
    yield found
    assert found.end() == 0


@pytest.fixture(scope="session")
def members(server):
    """A node of every role."""
    return {role: Member.redeem(server, server.invite(MEMBERS[role], role)) for role in Role}


@pytest.fixture(scope="session")
def driver(server, downloads, tmp_path_factory):
    """The browser."""
    home = tmp_path_factory.mktemp("chromium")
    with chromium(home, (key_of(server.address),), downloads) as found:
        yield found


@pytest.fixture(scope="session")
def release(server):
    """Makes a release of concept files the server's latest; gives its id."""

    def release(files, method, folder: Path) -> str:
        made = fuse_to_folder(BASE, files, folder, method=method)
        store = server.store()
        publish(store, folder, open_signer(server.data / "ca"))
        store.close()
        return made.release

    return release


@pytest.fixture(scope="session")
def releases(release, opened_base, tmp_path_factory):
    """Two releases of the same concepts, which are noise; the older one first."""
    folder = tmp_path_factory.mktemp("noise")
    files = [folder / f"{name}.safetensors" for name in ("potter", "pettigrew")]
    for seed, file in enumerate(files):
        random_concept(file, opened_base.card, file.stem, seed)
    return [release(files, method, folder / method) for method in ("average", "sum")]


@pytest.fixture(scope="session")
def people(tmp_path_factory):
    """Two with pictures of a character each."""
    folder = tmp_path_factory.mktemp("people")
    found = [Person(name, name, folder / name) for name in ("gloop", "bolt")]
    for seed, person in enumerate(found):
        draw_images(person, seed)
    return found


@pytest.fixture(scope="session")
def tuned(release, releases, people, tmp_path_factory):
    """A release of their characters, tuned just long enough, newer than those of noise."""
    folder = tmp_path_factory.mktemp("tuned")
    files = []
    for person in people:
        files.append(folder / f"{person.concept}.safetensors")
        request = TuneRequest(
            images=person.images,
            name=person.concept,
            class_word=person.class_word,
            out=files[-1],
            work=folder / f"{person.concept}-work",
            recipe={"steps": STEPS, "variants": 4},
            watch=WatchSettings(samples=False),
            leakage=False,
        )
        tune(request)
    return release(files, "average", folder / "release")


@pytest.fixture
def held(server):
    """Within the block the worker stands still: what it draws is not done before the block ends."""

    @contextmanager
    def hold() -> Iterator[None]:
        (worker,) = children(server.process.pid, "fedshow_server.drawing.worker")
        os.kill(worker, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(worker, signal.SIGCONT)

    return hold


@pytest.fixture
def studio(enter, releases):
    """The page, opened by a downloader: whoever may have a release may draw with it."""
    return Studio(enter(Role.DOWNLOADER, f"/gallery/studio?release={releases[-1]}"))
