"""Gram sums in lower precision: as wrong as the format says, and no more."""

import pytest
import torch

from fedshow_server.fusion.grams import (
    PRECISIONS,
    Precision,
    default_precision,
    gram,
    rounded_to_tf32,
    tf32,
)
from fedshow_server.fusion.recording import Moments


def inputs(seed: int, count: int = 500, width: int = 20) -> torch.Tensor:
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed)) * 3 + 1


@pytest.mark.parametrize(
    ("precision", "least", "most"),
    [
        ("float64", 0, 1e-15),
        ("float32", 1e-9, 1e-6),
        ("tf32", 1e-6, 1e-3),
        ("bfloat16", 1e-5, 1e-2),
    ],
)
def test_error_is_that_of_the_format(precision: Precision, least: float, most: float) -> None:
    x = inputs(1)
    exact = x.double().T @ x.double()
    found = gram(x, precision)
    assert found.dtype == torch.float64
    assert least <= float((found - exact).norm() / exact.norm()) <= most


def test_tf32_keeps_ten_bits_and_halves_lose_nothing() -> None:
    ulp = 2.0**-10
    values = torch.tensor([1.0, 1 + ulp, 1 + ulp / 4, -(1 + ulp * 3 / 4), 3e-30])
    expected = torch.tensor([1.0, 1 + ulp, 1.0, -(1 + ulp), 3e-30])
    torch.testing.assert_close(rounded_to_tf32(values)[:4], expected[:4], rtol=0, atol=0)
    for half in (inputs(2).half(), inputs(2).bfloat16()):
        assert torch.equal(rounded_to_tf32(half), half.float())


@pytest.mark.parametrize("precision", PRECISIONS)
def test_batches_are_added_up_in_float64(precision: Precision) -> None:
    """A small batch after a huge one is not lost."""
    moments = Moments(precision)
    moments.add("x", torch.full((1, 2), 1e6))
    moments.add("x", torch.full((3, 2), 0.5).reshape(1, 3, 2))
    rounded = 1e6 if precision != "bfloat16" else float(torch.tensor(1e6).bfloat16())
    exact = rounded_to_tf32(torch.tensor([1e6])).item() if precision == "tf32" else rounded
    square = torch.tensor(exact).square().item() if precision != "float64" else 1e12
    assert moments.mean("x")[0, 0].item() * 4 - square == pytest.approx(0.75, abs=1e-3)


def test_defaults_and_settings_are_left_as_they_were() -> None:
    assert default_precision(torch.device("cpu")) == "float64"
    assert default_precision(torch.device("cuda")) == "tf32"
    before = torch.backends.cuda.matmul.allow_tf32
    with tf32(not before):
        assert torch.backends.cuda.matmul.allow_tf32 is not before
    assert torch.backends.cuda.matmul.allow_tf32 is before


@pytest.mark.gpu
@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_card_agrees_with_the_cpu(precision: Precision) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no card")
    x = inputs(3, count=4000)
    found, expected = gram(x.cuda(), precision).cpu(), gram(x, precision)
    limit = 1e-12 if precision == "float64" else 1e-5
    torch.testing.assert_close(found, expected, rtol=limit, atol=limit * float(expected.max()))
