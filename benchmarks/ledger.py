"""Results of long studies, one JSON line each: what is there is never done again."""

import json
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

Key = Mapping[str, Any]


class Ledger:
    """A file of lines `{"key": …, "result": …}`, only ever appended to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._found = {_text(entry["key"]): entry["result"] for entry in self._lines()}

    def _lines(self) -> Iterator[dict[str, Any]]:
        """Whole lines; what a killed process left half-written is done again."""
        if not self.path.is_file():
            return
        for line in self.path.read_text().splitlines():
            try:
                yield json.loads(line)
            except json.JSONDecodeError:
                continue

    def get(self, key: Key) -> dict[str, Any] | None:
        """The result under this key, if there is one."""
        return self._found.get(_text(key))

    def add(self, key: Key, result: dict[str, Any]) -> None:
        """Keeps a result for good."""
        with self.path.open("a") as file:
            file.write("\n" * self._torn() + json.dumps({"key": key, "result": result}) + "\n")
        self._found[_text(key)] = result

    def forget(self, key: Key) -> None:
        """From now on there is no such result, until another is added: what it tells of is gone."""
        self._found.pop(_text(key), None)

    def _torn(self) -> bool:
        content = self.path.read_bytes() if self.path.is_file() else b""
        return bool(content) and not content.endswith(b"\n")


def _text(key: Key) -> str:
    return json.dumps(key, sort_keys=True)


def work_off(
    ledger: Ledger,
    tasks: Iterable[tuple[Key, Callable[..., dict[str, Any]], tuple[Any, ...]]],
    workers: int,
    start: Callable[[], None],
) -> None:
    """Runs every task `(key, function, arguments)` that the ledger lacks, in `workers` processes; 0: here."""
    missing = [task for task in tasks if ledger.get(task[0]) is None]
    if not workers:
        for done, (key, function, arguments) in enumerate(missing, start=1):
            ledger.add(key, function(*arguments))
            _tell(done, missing, key)
        return
    if not missing:
        return
    with processes(workers, start) as pool:
        running = {pool.submit(task[1], *task[2]): task[0] for task in missing}
        for done, future in enumerate(as_completed(running), start=1):
            ledger.add(running[future], future.result())
            _tell(done, missing, running[future])


def processes(workers: int, start: Callable[[], None]) -> ProcessPoolExecutor:
    """Fresh ones, which begin with `start` and end with this process, even when it is killed."""
    return ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _start, (start,))


def _start(start: Callable[[], None]) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    start()


def _end_with_parent() -> None:
    """A killed parent cannot stop its workers, whose tasks take minutes."""
    if parent := multiprocessing.parent_process():
        parent.join()
        os._exit(1)


def _tell(done: int, tasks: Sequence[Any], key: Key) -> None:
    said = [str(value) for value in key.values() if not isinstance(value, dict | list)]
    print(f"{done}/{len(tasks)} {' '.join(said)}", flush=True)
