"""From images to latents: what the denoiser will learn from, and the copy kept on disk."""

import copy
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from PIL import Image
from safetensors import safe_open
from torch import Tensor

from fedshow.demo.folders import Person, draw_images
from fedshow.families import Base
from fedshow_client.tuning.data import keeping, latents
from fedshow_client.tuning.data.augmentation import Crop, Freedom, plan_crops, reduction
from fedshow_client.tuning.data.batches import Schedule
from fedshow_client.tuning.data.folder import Candidate, scan
from fedshow_client.tuning.data.frames import Frame
from fedshow_client.tuning.data.latents import (
    LatentSet,
    cache_latents,
    cut_mask,
    cut_picture,
    cut_valid,
    encode,
)
from fedshow_client.tuning.data.planning import crops_of
from fedshow_client.tuning.recipe import Recipe


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[Candidate]:
    """Two square pictures, one tall one and one wide one without a mask."""
    person = Person("alice", "gloop", tmp_path_factory.mktemp("alice"))
    draw_images(person, seed=0)
    found = scan(person.images).accepted[:4]
    for image, box in ((found[2], (40, 0, 216, 256)), (found[3], (0, 60, 256, 230))):
        mask = image.load_mask()
        assert mask is not None
        assert image.mask is not None
        image.load().crop(box).save(image.path)
        mask.crop(box).save(image.mask)
    assert found[3].mask is not None
    found[3].mask.unlink()
    return scan(person.images).accepted[:4]


@pytest.fixture
def recipe(base: Base) -> Recipe:
    return Recipe.for_base(base, variants=3, aspect=2.0, zoom_out=0.6)


def all_tensors(found: LatentSet) -> list[Tensor]:
    return [getattr(bucket, part) for bucket in found.buckets for part in keeping.PARTS]


