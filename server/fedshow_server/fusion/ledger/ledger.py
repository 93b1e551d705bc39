"""The ledger of statistics: concepts come, go and change weight, and any set of them can be fused.

Adding one costs the same however many are there. On disk:

    ledger.json     what is there; replacing it is what makes a change happen
    records/        per concept its adapters and moments, float32; nothing is recorded twice
    generic/        the base's own moments, per class word
    sums/           per set of concepts its sums, float64, as factors or matrices (`factors`); can be made
                    again from the records

Files are written and synced before ledger.json names them, and deleted after it no longer does: a
crash at any point leaves the state before or the state after.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from fedshow.concepts.header import BaseRef
from fedshow.errors import Damaged, InvalidInput
from fedshow.locks import locked
from fedshow.releases import FileEntry
from fedshow.releases.verify import check_size
from fedshow_server.fusion.ledger.index import (
    FILE_NAME,
    Entry,
    Index,
    Ranks,
    SumsEntry,
    Weights,
    sync_folder,
)
from fedshow_server.fusion.ledger.receipt import Receipt, Solve, largest_difference
from fedshow_server.fusion.ledger.records import Record, read_seen, write_record, write_seen
from fedshow_server.fusion.ledger.tensors import CPU, TensorReader, check_bytes, unpacked
from fedshow_server.fusion.ledger.totals import Change, ClassChange, Totals, forms_of, write_totals
from fedshow_server.fusion.ledger.views import Views
from fedshow_server.fusion.statistics import Seen, Statistics, check, check_seen
from fedshow_server.fusion.sums import Layer
from fedshow_server.fusion.vetting.norms import Norms, norms_of
from fedshow_server.fusion.wiring import Wiring

log = logging.getLogger(__name__)

KEPT_SUMS = 3
"""Sets whose sums stay on disk; the whole set is one of them."""

NO_CLASS = ""
FOLDERS = ("records", "generic", "sums")


@contextmanager
def open_ledger(
    folder: Path, wiring: Wiring, recording: str, device: torch.device = CPU
) -> Iterator["Ledger"]:
    """The ledger in `folder`, made when nothing is there; nobody else can use it meanwhile.

    `recording` says how inputs are recorded; sums are made, and layers come, on `device`. Raises
    InvalidInput (in use, no ledger, another version or recording), BaseMismatch, and Damaged naming a
    file that is not whole; the ledger is left as it was.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / "ledger.lock").open("w")
    except OSError as error:
        raise InvalidInput(f"ledger {folder}: {error.strerror}") from None
    with lock:
        if not locked(lock):
            raise InvalidInput(f"ledger {folder} is in use by another process")
        yield Ledger(folder, wiring, recording, device)


