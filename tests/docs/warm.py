"""`fedshow` and `python` with torch imported already: every call is a fork of one process that waits.

Importing takes longer than what most blocks do then. Commands without torch, and whatever reads the hub's
variables when it is imported, are the programs themselves.
"""

import json
import os
import runpy
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fedshow.cli import main as fedshow
from fedshow.families import open_base
from tests.docs.blocks import ROOT
from tests.stage.waiting import eventually

HEAVY = ("check", "evaluate", "export", "fuse", "import", "sample", "tune")
"""Commands that load torch."""
MODULES = (
    "fedshow.evaluation.run",
    "fedshow.formats.exporting",
    "fedshow.formats.importing",
    "fedshow.sampling.loading",
    "fedshow_client.tuning.tune",
    "fedshow_server.fusion.rules",
)
CALLER = """#!{python} -SE
import json, os, socket, sys

name, arguments = os.path.basename(sys.argv[0]), sys.argv[1:]
first = arguments[0] if arguments else "-"
light = first not in {heavy} if name == "fedshow" else first.startswith("-")
if light or "HF_ENDPOINT" in os.environ:
    program = {programs!r} + "/" + name
    os.execv(program, [program, *arguments])
asked = json.dumps([[name, *arguments], os.getcwd(), dict(os.environ)]).encode()
with socket.socket(socket.AF_UNIX) as line:
    line.connect({address!r})
    socket.send_fds(line, [asked + b"\\0"], [0, 1, 2])
    sys.exit(int(line.recv(16) or b"1"))
"""
"""What stands for a program: hands its arguments, folder, variables and streams over."""


@contextmanager
def warm_programs(folder: Path) -> Iterator[Path]:
    """A folder of programs, to stand first in PATH."""
    address = folder / "line"
    for name in ("fedshow", "python"):
        text = CALLER.format(
            python=sys.executable,
            heavy=HEAVY,
            programs=str(Path(sys.executable).parent),
            address=str(address),
        )
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    command = (sys.executable, "-u", "-m", "tests.docs.warm", str(address))
    waiting = subprocess.Popen(command, cwd=ROOT)
    try:
        eventually(lambda: address.exists() or waiting.poll() is not None)
        yield folder
    finally:
        waiting.kill()
        waiting.wait()


def serve(address: str) -> None:
    """Forks for every call, for ever."""
    for module in MODULES:
        __import__(module)
    import torch

    torch.set_num_threads(1)
    open_base("toyworld")  # imports what diffusers and transformers import late
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(address)
        door.listen()
        while True:
            line, _ = door.accept()
            if not os.fork():
                door.close()
                _answer(line)
            line.close()


def _answer(line: socket.socket) -> None:
    """Runs what was asked for, tells its exit code, and ends this process."""
    asked, streams, _, _ = socket.recv_fds(line, 1 << 20, 3)
    while not asked.endswith(b"\0"):
        asked += line.recv(1 << 20)
    words, folder, variables = json.loads(asked[:-1])
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(variables)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    code = _run(words)
    sys.stdout.flush()
    line.sendall(str(code).encode())
    os._exit(0)


def _run(words: list[str]) -> int:
    try:
        if words[0] == "fedshow":
            sys.argv = words
            fedshow()
        else:
            sys.argv = words[1:]
            sys.path.insert(0, str(Path(words[1]).parent.absolute()))
            runpy.run_path(words[1], run_name="__main__")
    except SystemExit as ended:
        return _code(ended.code)
    except BaseException:
        sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
        return 1
    return 0


def _code(said: Any) -> int:
    return said if isinstance(said, int) else int(said is not None)


if __name__ == "__main__":
    serve(sys.argv[1])
