"""Fusion on a real Ray cluster of two workers: the same updates, the same errors."""

import dataclasses
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import torch
from safetensors.torch import save

from fedshow.errors import BaseMismatch, FedshowError, InvalidInput, Unreachable
from fedshow.families import Base
from fedshow.sampling.model import Model
from fedshow_server import ray_cluster
from fedshow_server.fusion.fuse import Fused, fuse
from fedshow_server.ray_cluster import connected
from fedshow_server.fusion.recording import Plan
from fedshow_server.fusion.workers import Workers, workers_at
from fedshow_server.unfusable import UnfusableConcept
from tests.conftest import BASE, Call, MakeConcept

HOST = "127.0.0.2" if sys.platform == "linux" else "127.0.0.1"
"""Ray takes 127.0.0.1 for another address of this machine."""

QUICK = Plan(fit_seeds=(0,), heldout_seeds=(1,), steps=2)


@dataclasses.dataclass
class Cluster:
    """One machine with two cores, as Ray sees it."""

    address: str
    process: psutil.Process

    def recorders(self) -> list[psutil.Process]:
        """Worker processes that record now."""
        return [p for p in self.process.children(recursive=True) if "Recorder" in _title(p)]


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""


@pytest.fixture(scope="module")
def cluster(tools) -> Iterator[Cluster]:
    folder = tempfile.mkdtemp(prefix="ray")  # pytest's are too long for Ray's sockets
    port = tools.free_port()
    command = [
        *(sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block"),
        *("--node-ip-address", HOST, "--port", str(port), "--temp-dir", folder),
        *("--num-cpus", "2", "--num-gpus", "0", "--object-store-memory", str(200 << 20)),
        *("--ray-client-server-port", str(tools.free_port()), "--include-dashboard", "false"),
    ]
    environment = os.environ | ray_cluster.QUIET
    started = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment,
        start_new_session=True,
    )
    try:
        tools.eventually(lambda: list(Path(folder).glob("*/sockets/raylet")), 60)
        yield Cluster(f"{HOST}:{port}", psutil.Process(started.pid))
    finally:
        children = psutil.Process(started.pid).children(recursive=True)
        started.send_signal(signal.SIGTERM)
        psutil.wait_procs(children, timeout=30)
        for process in children:
            if process.is_running():
                process.kill()
        started.wait()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def workers(cluster: Cluster, base: Base, said: list[str]) -> Iterator[Workers]:
    with workers_at(cluster.address, BASE, base, said.append) as found:
        yield found


@pytest.fixture(scope="module")
def expected(opened_base: Base, make_concept: MakeConcept) -> Fused:
    """Fused in this process."""
    return fuse(opened_base, [make_concept("potter", 1), make_concept("mimi", 2)], plan=QUICK)


def test_two_workers_make_what_one_process_makes(
    base: Base, make_concept: MakeConcept, expected: Fused, workers: Workers, said: list[str]
) -> None:
    concepts = [make_concept("potter", 1), make_concept("mimi", 2)]
    found = fuse(base, concepts, plan=QUICK, workers=workers, say=said.append)
    same(found, expected)
    assert found.report == expected.report
    places = {line.rpartition(" ")[2] for line in said if line.startswith("recorded")}
    assert len(places) == 2, said
    assert f":{os.getpid()}" not in " ".join(places)


def same(found: Fused, expected: Fused) -> None:
    """To 1e-6, layer by layer, and in the same form."""
    assert list(found.updates) == list(expected.updates)
    for layer, update in expected.updates.items():
        other = found.updates[layer]
        assert (other.delta_OI - update.delta_OI).norm() <= 1e-6 * update.delta_OI.norm(), layer
        assert (other.rank, other.down_NI is None) == (update.rank, update.down_NI is None)
