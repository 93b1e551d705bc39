"""A study: questions about one material, each answered once and kept; a page when all are."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.study.bench import Bench, start_worker
from benchmarks.study.questions import fusion

Found = dict[str, Any]
JUDGES = "eye"
"""The file in which it says how good those are who judge."""


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
        start_worker()
        self.bench.work.mkdir(parents=True, exist_ok=True)
        self._keep(JUDGES, self.prepare(self.bench))
        for name in names or self.questions:
            self._keep(name, self.questions[name](self.bench))

    def _keep(self, name: str, found: Found) -> None:
        self._file(name).write_text(json.dumps(found, indent=1))

    def _file(self, name: str) -> Path:
        return self.bench.work / f"{name}.json"

    def figures(self) -> Found:
        """What was found so far, by question, and what the bars are about."""
        names = [name for name in (JUDGES, *self.questions) if self._file(name).is_file()]
        found = {name: json.loads(self._file(name).read_text()) for name in names}
        main_figures = fusion.figures(found["fusion"]) if "fusion" in found else {}
        return main_figures | {"questions": len(found) - (JUDGES in found)} | found

    def is_whole(self, figures: Mapping[str, Any]) -> bool:
        """Whether all questions are answered."""
        return bool(figures["questions"] == len(self.questions))
