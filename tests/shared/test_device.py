"""Where to compute, and with how many threads."""

import pytest
import torch

from fedshow.device import choose_device, half_of_the_cores, threads
from fedshow.errors import InvalidInput


@pytest.fixture(autouse=True)
def _as_before():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("told", ["many", "0", "-1", "1.5", "", "²"])
def test_what_is_no_number_of_threads_is_refused_with_what_would_be_right(
    monkeypatch, told
) -> None:
    monkeypatch.setenv("FEDSHOW_THREADS", told)
    with pytest.raises(InvalidInput, match=r"FEDSHOW_THREADS = .*1 or more") as refused:
        choose_device("cpu")
    assert refused.value.next_step == f"export FEDSHOW_THREADS={half_of_the_cores()}"


def test_torch_takes_as_many_threads_as_told_or_half_of_the_cores(monkeypatch) -> None:
    monkeypatch.setenv("FEDSHOW_THREADS", "3")
    assert choose_device("cpu") == "cpu"
    assert torch.get_num_threads() == 3
    monkeypatch.delenv("FEDSHOW_THREADS")
    monkeypatch.setattr("os.cpu_count", lambda: 10)
    choose_device("cpu")
    assert torch.get_num_threads() == 5
    assert threads(1) == 1
