"""The server's ledger: which folder, what becomes of damaged and outdated ones."""

from pathlib import Path

import pytest

import fedshow_server.fusion
from fedshow.errors import Damaged
from fedshow_server import fusing
from fedshow_server.fusion import current_ledger, offline


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
    fusing._fuse("toyworld", [], tmp_path / "out", ledgers, "host:1")
    assert given["ray"] == "host:1"
    assert given["ledger"] == current_ledger(ledgers)
    assert given["only"] is True, "withdrawn concepts leave the ledger"
    (current_ledger(ledgers) / "spoiled").touch()
    with pytest.raises(Damaged):
        fusing._fuse("toyworld", [], tmp_path / "out", ledgers)
    fusing._fuse("toyworld", [], tmp_path / "out", ledgers)
