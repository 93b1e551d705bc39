"""Files of many tensors: read as they were written, their headers once."""

import weakref
from pathlib import Path

import pytest
import torch
from torch import Tensor

from fedshow.errors import Damaged
from fedshow_server.fusion.ledger import records, tensors
from fedshow_server.fusion.ledger.tensors import CPU, TensorReader, TensorWriter, packed
from tests.server.fusion.synthetic import WIRING, seen, statistics


def write(path: Path, *values: torch.Tensor) -> None:
    shapes = {str(number): tuple(value.shape) for number, value in enumerate(values)}
    with TensorWriter(path, shapes, torch.float32) as writer:
        for number, value in enumerate(values):
            writer.write(str(number), value)
        writer.finish()


def test_every_tensor_comes_back_widened(tmp_path: Path) -> None:
    values = (torch.randn(3, 5), torch.tensor(2.5), torch.zeros(0, 4), torch.randn(7))
    write(tmp_path / "a", *values)
    reader = TensorReader(tmp_path / "a", CPU)
    for number, value in enumerate(values):
        assert str(number) in reader
        assert torch.equal(reader[str(number)], value.double())
    assert "4" not in reader


def test_a_header_is_read_once_and_a_new_files_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With hundreds of layers it is far dearer than what it leads to."""
    opened: list[Path] = []
    open_file = tensors.safe_open
    monkeypatch.setattr(
        tensors, "safe_open", lambda path, kind: opened.append(path) or open_file(path, kind)
    )
    write(tmp_path / "a", torch.ones(2))
    for _ in range(3):
        assert TensorReader(tmp_path / "a", CPU)["0"].tolist() == [1, 1]
    assert len(opened) == 1
    write(tmp_path / "b", torch.zeros(1), torch.zeros(2))
    (tmp_path / "b").replace(tmp_path / "a")
    assert TensorReader(tmp_path / "a", CPU)["1"].tolist() == [0, 0]
    assert len(opened) == 2


def test_of_all_moments_one_triangle_is_held_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a card there is room for the moments themselves, not for half as much again."""
    alive: weakref.WeakSet[Tensor] = weakref.WeakSet()
    most = made = 0

    def spy(symmetric_II: Tensor) -> Tensor:
        nonlocal most, made
        found = packed(symmetric_II)
        alive.add(found)
        most, made = max(most, len(alive)), made + 1
        return found

    monkeypatch.setattr(records, "packed", spy)
    records.write_record(tmp_path / "record", statistics(1))
    records.write_seen(tmp_path / "seen", seen(2))
    assert made == 4 * len(WIRING.readers)
    assert most == 1
    again = records.read_seen(TensorReader(tmp_path / "seen"), WIRING)
    for name, moment_II in seen(2).heldout.items():
        assert torch.equal(again.heldout[name], moment_II.float().double())
    assert again.given == seen(2).given


def test_what_is_no_such_file_is_damaged(tmp_path: Path) -> None:
    write(tmp_path / "a", torch.ones(100))
    (tmp_path / "a").write_bytes((tmp_path / "a").read_bytes()[:-4])
    with pytest.raises(Damaged):
        TensorReader(tmp_path / "a", CPU)
    with pytest.raises(Damaged):
        TensorReader(tmp_path / "none", CPU)
