"""What all tests share: one thread, commands run here, the embedded base, concepts made from noise."""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from fedshow.cli import main
from fedshow.concepts import ConceptFile
from fedshow.families import Base, BaseCard
from tests.stage.concepts import random_concept

BASE = os.environ.get("FEDSHOW_TEST_BASE", "toyworld")
settings.register_profile(
    "fedshow",
    deadline=None,  # a busy machine is no failure
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=True,  # the same cases everywhere: what is red here is red there
)
settings.load_profile("fedshow")
Call = Callable[..., tuple[int, str, str]]
MakeConcept = Callable[..., ConceptFile]


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Two torch threads on two busy cores can be ten times slower than one."""
    os.environ["FEDSHOW_THREADS"] = "1"
    os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """This test's FEDSHOW_HOME."""
    folder = tmp_path / "home"
    monkeypatch.setenv("FEDSHOW_HOME", str(folder))
    return folder


@pytest.fixture
def call(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Runs `fedshow` here; gives exit code, standard output and standard error."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["fedshow", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out, printed.err

    return run


@pytest.fixture(scope="session")
def opened_base() -> Base:
    """The embedded base, opened once."""
    import torch

    from fedshow.families import open_base

    torch.set_num_threads(1)
    return open_base(BASE)


@pytest.fixture
def base(opened_base: Base) -> Iterator[Base]:
    """The embedded base; a test must leave it as it was."""
    import torch

    hooks = _hook_count(opened_base)
    yield opened_base
    opened_base.denoiser.to(memory_format=torch.contiguous_format)  # trainers turn it round
    assert _hook_count(opened_base) == hooks, "a hook was left on the base"


def _hook_count(base: Base) -> int:
    parts = (base.pipeline.unet, base.pipeline.text_encoder)
    return sum(
        len(module._forward_hooks) + len(module._forward_pre_hooks)
        for part in parts
        for module in part.modules()
    )


@pytest.fixture(scope="session")
def card(opened_base: Base) -> BaseCard:
    """The card of the embedded base."""
    return opened_base.card


@pytest.fixture(scope="session")
def make_concept(card: BaseCard, tmp_path_factory: pytest.TempPathFactory) -> MakeConcept:
    """Makes a valid concept file out of random numbers."""

    def make(name: str = "potter", seed: int = 0, rank: int = 2, size: float = 0.05) -> ConceptFile:
        folder: Path = tmp_path_factory.mktemp("concept")
        return random_concept(folder / f"{name}.safetensors", card, name, seed, rank, size)

    return make
