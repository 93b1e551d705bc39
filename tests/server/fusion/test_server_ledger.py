"""The server's ledger: which folder, what becomes of damaged and outdated ones."""

import asyncio
from pathlib import Path

import pytest

import fedshow_server.fusion
from fedshow.errors import Damaged
from fedshow_server.folder import DataFolder
from fedshow_server.fusion import Vetting, current_ledger, offline
from fedshow_server.releasing import fusing
from fedshow_server.releasing.queue import FusionQueue
from fedshow_server.settings import ServerSettings
from fedshow_server.store import open_store
from tests.stage.waiting import PATIENCE_SECONDS


def test_ledgers_of_other_versions_are_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was withdrawn shall not live on in one that nobody opens any more."""
    first = current_ledger(tmp_path)
    first.mkdir()
    assert current_ledger(tmp_path) == first
    assert first.is_dir()
    monkeypatch.setattr(offline, "VERSION", offline.VERSION + 1)
    assert current_ledger(tmp_path) != first
    assert not first.exists()


def test_the_server_fuses_with_a_ledger_and_gives_up_a_damaged_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, object] = {}

    def fuse(*_: object, ledger: Path, **options: object) -> None:
        given.update(options, ledger=ledger)
        ledger.mkdir(parents=True, exist_ok=True)
        if (ledger / "spoiled").exists():
            raise Damaged("records/x: 3 bytes")

    monkeypatch.setattr(fedshow_server.fusion, "fuse_to_folder", fuse, raising=False)
    ledgers = tmp_path / "ledgers"
    fusing.Fuser("toyworld", ledgers, "host:1", ["queen"]).fuse([], tmp_path / "out", {"a" * 64})
    assert given["ray"] == "host:1"
    assert given["vetting"] == Vetting({"a" * 64}, ["queen"])
    assert given["ledger"] == current_ledger(ledgers)
    (current_ledger(ledgers) / "spoiled").touch()
    fuser = fusing.Fuser("toyworld", ledgers)
    with pytest.raises(Damaged):
        fuser.fuse([], tmp_path / "out", ())
    fuser.fuse([], tmp_path / "out", ())


def test_statistics_go_with_the_last_concept(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    records = current_ledger(folder.ledgers) / "records"
    records.mkdir(parents=True)
    (records / "withdrawn.safetensors").touch()
    store = open_store(f"sqlite:///{tmp_path}/server.db", folder.blobs)

    async def wait_until_gone() -> None:
        queue = asyncio.create_task(
            FusionQueue(
                store, folder, ServerSettings(quiet_seconds=0), asyncio.Lock()
            ).fuse_forever()
        )
        async with asyncio.timeout(PATIENCE_SECONDS):
            while folder.ledgers.exists():
                await asyncio.sleep(0.05)
        queue.cancel()

    try:
        asyncio.run(wait_until_gone())
    finally:
        store.close()
