"""Child processes that cannot outlive their parent, however it dies."""

import asyncio
import logging
import sys
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from collections.abc import Mapping
from contextlib import suppress
from logging.handlers import RotatingFileHandler
from pathlib import Path

from fedshow.children import end_with_parent, environment

LOG_BYTES = 10 << 20
LINE_BYTES = 1 << 20
GRACE_SECONDS = 8.0


class Child:
    """A running Python module of ours; its output goes to a rotating log."""

    def __init__(self, process: Process, log_path: Path) -> None:
        self._process = process
        self._pump = asyncio.create_task(_pump(process, log_path))

    @classmethod
    async def start(
        cls, module: str, *arguments: str, log_path: Path, extra: Mapping[str, str] | None = None
    ) -> "Child":
        """Starts `python -m module`, which calls `die_with_parent` first thing."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", module, *arguments),
            stdin=PIPE,  # its end is our sign of life
            stdout=PIPE,
            stderr=STDOUT,
            limit=LINE_BYTES,
            env=environment(extra or {}),
            start_new_session=True,  # Ctrl-C is for us to handle
        )
        return cls(process, log_path)

    @property
    def running(self) -> bool:
        """Whether the process still exists."""
        return self._process.returncode is None

    async def wait(self) -> int:
        """Its exit status, once its last line is in the log."""
        status = await self._process.wait()
        with suppress(asyncio.TimeoutError):  # its own children may keep the pipe open
            await asyncio.wait_for(asyncio.shield(self._pump), 2)
        return status

    async def stop(self) -> None:
        """Asks it to end, then ends it."""
        with suppress(ProcessLookupError):
            if self.running:
                self._process.terminate()
        try:
            await asyncio.wait_for(self._process.wait(), GRACE_SECONDS)
        except TimeoutError:
            with suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
        self._pump.cancel()


async def run_to_end(module: str, *arguments: str, log_path: Path) -> int:
    """Exit status of a module of ours. Cancelled, it is stopped to the end, even if cancelled once more."""
    child = await Child.start(module, *arguments, log_path=log_path)
    try:
        return await child.wait()
    finally:
        await asyncio.shield(child.stop())


async def _pump(process: Process, log_path: Path) -> None:
    """Copies the output, line by line, to a log that stays small for months."""
    handler = RotatingFileHandler(log_path, maxBytes=LOG_BYTES, backupCount=2)
    assert process.stdout is not None
    try:
        while line := await _line(process.stdout):
            text = line.decode(errors="replace").rstrip("\n")
            handler.emit(logging.LogRecord("child", logging.INFO, "", 0, text, None, None))
    finally:
        handler.close()


async def _line(stream: asyncio.StreamReader) -> bytes:
    try:
        return await stream.readline()
    except ValueError:  # longer than the limit
        return b"(a line too long to keep)\n"


async def run_program(
    *command: str, extra: Mapping[str, str], timeout_seconds: float
) -> tuple[int, str]:
    """Exit status and standard output of a short program; killed when it takes too long."""
    process = await asyncio.create_subprocess_exec(
        *command, stdin=DEVNULL, stdout=PIPE, stderr=DEVNULL, env=environment(extra)
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(), timeout_seconds)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return process.returncode, output.decode(errors="replace")


def die_with_parent() -> None:
    """In a child: ends this process soon after the parent is gone (our standard input ends)."""
    end_with_parent(0, GRACE_SECONDS)
