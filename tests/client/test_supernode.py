"""A node runs the installed bundle only; tried with Flower's real programs."""

import io
import json
import os
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from fedshow.children import QUIET
from fedshow_client.supernode import PIECE_BYTES, contents, installed_bundle
from tests.stage.waiting import PATIENCE_SECONDS, free_port

PROJECT = """
[project]
name = "foreign"
version = "1.0.0"
description = "not ours"
license = "Apache-2.0"
dependencies = []
[tool.flwr.app]
publisher = "stranger"
[tool.flwr.app.components]
serverapp = "foreign.server_app:app"
clientapp = "foreign.client_app:app"
[tool.flwr.app.config]
"""

SERVER_APP = """
import json, os, time
from pathlib import Path
from flwr.app import ConfigRecord, Message, RecordDict
from flwr.serverapp import ServerApp

app = ServerApp()

@app.main()
def main(grid, context):
    while len(nodes := list(grid.get_node_ids())) < 2:
        time.sleep(0.5)
    content = RecordDict({"request": ConfigRecord({"sha256": "0" * 64})})
    asked = [Message(content, node, "query.handover", ttl=240.0) for node in nodes]
    replies = list(grid.send_and_receive(asked, timeout=240))
    codes = [reply.error.code if reply.has_error() else 0 for reply in replies]
    Path(os.environ["FOREIGN_RESULT"]).write_text(json.dumps(sorted(codes)))
"""

CLIENT_APP = """
import os
from pathlib import Path
from flwr.app import Message, RecordDict
from flwr.clientapp import ClientApp

app = ClientApp()
Path(os.environ["FOREIGN_MARK"]).write_text("ran")

@app.query("handover")
def hand_over(message, context):
    return Message(RecordDict(), reply_to=message)
"""

pytestmark = pytest.mark.filterwarnings("ignore:GitWildMatchPattern")  # in Flower's builder

NODE = "from fedshow_client import supernode; supernode.main()"
CARELESS_NODE = (
    "import os; from pathlib import Path; from flwr.cli.build import build_fab_from_disk\n"
    "from fedshow_client import supernode\n"
    "foreign = build_fab_from_disk(Path(os.environ['FOREIGN_APP']))\n"
    "supernode.installed_bundle = lambda: supernode.contents(foreign)\n"
    "supernode.main()"
)
INVALID_BUNDLE = 7
"""Flower's code for a bundle that was refused."""


class Programs:
    """Flower's programs, started and ended together."""

    def __init__(self, folder: Path, app: Path) -> None:
        self.folder = folder
        self.processes: list[subprocess.Popen[bytes]] = []
        self.env = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "FLWR_HOME": str(folder / "flwr"),
            **QUIET,
            "FOREIGN_APP": str(app),
            "FOREIGN_RESULT": str(folder / "result.json"),
        }

    def start(self, name: str, *command: str, **env: str) -> Path:
        """Starts a program and gives its log."""
        log = self.folder / f"{name}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                command, stdout=output, stderr=subprocess.STDOUT, env={**self.env, **env}
            )
        self.processes.append(process)
        return log

    def end(self) -> None:
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@pytest.fixture
def foreign_app(tmp_path: Path) -> Path:
    folder = tmp_path / "app"
    package = folder / "foreign"
    package.mkdir(parents=True)
    (folder / "pyproject.toml").write_text(PROJECT)
    (package / "__init__.py").write_text("")
    (package / "server_app.py").write_text(SERVER_APP)
    (package / "client_app.py").write_text(CLIENT_APP)
    return folder


@pytest.fixture
def programs(tmp_path: Path, foreign_app: Path) -> Iterator[Programs]:
    running = Programs(tmp_path, foreign_app)
    yield running
    running.end()


def node_command(script: str, superlink: str) -> list[str]:
    port = str(free_port())
    arguments = ["--insecure", "--superlink", superlink, "--host", "127.0.0.1", "--port", port]
    return [sys.executable, "-c", script, *arguments]


def wait_for(path: Path, programs: Programs, seconds: float = PATIENCE_SECONDS) -> str:
    deadline = time.monotonic() + seconds
    while not (path.exists() and path.read_text()):
        logs = "\n".join(log.read_text() for log in programs.folder.glob("*.log"))
        assert time.monotonic() < deadline, logs
        time.sleep(0.2)
    return path.read_text()


