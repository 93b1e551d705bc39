"""What the doctor says of this machine: packages, room, ports, cards, bases."""

import json
import os
import socket
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import SimpleNamespace

import pytest

from fedshow import packages
from fedshow.device import threads
from fedshow.doctor import base, device, installed, room
from fedshow.doctor.finding import Finding, Question, State
from fedshow.ports import taken


def only(findings, about: str) -> Finding:
    (found,) = (one for one in findings if one.about == about)
    return found


@pytest.fixture
def question(home: Path) -> Question:
    return Question(home)


def test_a_package_of_the_wrong_version_is_a_problem_with_the_right_one(
    question, monkeypatch
) -> None:
    there = {"protobuf": "7.1.0"}

    def version(name: str) -> str:
        if name == "psutil":
            raise PackageNotFoundError(name)
        return there.get(name) or known(name)

    known = packages.version
    monkeypatch.setattr(packages, "version", version)
    found = list(installed.check_installed(question))
    wrong = only(found, "package protobuf")
    assert wrong.state == State.PROBLEM
    assert wrong.says == "7.1.0 is installed, fedshow needs <7,>=6.33"
    assert wrong.advice == "pip install 'protobuf<7,>=6.33'"
    assert only(found, "package psutil").says == "is missing"
    assert only(found, "packages").facts["protobuf"] == "7.1.0"


def test_what_is_installed_here_is_fine(question) -> None:
    found = list(installed.check_installed(question))
    assert {one.state for one in found} == {State.OK}
    assert only(found, "fedshow").facts["parts"] == ["client", "server", "shared"]


def test_an_extra_is_here_only_when_all_of_it_is(question, monkeypatch) -> None:
    wanted = ["psutil>=6", "torch>=2 ; extra == 'draw'", "nowhere>=1 ; extra == 'draw'"]
    wanted += ["numpy>=2 ; extra == 'small'", "pillow<1 ; extra == 'old'"]
    metadata = SimpleNamespace(get_all=lambda _: ["draw", "small", "old", "dev"])
    about = SimpleNamespace(requires=wanted, metadata=metadata)
    monkeypatch.setattr(packages, "distribution", lambda _: about)
    found = list(installed.check_installed(question))
    extras = only(found, "extras")
    assert (extras.facts["here"], extras.facts["absent"]) == (["old", "small"], ["draw"])
    assert "pip install 'fedshow[draw]'" in extras.says
    assert only(found, "package pillow").facts["extra"] == "old"


def test_little_room_is_a_warning_and_none_a_problem(tmp_path, monkeypatch) -> None:
    def free(gib: float) -> Finding:
        usage = SimpleNamespace(free=int(gib * 2**30))
        monkeypatch.setattr(room.shutil, "disk_usage", lambda _: usage)
        return room.room_in("disk", tmp_path / "not" / "there", "move it")

    assert free(50).state == State.OK
    assert free(5).state == State.WARNING
    full = free(0.5)
    assert (full.state, full.advice) == (State.PROBLEM, "free some, or move it")
    assert "0.5 GiB free" in full.says


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_of_somebody_else_is_a_problem(tmp_path) -> None:
    tmp_path.chmod(0o500)
    assert "not yours to write" in room.room_in("disk", tmp_path / "x", "move it").says


def test_a_container_has_no_more_memory_than_its_limit(question, tmp_path, monkeypatch) -> None:
    limit, use = tmp_path / "max", tmp_path / "current"
    limit.write_text(str(2 << 30))
    use.write_text(str(1 << 30))
    monkeypatch.setattr(room, "CONTAINERS_LIMIT", limit)
    monkeypatch.setattr(room, "CONTAINERS_USE", use)
    memory = only(room.check_room(question), "memory")
    assert memory.state == State.WARNING
    assert memory.says == "1.0 GiB of 2.0 GiB free"
    limit.write_text("max")
    assert only(room.check_room(question), "memory").facts["total_bytes"] > 2 << 30


def test_a_port_that_is_taken_says_by_whom() -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
        assert f"is in use by process {os.getpid()} (" in str(taken("127.0.0.1", port))
    assert taken("127.0.0.1", port) is None
    assert "cannot be had on 192.0.2.1" in str(taken("192.0.2.1", port))


TORCH = """
__version__ = "9.9+cu999"
class version: cuda = {cuda!r}
class backends:
    class mps:
        is_available = staticmethod(lambda: {mps})
class cuda:
    is_available = staticmethod(lambda: {count} > 0)
    device_count = staticmethod(lambda: {count})
    mem_get_info = staticmethod(lambda number: ({free} << 30, 80 << 30))
    class get_device_properties:
        def __init__(self, number): pass
        name, major, minor = "Some Card", 9, 0
"""
NVIDIA_SMI = "#!/bin/sh\necho 580.65.06\n"