def same(one: LatentSet, other: LatentSet) -> bool:
    pairs = zip(all_tensors(one), all_tensors(other), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def test_images_go_to_buckets_of_their_shape(
    base: Base, images: Sequence[Candidate], recipe: Recipe
) -> None:
    found = cache_latents(base, images, recipe, seed=0)
    shapes = {bucket.images: tuple(bucket.mean.shape[1:]) for bucket in found.buckets}
    channels = base.pipeline.unet.config.in_channels
    assert shapes == {
        (0, 1): (3, channels, 8, 8),
        (2,): (3, channels, 10, 6),
        (3,): (3, channels, 6, 10),
    }
    for bucket in found.buckets:
        assert bucket.std.shape == bucket.mean.shape
        assert (
            bucket.subject.shape
            == bucket.valid.shape
            == (*bucket.mean.shape[:2], 1, *bucket.mean.shape[3:])
        )
        assert bucket.masked.tolist() == [images[n].mask is not None for n in bucket.images]
    assert found.buckets[2].subject.min() == 1, "without a mask the subject is everywhere"
    assert 0 < found.buckets[0].subject.mean() < 0.9
    assert 0 < min(bucket.valid.mean() for bucket in found.buckets) < 1, "some crops are padded"
    assert all(set(bucket.valid.unique().tolist()) <= {0.0, 1.0} for bucket in found.buckets)


def test_small_bases_get_whole_squares(base: Base, images: Sequence[Candidate]) -> None:
    found = cache_latents(base, images, Recipe.for_base(base, variants=2), seed=0)
    assert [bucket.images for bucket in found.buckets] == [(0, 1, 2, 3)]
    assert found.buckets[0].valid.min() == 1


def test_latents_decode_to_the_crops_they_were_made_of(
    base: Base, images: Sequence[Candidate], recipe: Recipe
) -> None:
    """Right image, right variant, right scale: the VAE gives back about what went in."""
    found = cache_latents(base, images, recipe, seed=0)
    vae, frame = base.pipeline.vae, Frame.of(base)
    for bucket in found.buckets:
        for row, number in enumerate(bucket.images):
            crops = crops_of(images[number], number, frame, recipe, 0)
            wanted = torch.stack([cut_picture(images[number].load(), crop) for crop in crops])
            with torch.no_grad():
                drawn = vae.decode(bucket.mean[row] / vae.config.scaling_factor).sample
            errors = torch.cdist(drawn.flatten(1), wanted.flatten(1))
            assert errors.argmin(1).tolist() == list(range(recipe.variants))
            assert (drawn - wanted).square().mean() < 0.05


def test_std_is_what_the_vae_says(base: Base) -> None:
    pixels = torch.rand(5, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    vae = base.pipeline.vae
    with torch.no_grad():
        expected = vae.encode(pixels).latent_dist
    mean, std = encode(base, pixels)
    torch.testing.assert_close(mean, expected.mean * vae.config.scaling_factor)
    torch.testing.assert_close(std, expected.std * vae.config.scaling_factor)


def test_the_vae_sees_few_pictures_at_once(base: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = torch.rand(7, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    whole = encode(base, pixels)
    seen: list[int] = []
    original = base.pipeline.vae.encode

    def watched(part: Tensor) -> object:
        seen.append(len(part))
        return original(part)

    monkeypatch.setattr(latents, "ENCODED_PIXELS", 3 * 32 * 32)
    monkeypatch.setattr(base.pipeline.vae, "encode", watched)
    parts = encode(base, pixels)
    assert seen == [3, 3, 1]
    torch.testing.assert_close(parts, whole)


def test_beyond_the_picture_nothing_is_valid_and_nothing_is_subject() -> None:
    crop = Crop((32, 32), (0, 0, 40, 80), (8, 0, 24, 32), flipped=False)
    picture = Image.new("RGB", (40, 80), (255, 0, 0))
    pixels = cut_picture(picture, crop)
    assert pixels.shape == (3, 32, 32)
    assert pixels[0].min() == 1, "the border's colour goes on"
    valid = cut_valid(crop)
    assert valid.sum() == 16 * 32
    assert valid[:, :, 8:24].min() == 1
    assert torch.equal(cut_mask(Image.new("L", (40, 80), 255), crop), valid)


def test_picture_mask_and_padding_are_mirrored_together() -> None:
    picture = Image.new("L", (40, 80))
    picture.paste(255, (0, 0, 20, 40))
    straight = Crop((32, 32), (0, 0, 40, 80), (2, 0, 18, 32), flipped=False)
    mirrored = replace(straight, flipped=True)
    for cut in (
        lambda crop: cut_picture(picture.convert("RGB"), crop),
        lambda crop: cut_mask(picture, crop),
        lambda crop: cut_valid(crop),
    ):
        assert torch.equal(cut(straight).flip(-1), cut(mirrored))
        assert not torch.equal(cut(straight), cut(mirrored))


def test_large_pictures_are_made_smaller_once_and_look_the_same() -> None:
    picture, mask = Image.radial_gradient("L").resize((1501, 999)), Image.new("L", (1501, 999))
    mask.paste(255, (400, 300, 900, 700))
    freedom = Freedom(0.7, 1.5, flip=True)
    crops = plan_crops(picture.size, (400, 300, 900, 700), (96, 64), freedom, 6, "seed")
    reduced = reduction(crops)
    assert reduced > 2
    for crop in crops:
        whole = cut_picture(picture.convert("RGB"), crop)
        small = cut_picture(picture.convert("RGB").reduce(reduced), crop, reduced)
        assert (whole - small).abs().max() < 0.05
        edges = (cut_mask(mask, crop) - cut_mask(mask.reduce(reduced), crop, reduced)).abs()
        assert edges.mean() < 0.01


def test_a_seed_gives_the_same_latents_and_another_others(
    base: Base, images: Sequence[Candidate], recipe: Recipe
) -> None:
    first = cache_latents(base, images, recipe, seed=1)
    assert same(first, cache_latents(base, images, recipe, seed=1))
    assert not same(first, cache_latents(base, images, recipe, seed=2))


def test_the_schedule_hands_out_rows_of_one_bucket(
    base: Base, images: Sequence[Candidate], recipe: Recipe
) -> None:
    found = cache_latents(base, images, recipe, seed=0)
    schedule = Schedule(found, batch=4, seed=0)
    for step in range(8):
        batch = schedule.at(step)
        assert any(batch.bucket is bucket for bucket in found.buckets)
        picked = batch.bucket.mean[batch.rows, batch.variants]
        assert picked.shape == (4, *batch.bucket.mean.shape[2:])


@pytest.fixture
def work(base: Base, images: Sequence[Candidate], recipe: Recipe, tmp_path: Path) -> Path:
    cache_latents(base, images, recipe, 0, tmp_path)
    return tmp_path


class NotAgain(Exception):
    """The images were encoded although that was not needed."""


@pytest.fixture
def no_encoding(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise NotAgain

    monkeypatch.setattr(latents, "encode_all", refuse)


@pytest.mark.usefixtures("no_encoding")
def test_a_second_run_takes_the_kept_latents(
    work: Path,
    base: Base,
    images: Sequence[Candidate],
    recipe: Recipe,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept = cache_latents(base, images, recipe, 0, work)
    monkeypatch.undo()
    assert same(kept, cache_latents(base, images, recipe, 0))
    assert [bucket.images for bucket in kept.buckets] == [(0, 1), (2,), (3,)]


@pytest.mark.usefixtures("no_encoding")
@pytest.mark.parametrize(
    "change", [{"zoom": 1.3}, {"variants": 2}, {"flip": False}, {"aspect": 1.0}]
)
def test_other_settings_do_not_take_them(
    work: Path, base: Base, images: Sequence[Candidate], recipe: Recipe, change: dict[str, float]
) -> None:
    with pytest.raises(NotAgain):
        cache_latents(base, images, recipe.model_copy(update=change), 0, work)


@pytest.mark.usefixtures("no_encoding")
def test_other_images_or_seeds_do_not_take_them(
    work: Path, base: Base, images: Sequence[Candidate], recipe: Recipe
) -> None:
    with pytest.raises(NotAgain):
        cache_latents(base, images, recipe, 1, work)
    with pytest.raises(NotAgain):
        cache_latents(base, images[:3], recipe, 0, work)
    with pytest.raises(NotAgain):
        cache_latents(base, [replace(images[0], mask=None), *images[1:]], recipe, 0, work)


@pytest.mark.usefixtures("no_encoding")
def test_steps_and_learning_rates_do_not_matter(
    work: Path, base: Base, images: Sequence[Candidate], recipe: Recipe
) -> None:
    cache_latents(base, images, recipe.model_copy(update={"steps": 7, "lr_unet": 1.0}), 0, work)


@pytest.mark.parametrize("where", [0, 20, -1, None])
def test_damaged_latents_are_made_again(
    work: Path, base: Base, images: Sequence[Candidate], recipe: Recipe, where: int | None
) -> None:
    path = work / keeping.FILE_NAME
    good = path.read_bytes()
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    bad = bytearray(good[: len(good) // 2] if where is None else good)
    if where is not None:
        bad[where] ^= 1
    path.write_bytes(bytes(bad))
    assert same(
        cache_latents(base, images, recipe, 0, work), cache_latents(base, images, recipe, 0)
    )
    with safe_open(path, "pt") as file:
        assert file.metadata() == metadata


def test_kept_latents_are_for_their_owner_only(work: Path) -> None:
    assert (work / keeping.FILE_NAME).stat().st_mode & 0o077 == 0


class OddVae:
    """Says for a picture its mean brightness, and counts in half the scale around 0.1."""

    config = SimpleNamespace(shift_factor=0.1, scaling_factor=0.5)
    dtype = torch.float32
    device = torch.device("cpu")

    def encode(self, pixels: Tensor) -> SimpleNamespace:
        mean = pixels.mean((1, 2, 3), keepdim=True)
        return SimpleNamespace(latent_dist=SimpleNamespace(mean=mean, std=torch.ones_like(mean)))


def test_shift_and_scale_of_the_vae_are_applied() -> None:
    base = SimpleNamespace(vae=OddVae(), device=torch.device("cpu"))
    mean, std = encode(base, torch.full((1, 3, 8, 8), 0.7))  # type: ignore[arg-type]
    assert mean.item() == pytest.approx((0.7 - 0.1) * 0.5)
    assert std.item() == pytest.approx(0.5)


def test_a_half_precision_vae_encodes_in_full_precision_and_stays_as_it_was(
    base: Base, images: Sequence[Candidate], recipe: Recipe
) -> None:
    exact = copy.deepcopy(base.pipeline.vae).bfloat16().float()
    half = copy.deepcopy(base.pipeline.vae).bfloat16()

    def with_vae(vae: object) -> Base:
        parts = SimpleNamespace(vae=vae, unet=base.pipeline.unet, vae_scale_factor=4)
        return replace(base, pipeline=parts)

    found = cache_latents(with_vae(half), images, recipe, 0)
    assert same(found, cache_latents(with_vae(exact), images, recipe, 0))
    assert half.dtype == torch.bfloat16
