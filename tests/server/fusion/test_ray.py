"""Fusion on a real Ray cluster of two workers: the same updates, the same errors."""

import asyncio
import dataclasses
import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Timer
from unittest.mock import MagicMock

import psutil
import pytest
import torch

from fedshow import __version__
from fedshow.errors import BaseMismatch, FedshowError, InvalidInput
from fedshow.families import Base
from fedshow.families.sd1 import SD1
from fedshow_server.children import Child
from fedshow_server.folder import DataFolder
from fedshow_server.fusion import ray_cluster, ray_workers
from fedshow_server.fusion.fuse import fuse
from fedshow_server.fusion.ray_workers import RayWorkers, Recorder
from fedshow_server.fusion.recording import Plan
from fedshow_server.fusion.statistics import Seen
from fedshow_server.fusion.sums import Layer, Part, layer_of
from fedshow_server.fusion.unfusable import UnfusableConcept
from fedshow_server.fusion.workers import Here, Workers, workers_at
from fedshow_server.releasing import fusing
from fedshow_server.releasing.due import Due
from fedshow_server.releasing.queue import FusionQueue
from fedshow_server.settings import load_settings
from tests.conftest import BASE, Call, MakeConcept
from tests.server.fusion.synthetic import seen, statistics

HOST = "127.0.0.2" if sys.platform == "linux" else "127.0.0.1"
"""Ray takes 127.0.0.1 for another address of this machine."""

QUICK = Plan(fit_seeds=(0,), heldout_seeds=(1,), steps=2, fit_prompts=2, texts=4, things=2)


BUSY_SECONDS = 3.0
"""Longer than the second that Ray waits for news of a worker that is lost."""

POLITENESS = {"RAY_worker_niceness": "0"}
"""Ray's default of 15 lets workers starve beside whatever else runs here."""


@dataclasses.dataclass
class Cluster:
    """Ray on this machine, told that it has two cores."""

    address: str
    process: psutil.Process

    def titled(self, mark: str) -> list[psutil.Process]:
        """Those of its processes whose title has this mark."""
        return [p for p in self.process.children(recursive=True) if mark in _title(p)]

    def end(self) -> None:
        """Ends everything that belongs to it, and nothing else."""
        children = self.process.children(recursive=True)
        self.process.send_signal(signal.SIGTERM)
        for process in psutil.wait_procs([self.process, *children], timeout=30)[1]:
            process.kill()


def _has_started(process: subprocess.Popen[bytes], log: Path) -> bool:
    said = log.read_text()
    assert process.poll() is None, said
    return "Ray runtime started" in said


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


