"""This process as the worker of a fusion."""

import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from fedshow_server.fusion.workers import Here
from tests.server.fusion.test_rules import make_layer, make_part


@pytest.fixture
def threads() -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield 2
    torch.set_num_threads(before)


def test_a_card_loads_its_linear_algebra_before_threads_ask_for_it_at_once(
    threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PyTorch raises for all but the first that come in while it loads: the main thread comes alone."""
    asked, real = [], torch.linalg.qr

    def qr(*args: Any, **kwargs: Any) -> Any:
        asked.append(threading.current_thread())
        return real(*args, **kwargs)

    monkeypatch.setattr(torch.linalg, "qr", qr)
    here: Any = SimpleNamespace(device=torch.device("cpu"))
    layers = [make_layer([make_part(1)]) for _ in range(threads)]
    assert len(list(Here(here).solve("average", layers))) == threads
    first, *others = asked
    assert first is threading.main_thread()
    assert others, "rules and updates decompose, too"
    assert threading.main_thread() not in others
