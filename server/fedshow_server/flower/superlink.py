"""Flower's SuperLink on loopback: started, judged by what it does, restarted with back-off."""

import asyncio
import json
import logging
import ssl
import sys
import time
from contextlib import suppress
from pathlib import Path
from secrets import token_hex
from typing import Any

import httpx

from fedshow.errors import Unreachable
from fedshow.ports import free_port
from fedshow_server.children import Child, run_program
from fedshow_server.folder import DATA_VARIABLE, DataFolder
from fedshow_server.layout import Certificates

log = logging.getLogger(__name__)

CONNECTION = "fedshow"
HOST = "127.0.0.1"
POLL_SECONDS = 2.0
START_SECONDS = 180.0
FAILURES_ALLOWED = 5
"""Health checks in a row."""
LONGEST_PAUSE_SECONDS = 60.0
STEADY_SECONDS = 120.0
"""After this long in good health the next fault counts as the first."""
COMMAND_SECONDS = 120.0
GONE = ("unregistered", "deleted")
"""Flower's words for nodes that it lists, but lets in no more."""


class SuperLink:
    """The supervised SuperLink, and Flower's command line spoken to it."""

    def __init__(self, folder: DataFolder, certificates: Certificates) -> None:
        self._folder = folder
        self._certificates = certificates
        self._home = folder.flower / "home"
        self._child: Child | None = None
        self._port = 0
        self._due = asyncio.Event()
        self.healthy = asyncio.Event()
        self.generation = 0
        """Goes up with every start: runs of an earlier one are lost."""

    @property
    def address(self) -> str:
        """HOST:PORT on loopback."""
        return f"{HOST}:{self._port}"

    def restart_because(self, reason: str) -> None:
        """Asks for a restart: it answers, but does not do its work."""
        log.warning("SuperLink is restarted: %s", reason)
        self._due.set()

    async def supervise(self) -> None:
        """Keeps one running until cancelled."""
        faults = 0
        try:
            while True:
                started = time.monotonic()
                await self._start()
                await self._watch()
                await self._stop()
                faults = 1 if time.monotonic() - started > STEADY_SECONDS else faults + 1
                await asyncio.sleep(min(2.0 ** (faults - 1), LONGEST_PAUSE_SECONDS))
        finally:
            await asyncio.shield(self._stop())

    async def _start(self) -> None:
        self._port = free_port()
        self.generation += 1
        self._due.clear()
        self._write_connection()
        self._child = await Child.start(
            "fedshow_server.flower.superlink_process",
            *self._arguments(),
            log_path=self._folder.logs / "superlink.log",
            extra={"FLWR_HOME": str(self._home), DATA_VARIABLE: str(self._folder.path)},
        )

    async def _stop(self) -> None:
        self.healthy.clear()
        if self._child is not None:
            await self._child.stop()
            self._child = None

    async def _watch(self) -> None:
        """Returns when it is gone, does not answer, or a restart was asked for."""
        assert self._child is not None
        failures, deadline = 0, time.monotonic() + START_SECONDS
        async with self.caller() as client:
            while self._child.running and not self._due.is_set():
                if await self._answers(client):
                    failures = 0
                    self.healthy.set()
                elif self.healthy.is_set():
                    failures += 1
                if failures > FAILURES_ALLOWED or not self._in_time(deadline):
                    log.warning("SuperLink does not answer")
                    return
                pause = POLL_SECONDS if self.healthy.is_set() else 0.3
                with suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self._due.wait(), pause)
        if not self._child.running:
            log.warning("SuperLink ended by itself; see logs/superlink.log")

    def _in_time(self, deadline: float) -> bool:
        return self.healthy.is_set() or time.monotonic() < deadline

    async def _answers(self, client: httpx.AsyncClient) -> bool:
        try:
            return (await client.get(f"https://{self.address}/health")).status_code == 200
        except httpx.HTTPError:
            return False

    def caller(self) -> httpx.AsyncClient:
        """For short calls to it, whatever proxy the environment names."""
        return httpx.AsyncClient(verify=self.trust(), timeout=10, trust_env=False)

    def trust(self) -> ssl.SSLContext:
        """For our own calls to it."""
        return ssl.create_default_context(cafile=str(self._certificates.ca))

    def _arguments(self) -> list[str]:
        return [
            *("--host", HOST, "--port", str(self._port)),
            *("--ssl-ca-certfile", str(self._certificates.ca)),
            *("--ssl-certfile", str(self._certificates.certificate)),
            *("--ssl-keyfile", str(self._certificates.key)),
            *("--database", str(self._folder.superlink_database)),
            "--enable-supernode-auth",
            "--disable-runtime-dependency-installation",
        ]

    def _write_connection(self) -> None:
        """Where `flwr` finds this SuperLink."""
        self._home.mkdir(parents=True, exist_ok=True)
        text = (
            f'[superlink]\ndefault = "{CONNECTION}"\n\n[superlink.{CONNECTION}]\n'
            f"address = {json.dumps(self.address)}\n"
            f"root-certificates = {json.dumps(str(self._certificates.ca))}\n"
        )
        (self._home / "config.toml").write_text(text)

    async def register(self, public_key: str) -> int:
        """Flower's number for a node's new key, one OpenSSH line. Raises Unreachable."""
        file = self._folder.flower / f"{token_hex(8)}.pub"
        file.write_text(public_key)
        try:
            answer = await self._flwr("supernode", "register", str(file), CONNECTION)
        finally:
            file.unlink(missing_ok=True)
        return int(answer["node-id"])

    async def nodes(self) -> set[int]:
        """Flower's numbers of the nodes that it lets in. Raises Unreachable."""
        answer = await self._flwr("supernode", "ls", CONNECTION)
        return {int(node["node-id"]) for node in answer["nodes"] if node["status"] not in GONE}

    async def unregister(self, node: int) -> None:
        """Cuts the node with this number off. Raises Unreachable."""
        await self._flwr("supernode", "unregister", str(node), CONNECTION)

    async def start_run(self, bundle: Path) -> int:
        """Starts a run of the bundle and returns its number. Raises Unreachable."""
        answer = await self._flwr("run", str(bundle), CONNECTION)
        return int(answer["run-id"])

    async def _flwr(self, *arguments: str) -> dict[str, Any]:
        """Flower's command line, its answer as JSON."""
        await self.healthy.wait()
        program = str(Path(sys.executable).parent / "flwr")
        try:
            status, output = await run_program(
                *(program, *arguments, "--format", "json"),
                extra={"FLWR_HOME": str(self._home)},
                timeout_seconds=COMMAND_SECONDS,
            )
        except TimeoutError:
            raise Unreachable(
                f"flwr {arguments[0]}: no answer in {COMMAND_SECONDS:.0f} s"
            ) from None
        answer = _last_object(output)
        if status != 0 or answer.get("success") is not True:
            raise Unreachable(f"flwr {' '.join(arguments[:2])} failed: {output.strip()[-500:]}")
        return answer


def _last_object(output: str) -> dict[str, Any]:
    """The JSON object in what `flwr` printed; empty when there is none."""
    try:
        found = json.loads(output[output.index("{") : output.rindex("}") + 1])
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