@pytest.fixture(scope="module")
def cluster(tools) -> Iterator[Cluster]:
    folder = tempfile.mkdtemp(prefix="ray")  # pytest's are too long for Ray's sockets
    address = f"{HOST}:{tools.free_port()}"
    command = [
        *(sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block"),
        *("--node-ip-address", HOST, "--port", address.rpartition(":")[2]),
        *("--ray-client-server-port", str(tools.free_port()), "--include-dashboard", "false"),
        *("--num-cpus", "2", "--num-gpus", "0", "--object-store-memory", str(200 << 20)),
        *("--temp-dir", folder),
    ]
    with open(f"{folder}/log", "wb") as log:
        started = subprocess.Popen(
            command, stdout=log, stderr=log, env=os.environ | ray_cluster.QUIET | POLITENESS
        )
    found = Cluster(address, psutil.Process(started.pid))
    try:
        tools.eventually(lambda: _has_started(started, Path(folder, "log")))
        yield found
    finally:
        found.end()
        started.wait()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def said() -> list[str]:
    """What the workers say."""
    return []


@pytest.fixture(scope="module")
def workers(cluster: Cluster, opened_base: Base, said: list[str]) -> Iterator[Workers]:
    with workers_at(cluster.address, BASE, opened_base, said.append) as found:
        yield found


def test_two_workers_make_what_one_process_makes(
    base: Base, make_concept: MakeConcept, workers: Workers, said: list[str]
) -> None:
    """To 1e-6, in the same form, with the same report."""
    concepts = [make_concept("potter", 1), make_concept("mimi", 2)]
    expected = fuse(base, concepts, plan=QUICK)
    said.clear()
    found = fuse(base, concepts, plan=QUICK, workers=workers)
    assert list(found.updates) == list(expected.updates)
    for layer, update in expected.updates.items():
        other = found.updates[layer]
        assert (other.delta_OI - update.delta_OI).norm() <= 1e-6 * update.delta_OI.norm(), layer
        assert (other.rank, other.down_NI is None) == (update.rank, update.down_NI is None)
    assert found.report["summary"] == expected.report["summary"]
    places = {line.rpartition(":")[2] for line in said}
    assert len(places) == 2, said
    assert str(os.getpid()) not in places


def test_rules_with_and_without_sums(base: Base, workers: Workers) -> None:
    """Of these only the first can be solved elsewhere: the other one looks at every concept's inputs."""
    for method in ("average", "custom-diffusion"):
        ours = list(Here(base).solve(method, iter(some_layers())))
        found = list(workers.solve(method, iter(some_layers())))
        assert [layer.name for layer, _ in found] == ["unet.a.attn1.to_q", "unet.a.attn2.to_k"]
        for (_, own), (layer, other) in zip(ours, found, strict=True):
            torch.testing.assert_close(other.delta_OI, own.delta_OI)
            assert len(list(layer.parts())) == 3, "reports need the concepts' own inputs"


def some_layers() -> list[Layer]:
    """Two layers of three random concepts."""
    return [synthetic_layer(name) for name in ("unet.a.attn1.to_q", "unet.a.attn2.to_k")]


def synthetic_layer(name: str) -> Layer:
    """One layer of three random concepts."""
    source, parts = SD1().input_of(name), []
    for seed in (1, 2, 4):
        known = statistics(seed)
        down_RI, up_OR = (x.double() for x in known.adapters[name])
        moments = (known.seen.fit[source], known.seen.heldout[source])
        parts.append(Part(down_RI, up_OR, 1.0, *moments))
    generic = seen(9)
    given = generic.given[name]
    return layer_of(name, source, parts, generic.fit[source], generic.heldout[source], given)


def test_an_error_in_a_worker_is_the_callers(workers: Workers) -> None:
    """Over there the base of this name is another one than here."""
    others = RayWorkers(BASE, "00" * 32, print)
    with pytest.raises(BaseMismatch, match="where the fusion was started it is 0000"):
        list(others.record([""], QUICK))


@pytest.mark.parametrize("retries", [0, 2])
def test_a_worker_that_dies(
    cluster: Cluster, workers: Workers, monkeypatch: pytest.MonkeyPatch, retries: int, tools
) -> None:
    """It is replaced, and when that does not help, the error says so; also when a busy head tells so late."""
    monkeypatch.setattr(ray_workers, "RETRIES", retries)
    tools.eventually(lambda: not cluster.titled("Recorder"))  # those of the test before are gone
    recording = workers.record(
        [""], dataclasses.replace(QUICK, steps=200)
    )  # long enough to be met at work
    (head,) = cluster.titled("gcs_server")
    with ThreadPoolExecutor() as threads:
        result = threads.submit(next, recording)
        found = tools.eventually(lambda: cluster.titled("Recorder.record") or result.done())
        assert found is not True, f"over before it could be killed: {result}"
        head.suspend()
        resuming = Timer(BUSY_SECONDS, head.resume)
        resuming.start()
        found[0].kill()
        if retries:
            assert isinstance(result.result(tools.patience_seconds)[1], Seen)
        else:
            with pytest.raises(FedshowError, match="died"):
                result.result(tools.patience_seconds)
        resuming.join()
    recording.close()


def test_other_versions_are_refused(base: Base) -> None:
    with pytest.raises(InvalidInput, match=f"must be {re.escape(__version__)}.other"):
        Recorder(BASE, base.card.sha256, "cpu", f"{__version__}.other").record("", QUICK)


def test_errors_travel() -> None:
    """Those with more to them than a message, too."""
    error = pickle.loads(pickle.dumps(UnfusableConcept("potter", "NaN")))  # noqa: S301  # our own
    assert (error.name, error.reason, str(error)) == ("potter", "NaN", "concept 'potter': NaN")


@pytest.fixture
def potter(make_concept: MakeConcept, tmp_path: Path) -> Path:
    path = tmp_path / "potter.safetensors"
    make_concept("potter", 1).save(path)
    return path


def test_an_unreachable_cluster_is_named(
    call: Call, potter: Path, tmp_path: Path, tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_cluster, "PATIENCE_SECONDS", 2.0)
    address = f"{HOST}:{tools.free_port()}"
    words = ("--method", "average", "--ray", address)
    code, _, said = call("fuse", potter, "-o", tmp_path / "out", *words)
    assert code == 1
    assert f"Ray cluster '{address}': no answer within 2 s" in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("address", ["nonsense", "http://host:1", "host:port", ""])
def test_what_is_no_address(call: Call, potter: Path, tmp_path: Path, address: str) -> None:
    code, _, said = call("fuse", potter, "-o", tmp_path / "out", "--ray", address)
    assert code == 2
    assert f"Ray address {address!r}: use auto, HOST:PORT or ray://HOST:PORT" in said
    code, _, said = call("server", "run", "--data", tmp_path / "data", "--ray", address)
    assert code == 2
    assert f"Ray address {address!r}" in said


def test_without_ray_the_extra_is_named(
    call: Call, potter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_cluster, "find_spec", lambda _: None)
    code, _, said = call("fuse", potter, "-o", tmp_path / "out", "--ray", "auto")
    assert code == 2
    assert "pip install 'fedshow[ray]'" in said


def test_the_servers_fusion_gets_what_it_was_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From its settings through the worker's command line to the fusion."""
    monkeypatch.setenv("FEDSHOW_SERVER_RAY", "ray://cards:10001")
    monkeypatch.setenv("FEDSHOW_SERVER_PROTECTED_WORDS", '["queen", "flag"]')
    settings, given = load_settings(data=tmp_path), []

    async def start(_: str, *arguments: str, **__: object) -> None:
        monkeypatch.setattr(sys, "argv", ["fusing", *arguments])
        raise ChildProcessError

    monkeypatch.setattr(Child, "start", start)
    queue = FusionQueue(None, DataFolder(tmp_path), settings, asyncio.Lock())
    with pytest.raises(ChildProcessError):
        asyncio.run(queue._fuse(Due()))
    monkeypatch.setattr(fusing, "die_with_parent", lambda: None)
    monkeypatch.setattr(fusing, "fuse_admitted", lambda *all: given.append(all[3]))
    monkeypatch.setattr(DataFolder, "base", lambda _: MagicMock(base="described"))
    monkeypatch.setattr(DataFolder, "open_store", lambda _: MagicMock())
    DataFolder(tmp_path).make()
    fusing.main()
    ledgers = DataFolder(tmp_path).ledgers
    assert given == [fusing.Fuser("described", ledgers, "ray://cards:10001", ["queen", "flag"])]