class Ledger:
    """Use `open_ledger`."""

    def __init__(self, folder: Path, wiring: Wiring, recording: str, device: torch.device) -> None:
        self._folder, self._wiring, self._device = folder, wiring, device
        self._good: set[FileEntry] = set()
        base = BaseRef(name=wiring.base_name, sha256=wiring.base_sha256)
        if not (folder / FILE_NAME).exists():
            _refuse_strangers(folder)
        self._index = Index.read(folder, base, recording)
        if not (folder / FILE_NAME).exists():
            self._index.write(folder)
        for name in FOLDERS:
            (folder / name).mkdir(exist_ok=True)
        self._check_sizes()
        self._sweep()

    @property
    def weights(self) -> dict[str, float]:
        """All concepts in the ledger with their weights, by name."""
        return self._index.weights

    @property
    def receipts(self) -> tuple[Receipt, ...]:
        """Of every removal, the oldest first."""
        return self._index.receipts

    @property
    def norms(self) -> list[Norms]:
        """How strong the adapters of each concept are, layer by layer."""
        return [entry.norms for entry in self._index.concepts.values()]

    def digest_of(self, name: str) -> str | None:
        """sha256 of the concept file that is known under this name."""
        entry = self._index.concepts.get(name)
        return entry.sha256 if entry else None

    def has_generic(self, class_word: str) -> bool:
        """Whether the base was recorded with this class word ('': without any)."""
        return class_word in self._index.generic

    def add_generic(self, class_word: str, seen: Seen) -> None:
        """Keeps what the base reads on prompts with this class word. Raises RefusedConcept."""
        check_seen(seen, self._wiring)
        entry = write_seen(self._generic_path(class_word), seen)
        self._good.add(entry)
        self._commit(generic={**self._index.generic, class_word: entry})

    def generic(self, class_word: str) -> Seen:
        """What `add_generic` was given."""
        return read_seen(self._generic(class_word), self._wiring)

    def generic_moment(self, input_name: str) -> Tensor:
        """What the base reads at an input on prompts without a class word, for the fit; on the CPU."""
        return unpacked(self._generic(NO_CLASS)[f"{input_name}.fit"]).cpu()

    def add(self, statistics: Statistics, weight: float = 1.0) -> None:
        """Keeps a concept; its class word must have been recorded.

        Raises InvalidInput (name taken, weight), BaseMismatch and UnfusableConcept; the ledger then
        is as it was.
        """
        name = statistics.name
        if name in self._index.concepts:
            raise InvalidInput(f"two concepts are named {name!r}: remove the other one first")
        check_weight(name, weight)
        self.check(statistics)
        missing = {NO_CLASS, statistics.class_word} - set(self._index.generic)
        assert not missing, f"record the base with class words {missing} first"
        entry = Entry(
            sha256=statistics.sha256,
            class_word=statistics.class_word,
            scale=statistics.scale,
            weight=weight,
            norms=norms_of(statistics),
            ranks={layer: len(down_RI) for layer, (down_RI, _) in statistics.adapters.items()},
            record=write_record(self._record_path(statistics.sha256), statistics),
        )
        self._good.add(entry.record)
        self._commit(concepts={**self._index.concepts, name: entry})

    def check(self, statistics: Statistics) -> None:
        """Raises BaseMismatch or UnfusableConcept, as `add` would."""
        check(statistics, self._wiring)

    def remove(self, name: str, solve: Solve) -> Receipt:
        """Takes a concept out as if it had never been there, and proves it.

        The proof sums up all that are left anew and compares what `solve` makes of both. Raises
        InvalidInput for a name that is not there.
        """
        self._check_known({name: 1.0})
        left = {other: weight for other, weight in self.weights.items() if other != name}
        difference = 0.0
        if left:
            ours = self.layers(left)
            with self._fresh(left) as fresh:
                difference = largest_difference(ours, self._layers(fresh, left), solve)
        receipt = Receipt(
            name=name,
            sha256=self._index.concepts[name].sha256,
            remaining=tuple(left),
            remaining_sha256=self._index.set_hash(left),
            largest_difference=difference,
        )
        self._drop(name, receipts=(*self._index.receipts, receipt))
        return receipt

    def forget(self, name: str) -> None:
        """Takes a concept out without a proof; sums with it are gone. Raises InvalidInput."""
        self._check_known({name: 1.0})
        self._drop(name)

    def _drop(self, name: str, **changes: object) -> None:
        self._commit(
            concepts={other: e for other, e in self._index.concepts.items() if other != name},
            sums={key: e for key, e in self._index.sums.items() if name not in e.weights},
            **changes,
        )

    def layers(self, weights: Weights | None = None) -> Iterator[Layer]:
        """Every layer of the fusion of these concepts (all, with their own weights), one at a time.

        Raises InvalidInput: an empty set, concepts that are not there, weights out of range.
        """
        chosen = dict(sorted((self.weights if weights is None else weights).items()))
        if not chosen:
            raise InvalidInput("nothing to fuse: the set of concepts is empty")
        self._check_known(chosen)
        return self._layers(self._totals(chosen), chosen)

    def _layers(self, totals: Totals, weights: Weights) -> Iterator[Layer]:
        generic = self._generic(NO_CLASS)
        classes = len(self._index.classes(weights))
        return iter(Views(self._wiring, totals, generic, classes, weights, self._record))

    def _totals(self, weights: Weights) -> Totals:
        """The sums of a set: kept ones, or made from the set that needs the fewest changes."""
        key = self._index.set_hash(weights)
        if key not in self._index.sums:
            file = self._make(self._sums_path(key), self._nearest(weights), weights)
            self._good.add(file)
            entry = SumsEntry(weights=dict(weights), file=file)
            self._commit(sums=self._with_room({**self._index.sums, key: entry}, key))
        stored = self._open_sums(key)
        return self._sums(stored, weights) if stored else self._totals(weights)

    def _nearest(self, weights: Weights) -> Totals:
        """The kept sums that differ in the fewest concepts, those of no concept among them."""
        best, distance = "", len(weights)
        for key, entry in self._index.sums.items():
            changes = len(entry.weights.items() ^ weights.items())
            if changes < distance:
                best, distance = key, changes
        if not best:
            return self._sums(None, {})
        had = self._index.sums[best].weights
        stored = self._open_sums(best)
        return self._sums(stored, had) if stored else self._nearest(weights)

    def _sums(self, stored: TensorReader | None, weights: Weights) -> Totals:
        return Totals(self._wiring, self._device, stored, weights, self._ranks(weights))

    def _ranks(self, names: Iterable[str]) -> dict[str, Ranks]:
        """Of each concept's adapters; where the ledger is an earlier one, by its record's header."""
        found: dict[str, Ranks] = {}
        for name in names:
            entry = self._index.concepts[name]
            path = self._record_path(entry.sha256)
            found[name] = entry.ranks or Record(path, entry.scale, self._device).ranks
        return found

    def _open_sums(self, key: str) -> TensorReader | None:
        """Sums as they were written; damaged ones are forgotten, for they can be made again."""
        try:
            return self._checked(self._sums_path(key), self._index.sums[key].file)
        except Damaged as error:
            log.warning("%s; it is made again from the records", error)
            self._commit(sums={k: entry for k, entry in self._index.sums.items() if k != key})
            return None

    @contextmanager
    def _fresh(self, weights: Weights) -> Iterator[Totals]:
        """The sums of a set, made from the records alone."""
        path = self._folder / "sums" / "fresh.safetensors"
        self._make(path, self._sums(None, {}), weights)
        try:
            yield self._sums(TensorReader(path, self._device), weights)
        finally:
            path.unlink()

    def _make(self, path: Path, start: Totals, wanted: Weights) -> FileEntry:
        """Writes the sums of `wanted`, given those of another set, or from the records alone."""
        forms = forms_of(self._wiring, self._ranks(wanted))
        if not start.leads_to(forms):
            return self._make(path, self._sums(None, {}), wanted)
        changes, had = [], start.weights
        for name in sorted({name for name, _ in had.items() ^ wanted.items()}):
            weight = wanted.get(name, 0.0) - had.get(name, 0.0)
            changes.append(Change(name, partial(self._record, name), weight, name in wanted))
        before, after = self._index.classes(had), self._index.classes(wanted)
        classes = [
            ClassChange(self._generic(word), 1 if word in after else -1)
            for word in sorted(before ^ after)
        ]
        return write_totals(path, self._wiring, start, changes, classes, forms)

    def _with_room(self, sums: Mapping[str, SumsEntry], newest: str) -> dict[str, SumsEntry]:
        """Without the oldest ones that are too many."""
        whole = self._index.set_hash(self.weights)
        spare = [key for key in sums if key not in (newest, whole)]
        dropped = set(spare[: max(0, len(sums) - KEPT_SUMS)])
        return {key: entry for key, entry in sums.items() if key not in dropped}

    def _record(self, name: str) -> Record:
        entry = self._index.concepts[name]
        path = self._record_path(entry.sha256)
        self._check_once(path, entry.record)
        return Record(path, entry.scale, self._device)

    def _generic(self, class_word: str) -> TensorReader:
        return self._checked(self._generic_path(class_word), self._index.generic[class_word])

    def _checked(self, path: Path, entry: FileEntry) -> TensorReader:
        self._check_once(path, entry)
        return TensorReader(path, self._device)

    def _check_once(self, path: Path, entry: FileEntry) -> None:
        """Raises Damaged; reading every byte is dear, and nobody else may write here."""
        if entry not in self._good:
            check_bytes(path, entry)
            self._good.add(entry)

    def _commit(self, **changes: object) -> None:
        """Makes the changed index the state, then deletes what it does not name."""
        for name in FOLDERS:
            sync_folder(self._folder / name)
        index = self._index.model_copy(update=changes)
        index.write(self._folder)
        self._index = index
        self._sweep()

    def _sweep(self) -> None:
        """Deletes leftovers of crashes and what is not needed any more."""
        named = set(self._files())
        for folder in FOLDERS:
            for file in (self._folder / folder).glob("*.safetensors"):
                if file not in named:
                    file.unlink()
        for file in self._folder.glob(f".{FILE_NAME}.*"):
            file.unlink()

    def _check_sizes(self) -> None:
        """Raises Damaged naming a record that is missing or cut short."""
        sums = self._folder / "sums"
        for path, entry in self._files().items():
            if path.parent != sums:
                check_size(path, str(path), entry)

    def _files(self) -> dict[Path, FileEntry]:
        index = self._index
        records = {self._record_path(e.sha256): e.record for e in index.concepts.values()}
        generic = {self._generic_path(word): entry for word, entry in index.generic.items()}
        return records | generic | {self._sums_path(k): e.file for k, e in index.sums.items()}

    def _record_path(self, sha256: str) -> Path:
        return self._folder / "records" / f"{sha256}.safetensors"

    def _generic_path(self, class_word: str) -> Path:
        return self._folder / "generic" / f"{class_word or '_'}.safetensors"

    def _sums_path(self, key: str) -> Path:
        return self._folder / "sums" / f"{key}.safetensors"

    def _check_known(self, weights: Weights) -> None:
        for name, weight in weights.items():
            if name not in self._index.concepts:
                known = ", ".join(self.weights) or "nothing"
                raise InvalidInput(f"concept {name!r} is not in the ledger, which has {known}")
            check_weight(name, weight)


def check_weight(name: str, weight: float) -> None:
    """Raises InvalidInput for a weight that no fusion can use."""
    if not 0 < weight < 1000:
        raise InvalidInput(f"weight {weight} for {name!r}: must be between 0 and 1000")


def _refuse_strangers(folder: Path) -> None:
    """Nothing of somebody else's is ever taken for a leftover of ours."""
    for found in folder.iterdir():
        if not found.name.startswith(("ledger.", f".{FILE_NAME}.")):
            raise InvalidInput(f"{folder} is no ledger and not empty: it holds {found.name!r}")