def test_a_foreign_bundle_is_refused(programs: Programs, tmp_path: Path, foreign_app: Path) -> None:
    superlink = f"127.0.0.1:{free_port()}"
    host, _, port = superlink.partition(":")
    arguments = ["--insecure", "--host", host, "--port", port]
    programs.start(
        "superlink", "flower-superlink", *arguments, "--disable-runtime-dependency-installation"
    )
    pulse = tmp_path / "pulse"
    strict, careless = tmp_path / "strict-ran", tmp_path / "careless-ran"
    log = programs.start(
        "strict",
        *node_command(NODE, superlink),
        FOREIGN_MARK=str(strict),
        FEDSHOW_NODE_PULSE=str(pulse),
    )
    programs.start("careless", *node_command(CARELESS_NODE, superlink), FOREIGN_MARK=str(careless))
    wait_for(pulse, programs)  # both programs are up when the node has had its first answer
    config = tmp_path / "flwr" / "config.toml"
    config.parent.mkdir(exist_ok=True)
    config.write_text(
        f'[superlink]\ndefault = "here"\n[superlink.here]\naddress = "{superlink}"\n'
        "insecure = true\n"
    )
    submitted = subprocess.run(
        ["flwr", "run", str(foreign_app), "here", "--format", "json"],
        env=programs.env,
        capture_output=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert submitted.returncode == 0, submitted.stdout + submitted.stderr
    codes = json.loads(wait_for(tmp_path / "result.json", programs))
    assert codes == [0, INVALID_BUNDLE]
    assert careless.exists()  # the bundle does run where it is not refused
    assert not strict.exists()
    assert "REFUSED" in log.read_text()


def packed(files: list[tuple[str, bytes]], level: int = 9) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=level) as archive:
        for name, content in files:
            archive.writestr(name, content)
    return target.getvalue()


def test_the_installed_bundle_is_known_by_its_files() -> None:
    ours = installed_bundle()
    assert "fedshow_bundle/client_app.py" in ours
    assert contents(packed(list(ours.items()), level=1)) == ours


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_tricks_with_archives_are_refused() -> None:
    ours = list(installed_bundle().items())
    for trick in (b"", b"PK", packed(ours)[:-40], packed([*ours, ours[0]])):
        with pytest.raises(ValueError, match=r"."):
            contents(trick)
    with pytest.raises(ValueError, match="larger than any bundle"):
        contents(packed([("bomb", bytes(2 << 20))]))


def test_pieces_that_go_up_are_signs_of_life(tmp_path):
    """Flower asks for nothing while it uploads."""
    from contextlib import contextmanager
    from inspect import getsource
    from types import SimpleNamespace

    from flwr.supernode import start_client_internal as internal

    from fedshow_client.supernode import PUSH_OBJECT, _feel_pulse

    names = getsource(internal).partition("            node_id,\n")[2].partition(") = conn")[0]
    assert ["node_id", *names.replace(",", "").split()][PUSH_OBJECT] == "push_object"

    @contextmanager
    def connect():
        yield (1, lambda: "question", "send", "run", "fab", "pull", len, "confirm")

    flower, pulse = SimpleNamespace(http_request_response=connect), tmp_path / "pulse"
    _feel_pulse(flower, pulse)
    with flower.http_request_response() as (_, receive, *_others, push, confirm):
        for call, answer in ((receive, "question"), (lambda: push("piece"), 5)):
            pulse.unlink(missing_ok=True)
            assert (call(), confirm) == (answer, "confirm")
            assert pulse.exists()


def test_flower_cuts_what_goes_up_into_pieces_that_small_uplinks_carry() -> None:
    """It reads that once, when it is loaded."""
    script = (
        "from fedshow_client import supernode\n"
        "supernode._pin = lambda *_: exit(_told())\n"
        "def _told():\n"
        "    from flwr.app.message import array\n"
        "    print(array.FLWR_PRIVATE_MAX_ARRAY_CHUNK_SIZE)\n"
        "supernode.main()"
    )
    told = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert int(told.stdout) == PIECE_BYTES
