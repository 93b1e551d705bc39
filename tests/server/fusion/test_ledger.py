"""The ledger of statistics: what comes, goes and is weighed anew is what a fresh one would hold."""

import dataclasses
import json
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import torch
from torch import Tensor

from fedshow.errors import BaseMismatch, Damaged, InvalidInput
from fedshow_server.fusion.ledger import Ledger, open_ledger
from fedshow_server.fusion.ledger import ledger as module
from fedshow_server.fusion.ledger.receipt import relative_difference
from fedshow_server.fusion.ledger.records import Record
from fedshow_server.fusion.statistics import Seen, Statistics
from fedshow_server.fusion.sums import layer_of
from fedshow_server.fusion.unfusable import UnfusableConcept
from tests.server.fusion.synthetic import (
    RECORDING,
    WIRING,
    record_generic,
    ridge,
    seen,
    statistics,
)

Open = Callable[[], AbstractContextManager[Ledger]]
QUERY = "unet.a.attn1.to_q"
VALUE = "unet.a.attn2.to_v"


def opened(folder: Path) -> AbstractContextManager[Ledger]:
    return open_ledger(folder, WIRING, RECORDING)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with opened(tmp_path / "ledger") as found:
        record_generic(found)
        yield found


def fuse(ledger: Ledger, weights: Mapping[str, float] | None = None) -> dict[str, Tensor]:
    return {layer.name: ridge(layer) for layer in ledger.layers(weights)}


def fresh(folder: Path, concepts: Mapping[int, float]) -> dict[str, Tensor]:
    """The fusion of a ledger that never held anything else."""
    with opened(folder) as ledger:
        record_generic(ledger)
        for seed, weight in concepts.items():
            ledger.add(statistics(seed), weight)
        return fuse(ledger)


def assert_same(found: dict[str, Tensor], expected: dict[str, Tensor], limit: float = 1e-6) -> None:
    assert found.keys() == expected.keys(), "layers that nobody adapts, or too few"
    for layer in found:
        assert relative_difference(found[layer], expected[layer]) <= limit, layer


