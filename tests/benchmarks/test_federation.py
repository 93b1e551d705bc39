"""What the federation's benchmark says rests on these: parts run tiny, and what goes wrong is counted."""

from pathlib import Path

import pytest

from benchmarks.federating import simulation, sizes
from benchmarks.federating.broadcasting import make_base, measure_broadcast
from benchmarks.federating.size import Size
from benchmarks.tuning.sd15 import TINY
from fedshow.families import Base
from fedshow_server.folder import DataFolder


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Base:
    """A base of SD 1.5's layers, all of them narrow."""
    return make_base(tmp_path_factory.mktemp("tiny") / "base", TINY)


def test_upload_counts_every_byte(tiny: Base, tmp_path: Path) -> None:
    found = sizes.measure_upload(tmp_path, tiny.card, idle_seconds=4.0)
    file, wire = found["upload_file_bytes"], found["upload_wire_bytes"]
    assert file < wire < file + 60_000
    assert found["upload_tls_bytes"] + found["upload_http_bytes"] + file == wire
    assert found["upload_over_file"] == wire / file
    assert 0 < found["idle_bytes_per_minute"] < file


def test_broadcast_weighs_what_a_client_gets(tiny: Base, tmp_path: Path) -> None:
    found = measure_broadcast(tmp_path, tiny, 3)
    assert found["dense_dtype"] == found["fused_lora_dtype"] == "F16"
    assert found["fused_lora_rank_max"] == 12
    lora = found["fused_lora_megabytes"] * 1e6
    assert found["fused_lora_bytes"] < lora < found["fused_lora_bytes"] + 60_000
    dense = found["dense_checkpoint_bytes"]
    assert found["broadcast_ratio"] == dense / (lora + found["announcement_bytes"])
    assert found["whole_release_megabytes"] * 1e6 > dense + found["fused_lora_bytes"]
    assert found["next_whole_megabytes"] < found["whole_release_megabytes"]


def test_virtual_nodes_hand_over_and_what_is_not_taken_is_named(tiny: Base, tmp_path: Path) -> None:
    found = simulation.measure(tmp_path, Size(virtual=3))
    assert (found["virtual_clients"], found["virtual_admitted"]) == (3, 3)
    store = DataFolder(tmp_path / "data").open_store()
    simulation.enter(store, tiny.card, 3, 77, tmp_path / "outboxes" / "77")
    store.close()
    found = simulation.what_became(tmp_path / "data")
    assert (found["virtual_clients"], found["virtual_admitted"]) == (4, 3)
    assert found["virtual_left_out"] == ["noise-aaad: wanted"]
