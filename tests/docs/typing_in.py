"""A page's blocks, typed as they stand there, one after the other, but for the table below."""

import json
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fedshow_server.settings import load_settings
from tests.docs.blocks import ROOT, Block, blocks_of
from tests.docs.machines import SECONDS, Ended, Machine, shows, shows_in_any_order

STAYING = {
    "fedshow server run": "ready at",
    "fedshow client run": "… serving …",
}
"""Programs that go on until Ctrl-C, and what they print when they are up."""

WRITTEN_AND_TYPED = {
    # seconds instead of minutes
    "fedshow tune ": "fedshow tune --steps 2 --no-samples --no-leakage ",
    "fedshow client add ": "fedshow client add --steps 10 ",
    "fedshow fuse ": "fedshow fuse --method average ",
    "fedshow server run ": "fedshow server run --sample-steps 0 ",
    "fedshow evaluate ": "fedshow evaluate --steps 1 --per-prompt 1 --drift 0 ",
    # a stranger's base is toyworld here, which knows neither cats nor dogs
    "--class cat": "--class kitten",
    'class_word="cat"': 'class_word="kitten"',
    # pictures of the small base's own size
    "width=1024, height=512": "width=64, height=32, steps=2",
    "fedshow sample ": "fedshow sample --steps 4 ",
    "--device cuda": "--device cpu",
    # nothing is built or measured: that the targets are there is seen
    "make ": f"make --dry-run --directory={ROOT} ",
    ".venv/bin/python -m pytest ": f"cd {ROOT}; python -m pytest --collect-only --quiet ",
}
"""What a page says, and what the tests type instead."""

AGAIN_SECONDS = 5
CODE = re.compile(r"fedshow-join:\S+")


class Reader:
    """Somebody who types what a page says, on every machine that it names."""

    def __init__(
        self, machines: Mapping[str, Machine], typed: Mapping[str, str], code: str = ""
    ) -> None:
        self._machines, self._typed = machines, typed
        self._code = code

    def read(self, page: str) -> None:
        """Runs the blocks of a page; raises AssertionError for the first that does not do what it says."""
        try:
            for block in blocks_of(page):
                if block.runs:
                    self._check(block, self._do(block))
        finally:
            for machine in self._machines.values():
                machine.end()

    def _do(self, block: Block) -> Ended:
        machine = self._machines[block.machine]
        match block.language:
            case "sh":
                return self._type(block, machine)
            case "python":
                return self._run(block, machine)
            case "toml":
                return _settle(block, self._replace(block.text), machine)
            case "json":
                json.loads(block.text)
                return Ended(0, "")
            case other:
                raise AssertionError(f"{block}: nobody knows how to run {other}")

    def _type(self, block: Block, machine: Machine) -> Ended:
        text = self._replace(block.text)
        for program, ready in STAYING.items():
            if text.startswith(program):
                return machine.leave_running(text, self._shown(block).strip("\n") or ready)
        ended = machine.type(text)
        until = time.monotonic() + SECONDS
        while block.until and not shows(self._shown(block), ended.printed):
            assert time.monotonic() < until, _report(block, ended)
            time.sleep(AGAIN_SECONDS)
            ended = machine.type(text)
        if found := CODE.search(ended.printed):
            self._code = found[0]
        return ended

    def _shown(self, block: Block) -> str:
        return _replaced(block.output, self._typed)

    def _replace(self, text: str) -> str:
        text = _replaced(text, {**self._typed, **WRITTEN_AND_TYPED})
        return text.replace("fedshow-join:…", self._code)

    def _run(self, block: Block, machine: Machine) -> Ended:
        script = machine.home / (block.file or "block.py")
        script.write_text(self._replace(block.text))
        return machine.type(f"python {script.name}")

    def _check(self, block: Block, ended: Ended) -> None:
        assert ended.code == 0, _report(block, ended)
        if not block.text.startswith(tuple(STAYING)) and block.output:
            as_shown = shows_in_any_order if block.unordered else shows
            assert as_shown(self._shown(block), ended.printed), _report(block, ended)


def _replaced(text: str, table: Mapping[str, str]) -> str:
    for written, typed in table.items():
        text = text.replace(written, typed)
    return text


def _settle(block: Block, text: str, machine: Machine) -> Ended:
    """Puts a settings file in its place and has it read."""
    file = Path(block.file.replace("~", str(machine.home)))
    file = machine.home / file
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    if file.name == "server.toml":
        load_settings(file, data=machine.home)
        return Ended(0, "")
    assert file.name == "client.toml", f"{block}: whose settings are these?"
    return machine.type(f"FEDSHOW_HOME={file.parent} fedshow client status")


def _report(block: Block, ended: Ended) -> Any:
    shown = f"\nIt should print:\n{block.output}" if block.output else ""
    return f"{block}:\n{block.text}ended with {ended.code} and printed:\n{ended.printed}{shown}"
