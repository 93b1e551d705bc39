"""Children of the server: when nobody waits for one any more, it ends."""

import asyncio
from pathlib import Path

import psutil
import pytest

from fedshow_server import children

STUBBORN = """
import os, pathlib, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
pathlib.Path(sys.argv[1] + ".new").write_text(str(os.getpid()))
os.rename(sys.argv[1] + ".new", sys.argv[1])
time.sleep(90)
"""


def test_a_child_ends_though_its_stopping_is_cancelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when a server that is told to end while it starts is told so again."""
    (tmp_path / "stubborn.py").write_text(STUBBORN)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(children, "GRACE_SECONDS", 0.5)
    told = tmp_path / "pid"

    async def until_gone() -> None:
        log = tmp_path / "stubborn.log"
        work = asyncio.create_task(children.run_to_end("stubborn", str(told), log_path=log))
        while not told.exists():
            await asyncio.sleep(0.05)
        work.cancel()
        await asyncio.sleep(0.1)
        assert not work.done(), "it waits for the end of the child"
        work.cancel()
        await asyncio.wait([work])
        process = int(told.read_text())
        async with asyncio.timeout(60):
            while psutil.pid_exists(process):
                await asyncio.sleep(0.05)

    asyncio.run(until_gone())