def state(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_sums_are_those_of_the_concepts_in_memory(ledger: Ledger) -> None:
    """Straight from the formulas, with the adapters and moments that went in."""
    for seed, weight in ((1, 1.0), (2, 2.5)):
        ledger.add(statistics(seed), weight)
    found = {layer.name: layer for layer in ledger.layers()}
    assert set(found) == set(WIRING.layers)
    layer = found[QUERY]
    parts = list(layer.parts())
    one = statistics(2)
    down, up = one.adapters[QUERY]
    fit_II = one.seen.fit["unet.a.attn1.hidden"].float().double()
    torch.testing.assert_close(parts[1].delta_OI, 0.5 * up.double() @ down.double())
    torch.testing.assert_close(parts[1].fit_II, fit_II)
    assert [part.weight for part in parts] == [1.0, 2.5]
    again = layer_of(
        QUERY, layer.input_name, parts, layer.reads.generic_II, layer.reads.generic_heldout_II
    )
    for field in dataclasses.fields(layer.sums):
        ours, theirs = (getattr(sums, field.name) for sums in (layer.sums, again.sums))
        torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(layer.reads.fit_II, again.reads.fit_II)
    assert (layer.reads.weight, layer.reads.concepts) == (3.5, 2)
    assert layer.given == ledger.generic("").given[QUERY] > 0


def test_half_of_the_guard_is_shared_by_the_classes(ledger: Ledger) -> None:
    """Two robots count as one; a class that left counts no more."""
    for seed in (1, 2, 4):  # robot, bunny, robot
        ledger.add(statistics(seed))
    name = "unet.a.attn1.hidden"

    def expected(*classes: int) -> Tensor:
        own = [seen(900 + k).fit[name].float().double() for k in classes]
        return (seen(900).fit[name].float().double() + sum(own) / len(own)) / 2

    def found() -> Tensor:
        return next(layer for layer in ledger.layers() if layer.name == QUERY).reads.generic_II

    torch.testing.assert_close(found(), expected(2, 3))
    ledger.remove(statistics(2).name, ridge)
    torch.testing.assert_close(found(), expected(2))


@pytest.mark.parametrize("seed", range(3))
def test_any_order_of_changes_equals_a_fresh_ledger(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    held: dict[int, float] = {}
    with opened(tmp_path / "ledger") as ledger:
        record_generic(ledger)
        for _ in range(20):
            action = chance.choice(["add", "add", "remove", "weigh"])
            weight = chance.choice([0.5, 1.0, 3.0])
            absent = [k for k in range(1, 30) if k not in held]
            if action == "add" or len(held) < 2:
                ledger.add(statistics(new := chance.choice(absent)), weight)
                held[new] = weight
            elif action == "remove":
                gone = chance.choice(sorted(held))
                receipt = ledger.remove(statistics(gone).name, ridge)
                del held[gone]
                assert receipt.largest_difference <= 1e-6
            else:
                held[chance.choice(sorted(held))] = weight
            weights = {statistics(k).name: weight for k, weight in held.items()}
            found = fuse(ledger, weights)
        assert_same(found, fresh(tmp_path / "fresh", held))
    with opened(tmp_path / "ledger") as ledger:
        assert_same(fuse(ledger, weights), found, 0)


@pytest.mark.parametrize("rank", [1, 4], ids=["factors", "matrices"])
def test_a_receipt_names_what_is_left_and_proves_it(
    ledger: Ledger, tmp_path: Path, rank: int
) -> None:
    for seed in (1, 2, 3):
        ledger.add(statistics(seed, rank=rank))
    fuse(ledger)
    receipt = ledger.remove(statistics(2).name, ridge)
    assert (receipt.name, receipt.sha256) == (statistics(2).name, statistics(2).sha256)
    assert receipt.remaining == (statistics(1).name, statistics(3).name)
    assert receipt.largest_difference < 1e-9
    assert receipt.largest_difference or rank == 1, "matrices are added up in two ways"
    with opened(tmp_path / "other") as other:
        record_generic(other)
        for seed in (3, 1, 5):
            other.add(statistics(seed, rank=rank))
        assert other.remove(statistics(5).name, ridge).remaining_sha256 == receipt.remaining_sha256
    left = [name for name in state(tmp_path / "ledger") if statistics(2).sha256 in name]
    assert not left, "the record of a removed concept stays on the disk"
    last = [ledger.remove(statistics(seed).name, ridge) for seed in (1, 3)][-1]
    assert (last.remaining, last.largest_difference) == ((), 0.0)


@pytest.mark.parametrize("rank", [1, 4], ids=["factors", "matrices"])
def test_a_receipt_shows_sums_that_went_wrong(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, rank: int
) -> None:
    for seed in (1, 2, 3):
        ledger.add(statistics(seed, rank=rank))
    fuse(ledger)
    real = Record.moment
    monkeypatch.setattr(Record, "moment", lambda *a: real(*a) * (1.001 if "attn2" in a[1] else 1.0))
    assert ledger.remove(statistics(2).name, ridge).largest_difference > 1e-5


def test_adding_one_opens_no_record_of_the_others(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cost and memory of the n-th addition are those of the second."""
    for seed in range(1, 9):
        ledger.add(statistics(seed))
    fuse(ledger)
    opened_files: list[str] = []
    real = Record.__init__

    def spy(self: Record, path: Path, scale: float, device: torch.device) -> None:
        opened_files.append(path.stem)
        real(self, path, scale, device)

    monkeypatch.setattr(Record, "__init__", spy)
    ledger.add(statistics(9))
    fuse(ledger)
    assert set(opened_files) == {statistics(9).sha256}


def test_no_list_of_matrices_is_ever_held(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """While sums are made anew from 12 concepts, at most the moments of one are alive."""
    import weakref

    for seed in range(1, 13):
        ledger.add(statistics(seed))
    alive: weakref.WeakSet[Tensor] = weakref.WeakSet()
    most = 0
    real = Record.moment

    def spy(self: Record, name: str, kind: str) -> Tensor:
        nonlocal most
        found = real(self, name, kind)
        alive.add(found)
        most = max(most, len(alive))
        return found

    monkeypatch.setattr(Record, "moment", spy)
    fuse(ledger)
    assert 0 < most <= 4, "two moments of one concept, and those of the one before"


def test_subsets_are_fused_without_recording_and_kept(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed in range(1, 6):
        ledger.add(statistics(seed))
    chosen = {statistics(2).name: 2.0, statistics(5).name: 1.0}
    found = fuse(ledger, chosen)
    assert_same(found, fresh(tmp_path / "fresh", {2: 2.0, 5: 1.0}))
    monkeypatch.setattr(module, "write_totals", lambda *_: pytest.fail("sums are made again"))
    assert_same(fuse(ledger, dict(reversed(chosen.items()))), found, 0)


def test_few_sums_stay_on_the_disk(ledger: Ledger, tmp_path: Path) -> None:
    for seed in range(1, 6):
        ledger.add(statistics(seed))
    whole = fuse(ledger)
    for seed in range(1, 6):
        fuse(ledger, {statistics(seed).name: 1.0})
    assert len(list((tmp_path / "ledger" / "sums").iterdir())) == module.KEPT_SUMS
    assert_same(fuse(ledger), whole, 0)


def spoil(seed: int, **changes: object) -> Statistics:
    return dataclasses.replace(statistics(seed), **changes)  # type: ignore[arg-type]


def spoil_adapter(factor: float) -> Statistics:
    adapters = dict(statistics(7).adapters)
    down, up = adapters[QUERY]
    return spoil(7, adapters=adapters | {QUERY: (down, up * factor)})


def spoil_moment(value: Tensor) -> Statistics:
    own = statistics(7).seen
    return spoil(7, seen=Seen({**own.fit, "unet.a.attn2.context": value}, own.heldout))


@pytest.mark.parametrize(
    ("bad", "error", "says"),
    [
        (spoil(7, base_sha256="cd" * 32), BaseMismatch, "recorded on base cdcdcdcdcdcd"),
        (spoil(2), InvalidInput, f"two concepts are named '{statistics(2).name}'"),
        (spoil_adapter(float("nan")), UnfusableConcept, "NaN or infinity"),
        (spoil_adapter(2000.0), UnfusableConcept, "limit 1000"),
        (spoil_adapter(900.0), UnfusableConcept, "times as large as a rotation"),
        (
            spoil(7, adapters={QUERY: (torch.ones(2, 8), torch.ones(9, 2))}),
            UnfusableConcept,
            r"shapes \[9, 2\] and \[2, 8\], must be \[8, rank\] and \[rank, 8\]",
        ),
        (
            spoil(7, adapters={"unet.b": (torch.ones(2, 8), torch.ones(8, 2))}),
            UnfusableConcept,
            "unet.b takes no adapters in tiny",
        ),
        (
            spoil_moment(torch.full((6, 6), torch.nan)),
            UnfusableConcept,
            "drawing with it gives NaN",
        ),
        (spoil_moment(torch.eye(5)), UnfusableConcept, r"shape \[5, 5\], must be \[6, 6\]"),
        (spoil_moment(torch.eye(6) * 1e9), UnfusableConcept, r"mean square 1e\+09"),
        (spoil_moment(-torch.eye(6)), UnfusableConcept, "mean square -1"),
        (spoil(7, seen=Seen({}, {})), UnfusableConcept, "none recorded"),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else None,
)
def test_bad_statistics_are_refused_and_nothing_changes(
    tmp_path: Path, bad: Statistics, error: type[Exception], says: str
) -> None:
    with opened(tmp_path) as ledger:
        record_generic(ledger)
        ledger.add(statistics(2))
        before = state(tmp_path)
        with pytest.raises(error, match=says):
            ledger.add(bad)
        assert state(tmp_path) == before


def test_bad_sets_and_weights_are_refused(ledger: Ledger, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="set of concepts is empty"):
        ledger.layers()
    ledger.add(statistics(1))
    before = state(tmp_path)
    for call in (
        lambda: ledger.layers({}),
        lambda: ledger.layers({"nobody": 1.0}),
        lambda: ledger.layers({statistics(1).name: 0.0}),
        lambda: ledger.remove("nobody", ridge),
        lambda: ledger.add(statistics(2), float("nan")),
    ):
        with pytest.raises(InvalidInput, match=r"empty|not in the ledger, which has|between 0 and"):
            call()
    assert state(tmp_path) == before


def rewrite_index(folder: Path, **values: object) -> None:
    file = folder / "ledger.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def cut(folder: Path, part: str) -> None:
    file = next((folder / part).iterdir())
    file.write_bytes(file.read_bytes()[:-5])


@pytest.mark.parametrize(
    ("spoiled", "error", "says"),
    [
        (lambda f: rewrite_index(f, version=0), InvalidInput, "has version 0, this fedshow needs"),
        (lambda f: rewrite_index(f, recording="old"), InvalidInput, "was recorded as 'old'"),
        (
            lambda f: rewrite_index(f, base={"name": "other", "sha256": "cd" * 32}),
            BaseMismatch,
            r"belongs to base other \(cdcdcdcdcdcd\)",
        ),
        (lambda f: rewrite_index(f, concepts=3), Damaged, r"ledger\.json: concepts: Input should"),
        (lambda f: (f / "ledger.json").write_text('{"vers'), Damaged, r"ledger\.json: no ledger"),
        (lambda f: (f / "ledger.json").unlink(), InvalidInput, "is no ledger and not empty"),
        (lambda f: cut(f, "records"), Damaged, r"records/[0-9a-f]{64}\.safetensors: \d+ bytes"),
        (lambda f: cut(f, "generic"), Damaged, r"generic/\w+\.safetensors: \d+ bytes"),
    ],
    ids=["version", "recording", "base", "fields", "half", "gone", "record", "generic"],
)
def test_what_is_no_ledger_of_ours_is_named_and_left_alone(
    tmp_path: Path, spoiled: Callable[[Path], object], error: type[Exception], says: str
) -> None:
    with opened(tmp_path) as ledger:
        record_generic(ledger)
        ledger.add(statistics(1))
    spoiled(tmp_path)
    before = state(tmp_path)
    with pytest.raises(error, match=says), opened(tmp_path):
        pass
    assert state(tmp_path) == before


def test_flipped_bits_of_a_record_are_found(tmp_path: Path) -> None:
    with opened(tmp_path) as ledger:
        record_generic(ledger)
        ledger.add(statistics(1))
    file = next((tmp_path / "records").iterdir())
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with opened(tmp_path) as ledger, pytest.raises(Damaged, match=f"{file.name}: sha256"):
        ledger.layers()


def test_damaged_sums_are_made_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with opened(tmp_path) as ledger:
        record_generic(ledger)
        for seed in (1, 2):
            ledger.add(statistics(seed))
            expected = fuse(ledger)
    for file in (tmp_path / "sums").iterdir():
        file.write_bytes(file.read_bytes()[:-5])
    with opened(tmp_path) as ledger:
        assert_same(fuse(ledger), expected)
    assert "made again" in caplog.text


def test_one_user_at_a_time(tmp_path: Path) -> None:
    with opened(tmp_path), pytest.raises(InvalidInput, match="in use"), opened(tmp_path):
        pass


def test_a_folder_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "records").mkdir()
    (tmp_path / "records" / "mine.safetensors").write_text("mine")
    with pytest.raises(InvalidInput, match="holds 'records'"), opened(tmp_path):
        pass
    assert (tmp_path / "records" / "mine.safetensors").read_text() == "mine"
