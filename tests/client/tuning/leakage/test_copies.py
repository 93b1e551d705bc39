"""Distances between samples and private pictures."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from fedshow_client.tuning.data.captions import Captions
from fedshow_client.tuning.data.latents import Bucket, LatentSet
from fedshow_client.tuning.leakage.copies import SAMPLES, copying, nearest, nearest_other
from fedshow_client.tuning.trainer import Subject


def bucket(mean: Tensor, valid: Tensor | None = None) -> Bucket:
    """Latents `[N, K, C, h, w]` of pictures without masks."""
    whole = torch.ones(*mean.shape[:2], 1, *mean.shape[3:])
    masked = torch.zeros(len(mean), dtype=torch.bool)
    images = tuple(range(len(mean)))
    return Bucket(
        images, mean, torch.zeros_like(mean), whole, valid if valid is not None else whole, masked
    )


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_a_copy_of_any_variant_is_at_no_distance_and_a_stranger_is_not() -> None:
    private = bucket(noise(3, 2, 4, 8, 8))
    samples = torch.stack([private.mean[1, 1], noise(4, 8, 8, seed=1)])
    copy, stranger = nearest(samples, private).tolist()
    assert copy == 0
    assert stranger > 0.3


def test_the_nearest_other_picture_is_never_a_variant_of_the_same() -> None:
    one = noise(1, 1, 4, 8, 8)
    private = bucket(torch.cat([one + 1, one + 3]).repeat(1, 2, 1, 1, 1))
    assert nearest_other(private) == pytest.approx([2, 2], rel=1e-5)
    assert nearest_other(bucket(one)) == []


def test_what_was_padded_does_not_count() -> None:
    mean, valid = noise(1, 1, 4, 8, 8), torch.ones(1, 1, 1, 8, 8)
    valid[..., :4] = 0
    sample = mean[0].clone()
    sample[..., :4] += 5
    assert nearest(sample, bucket(mean)).item() > 1
    assert nearest(sample, bucket(mean, valid)).item() == 0


def test_fine_texture_does_not_hide_a_copy() -> None:
    private = bucket(noise(2, 1, 4, 8, 8))
    texture = torch.tensor([[1.0, -1.0], [-1.0, 1.0]]).repeat(4, 4)
    assert nearest(private.mean[0] + texture, private).item() == pytest.approx(0, abs=1e-6)


class Copyist:
    """Draws the private pictures when asked by name; with its adapters off, what it likes."""

    def __init__(self, pictures: Tensor) -> None:
        self.pictures, self.asked, self.scale = pictures, set[str](), 1.0
        self.base = SimpleNamespace(factor=4)

    @contextmanager
    def strength(self, scale: float) -> Iterator[None]:
        self.scale = scale
        yield
        self.scale = 1.0

    def sample_latents(
        self, prompts: list[str], *, seed: int, steps: int, size: tuple[int, int]
    ) -> Tensor:
        assert (size, steps > 0) == ((32, 64), True)
        self.asked |= set(prompts)
        if self.scale == 0:
            return noise(len(prompts), 4, 8, 16, seed=seed + 1)
        return self.pictures[[number % len(self.pictures) for number in range(len(prompts))]]


def test_whoever_draws_the_private_pictures_copies_wholly_and_the_base_does_not() -> None:
    private = bucket(noise(3, 1, 4, 8, 16))
    captions = Captions("gloop", "monster", ["a monster at sea", None, "snow"])
    subject = Subject("gloop", "monster", captions, LatentSet([private]))
    copyist = Copyist(private.mean[:, 0])
    found = copying(copyist, subject, seed=0)  # type: ignore[arg-type]
    assert found.tuned == [1.0] * SAMPLES
    assert max(found.base) < 0.4
    assert {"a <gloop> at sea", "a monster at sea", "monster, snow"} <= copyist.asked


def test_of_more_pictures_than_samples_the_last_are_asked_for_too() -> None:
    count = SAMPLES + 4
    private = bucket(noise(count, 1, 4, 8, 16))
    captions = Captions("gloop", "monster", [f"place {n}" for n in range(count)])
    subject = Subject("gloop", "monster", captions, LatentSet([private]))
    copyist = Copyist(private.mean[:, 0])
    assert len(copying(copyist, subject, seed=0).tuned) == SAMPLES  # type: ignore[arg-type]
    assert {"monster, place 0", "monster, place 18"} <= copyist.asked


def copied(private: Tensor, drawn: Tensor) -> list[float]:
    """Shares of a model that draws `drawn [M, C, h, w]`, tuned on `private [N, C, h, w]`."""
    captions = Captions("gloop", "monster", [None] * len(private))
    subject = Subject("gloop", "monster", captions, LatentSet([bucket(private[:, None])]))
    return copying(Copyist(drawn), subject, seed=0).tuned  # type: ignore[arg-type]


@pytest.mark.parametrize("different", [0, 1])
def test_near_duplicates_among_the_private_pictures_do_not_hide_a_copy(different: int) -> None:
    """Else their distance would be the yardstick, and a blurred copy, farther off, a stranger."""
    picture = noise(1, 4, 8, 16)
    private = torch.cat([picture, picture + 0.02, noise(different, 4, 8, 16, seed=9)])
    assert min(copied(private, private - 0.1)) > 0.5


def test_what_draws_no_numbers_is_not_innocent() -> None:
    private = noise(3, 4, 8, 16)
    for broken in (float("nan"), float("inf")):
        assert min(copied(private, private * broken)) == 1.0


def test_pictures_that_only_resemble_one_another_are_the_yardstick() -> None:
    picture = noise(1, 4, 8, 16)
    assert max(copied(torch.cat([picture, picture + 0.4]), picture - 0.4)) < 0.1