@pytest.fixture
def torch(tmp_path, monkeypatch):
    """Another torch for the process that is asked."""

    def put(cuda="12.8", count=0, free=70, mps=False, driver=True) -> None:
        (tmp_path / "torch.py").write_text(TORCH.format(cuda=cuda, count=count, free=free, mps=mps))
        path = f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
        monkeypatch.setenv("PYTHONPATH", path)
        if driver:
            (tmp_path / "nvidia-smi").write_text(NVIDIA_SMI)
            (tmp_path / "nvidia-smi").chmod(0o755)
            monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")

    return put


def test_cards_are_told_with_memory_and_driver(question, torch) -> None:
    torch(count=2)
    found = list(device.check_device(question))
    card = only(found, "card cuda:1")
    assert card.state == State.OK
    assert card.says == "Some Card, 70.0 GiB of 80.0 GiB free, compute 9.0, driver 580.65.06"


def test_a_card_that_is_full_says_how_to_see_by_whom(question, torch) -> None:
    torch(count=1, free=2)
    card = only(device.check_device(question), "card cuda:0")
    assert (card.state, "nvidia-smi" in card.advice) == (State.WARNING, True)


def test_a_card_that_torch_cannot_use_is_a_warning(question, torch) -> None:
    torch(cuda=None)
    card = only(device.check_device(question), "card")
    assert (card.state, card.advice) == (State.WARNING, device.CUDA_ADVICE)
    torch(cuda="12.8")
    assert "finds no usable NVIDIA card" in only(device.check_device(question), "card").says


def test_no_card_is_no_warning(question, torch, monkeypatch) -> None:
    torch(mps=True, driver=False)
    monkeypatch.setattr(device, "DRIVER", Path("/nowhere"))
    card = only(device.check_device(question), "card")
    assert card.state == State.OK
    assert "Apple's mps is not used" in card.says


def test_a_torch_that_cannot_be_imported_is_a_problem(question, tmp_path, monkeypatch) -> None:
    (tmp_path / "torch.py").write_text("raise ImportError('libcudart.so.12: cannot open')")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    found = only(device.check_device(question), "torch")
    assert found.state == State.PROBLEM
    assert "libcudart.so.12: cannot open" in found.says


def test_no_torch_at_all_says_what_to_install(question, monkeypatch) -> None:
    monkeypatch.setattr(device, "find_spec", lambda _: None)
    assert "pip install 'fedshow[all]'" in only(device.check_device(question), "torch").advice


@pytest.mark.parametrize(
    ("threads", "state"), [("0", "problem"), ("x", "problem"), ("999", "warning")]
)
def test_threads_that_make_no_sense(question, monkeypatch, threads, state) -> None:
    monkeypatch.setenv("FEDSHOW_THREADS", threads)
    found = next(iter(device.check_device(question)))
    assert (found.about, found.state) == ("processor", state)
    assert found.advice.startswith("export FEDSHOW_THREADS=")


def test_threads_that_are_told_are_the_threads_that_are_taken(question, monkeypatch) -> None:
    monkeypatch.setenv("FEDSHOW_THREADS", "1")
    found = next(iter(device.check_device(question)))
    assert found.facts["threads"] == threads(2) == 1


def test_a_base_that_is_there_and_one_that_is_not(home, tmp_path) -> None:
    def look(wanted: object) -> Finding:
        return only(base.check_bases(Question(home, base=str(wanted))), f"base {wanted}")

    assert look("toyworld").state == State.OK
    assert look(tmp_path).state == State.PROBLEM
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "model_index.json").write_text(json.dumps({"_class_name": "FluxPipeline"}))
    assert "is no pipeline of a known family" in look(broken).says


@pytest.mark.parametrize("cached", [True, False])
def test_a_base_on_a_hub_that_does_not_answer(home, tmp_path, monkeypatch, cached) -> None:
    from huggingface_hub import constants
    from huggingface_hub.errors import HfHubHTTPError  # noqa: F401  # loads what is patched

    import fedshow.families.hub as hub

    def no_answer(repo: str) -> set[str]:
        raise ConnectionError("no route to host")

    monkeypatch.setattr(hub, "listed", no_answer)
    index = tmp_path / "snapshot" / "model_index.json"
    monkeypatch.setattr(hub, "in_cache", lambda *_: index if cached else None)
    found = only(base.check_bases(Question(home, base="some/base")), "base some/base")
    assert found.state == (State.WARNING if cached else State.PROBLEM)
    assert "no route to host" in found.says
    assert constants.ENDPOINT in found.advice
