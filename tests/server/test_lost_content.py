"""A store that is not there for a while, or a base that is another one now: no concept is lost by it."""

import asyncio
import runpy
import shutil
import sys
from datetime import timedelta
from types import SimpleNamespace

import pytest

from fedshow import __version__
from fedshow.errors import InvalidInput, NotFound
from fedshow.toyworld import WEIGHTS
from fedshow_server.describing import described_base, files_of
from fedshow_server.folder import DataFolder, DescribedBase
from fedshow_server.ground import ground_of
from fedshow_server.releasing.fusing import Fuser, fuse_admitted
from fedshow_server.releasing.signing import open_signer
from fedshow_server.settings import load_settings
from fedshow_server.store import Offer, open_store
from tests.conftest import BASE
from tests.stage.concepts import CARD, concept_bytes
from tests.stage.server import STANDIN


@pytest.fixture
def folder(tmp_path):
    """A data folder that will have its content elsewhere."""
    made = DataFolder(tmp_path / "data")
    made.make()
    return made


@pytest.fixture
def store(folder, tmp_path):
    """Two admitted concepts with their files in a folder of its own, `nas`."""
    found = open_store(f"sqlite:///{folder.path / 'fedshow.db'}", tmp_path / "nas")
    node, _ = found.members.join(found.members.invite("anna", timedelta(days=1)), "key", 1)
    for name in ("dobby", "potter"):
        blob = concept_bytes(name)
        digest = found.blobs.put(blob)
        found.concepts.submit(node.id, Offer(name, "man", digest, len(blob)), 100)
        found.concepts.admit(digest)
    yield found
    found.close()


@pytest.fixture
def fuse(store, folder, monkeypatch):
    """Does what the fusion worker does, with the stand-in for fusing; `card` is the server's base."""
    standin = SimpleNamespace(**runpy.run_path(str(STANDIN / "standin_fusion.py")))
    monkeypatch.setitem(sys.modules, "fedshow_server.fusion", standin)
    signer, fuser = open_signer(folder.ca), Fuser("tiny", folder.ledgers)
    return lambda card=CARD: fuse_admitted(store, card, signer, fuser, folder.work)


def states(store):
    return {concept.name: str(concept.state) for concept in store.concepts.all()}


def test_concepts_outlive_a_store_that_is_not_mounted(store, fuse, tmp_path):
    (tmp_path / "nas").rename(tmp_path / "aside")
    store.blobs.check()  # as a server does that starts then: an empty folder in the same place
    for _ in range(3):
        with pytest.raises(NotFound, match=r"concept 'dobby': .*fedshow server remove dobby"):
            fuse()
    assert states(store) == {"dobby": "admitted", "potter": "admitted"}
    (tmp_path / "nas").rmdir()
    (tmp_path / "aside").rename(tmp_path / "nas")
    fuse()
    assert sorted(store.releases.last().concepts) == ["dobby", "potter"]


def test_concepts_outlive_another_base(store, fuse):
    with pytest.raises(InvalidInput, match="dobby"):
        fuse(CARD.model_copy(update={"sha256": "cd" * 32}))
    assert states(store) == {"dobby": "admitted", "potter": "admitted"}


def test_a_spoiled_file_is_refused_alone(store, fuse, tmp_path):
    (digest,) = (one.sha256 for one in store.concepts.all() if one.name == "dobby")
    (tmp_path / "nas" / digest[:2] / digest).write_bytes(b"x")
    fuse()
    assert states(store) == {"dobby": "refused", "potter": "admitted"}


def test_a_server_does_not_start_on_a_store_without_its_concepts(store, folder, tmp_path):
    shutil.move(tmp_path / "nas", tmp_path / "aside")
    settings = load_settings(
        data=folder.path, store=str(tmp_path / "nas"), listen="127.0.0.1:0", public_name="localhost"
    )
    with (
        pytest.raises(InvalidInput, match=r"nas: the files of all 2 concepts are missing"),
        ground_of(settings, folder),
    ):
        pass


def test_a_base_is_looked_at_again_when_its_files_were_replaced(folder, tmp_path):
    base = tmp_path / "base"
    shutil.copytree(WEIGHTS, base)
    known = DescribedBase(base=str(base), fedshow=__version__, card=CARD, files=files_of(str(base)))
    folder.keep_base(known)
    assert asyncio.run(described_base(folder, str(base))) == CARD
    base.rename(tmp_path / "aside")
    shutil.copytree(WEIGHTS, tmp_path / "other")
    base.symlink_to(tmp_path / "other")
    with pytest.raises(InvalidInput, match=f"for {CARD.sha256[:12]}…"):
        asyncio.run(described_base(folder, str(base)))
    assert folder.base() == known


def test_a_base_with_other_weights_is_not_taken_after_an_upgrade(folder):
    known = DescribedBase(base=BASE, fedshow="0", card=CARD)
    folder.keep_base(known)
    with pytest.raises(InvalidInput, match=f"for {CARD.sha256[:12]}…"):
        asyncio.run(described_base(folder, BASE))
    assert folder.base() == known
