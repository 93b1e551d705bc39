"""A study: questions about one material, each answered once and kept; a page when all are."""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.study.bench import Bench, named, start_worker
from benchmarks.study.questions import fusion
from fedshow.files import write_atomically

Found = dict[str, Any]
JUDGES, SECONDS = "eye", "seconds"
"""Files in which it says how good those are who judge, and how long what took."""

PAGE = "page"
"""What writing it is called there."""


@dataclass(frozen=True)
class Study:
    """Where it works, how its judges are made, what it asks, who writes its page."""

    bench: Bench
    prepare: Callable[[Bench], Found]
    """Makes pictures and judges ready; returns how good those are."""

    questions: Mapping[str, Callable[[Bench], Found]]
    """By name, the most wanted first."""

    write_page: Callable[[Bench, Mapping[str, Any]], Path]

    def answer(self, names: Sequence[str] = ()) -> None:
        """Measures what is not there yet, of these questions or of all, each into its file."""
        if self.bench.device == "cpu":
            start_worker()
        self.bench.work.mkdir(parents=True, exist_ok=True)
        with self._timed(JUDGES):
            self._keep(JUDGES, self.prepare(self.bench))
        for name in names or self.questions:
            with self._timed(name):
                self._keep(name, self.questions[name](self.bench))

    @contextmanager
    def _timed(self, name: str) -> Iterator[None]:
        """Adds to the seconds that a question took, in this sitting and all before."""
        started = time.perf_counter()
        try:
            yield
        finally:
            spent = self._read(SECONDS)
            seconds = spent.get(name, 0.0) + time.perf_counter() - started
            self._keep(SECONDS, spent | {name: seconds})

    def _keep(self, name: str, found: Found) -> None:
        said = json.dumps({"of": self._of, "found": found}, indent=1)
        write_atomically(self._file(name), said.encode())

    @property
    def _of(self) -> str:
        """Changes with concepts, pictures, base, judges and amount: other answers are answers to others."""
        bench = self.bench
        return named([bench.device, bench.extent, bench.material.facts(bench.extent.names)])

    def _file(self, name: str) -> Path:
        return self.bench.work / f"{name}.json"

    def figures(self) -> Found:
        """What was found so far, by question, and what the bars are about."""
        found = {name: known for name in (JUDGES, *self.questions) if (known := self._read(name))}
        main_figures = fusion.figures(found["fusion"]) if "fusion" in found else {}
        spent = self._read(SECONDS)
        return {
            **main_figures,
            "questions": len(found) - (JUDGES in found),
            "seconds": sum(spent.values()),
            "seconds_of": spent,
            **found,
        }

    def _read(self, name: str) -> Found:
        path = self._file(name)
        kept: Found = json.loads(path.read_text()) if path.is_file() else {}
        found: Found = kept["found"] if kept.get("of") == self._of else {}
        return found

    def is_whole(self) -> bool:
        """Whether all questions are answered."""
        return all(self._read(name) for name in self.questions)

    def page(self) -> Path:
        """The page, written."""
        with self._timed(PAGE):
            return self.write_page(self.bench, self.figures())
