"""Regions in the ComfyUI nodes: shares and attention, number by number against fedshow's own."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

import fedshow
from fedshow.edlora.conditioning import LayeredConditioning, pack
from fedshow.families import Base
from fedshow.sampling.coverage import shares as own_shares
from fedshow.sampling.regional import RegionalAttention as OwnAttention
from fedshow.sampling.regional import RegionPlan
from integrations.comfyui import packing
from integrations.comfyui.attention import RegionalAttention, progress
from integrations.comfyui.regions import Region, shares

TEXT = torch.zeros(1, 1, 1)
LATENT = (8, 6)


def both(**more: Any) -> tuple[fedshow.Region, Region]:
    """The same region for fedshow and for the nodes."""
    mask = more.pop("mask", None)
    box = None if mask is not None else more.pop("box", (0.0, 0.0, 1.0, 1.0))
    values = None if mask is None else torch.from_numpy(mask / 255.0).float()
    picture = None if mask is None else Image.fromarray(mask)
    there = Region(positive=TEXT, negative=None, box=box or (0, 0, 1, 1), mask=values, **more)
    return fedshow.Region(box=box, mask=picture, prompt="x", **more), there


def painted(seed: int, size: tuple[int, int]) -> Any:
    """A mask of grey spots, never white all over."""
    random = np.random.default_rng(seed)
    return np.kron(random.integers(0, 200, (4, 3)), np.ones((size[0] // 4, size[1] // 3))).astype(
        np.uint8
    )


@st.composite
def regions(draw: st.DrawFn) -> tuple[fedshow.Region, Region]:
    low = st.floats(0, 0.9)
    left, top = draw(low), draw(low)
    right, bottom = (draw(st.floats(edge + 0.01, 1)) for edge in (left, top))
    weight = draw(st.floats(0.01, 3))
    if draw(st.booleans()):
        return both(mask=painted(draw(st.integers(1, 99)), (64, 48)), weight=weight)
    feather = draw(st.sampled_from([0.0, 1e-4, 0.1, 0.7]))
    return both(box=(left, top, right, bottom), weight=weight, feather=feather)


@given(
    pairs=st.lists(regions(), min_size=1, max_size=4),
    grid=st.sampled_from([LATENT, (4, 3), (2, 2), (1, 1)]),
    overlap=st.sampled_from(["average", "priority"]),
)
def test_shares_are_fedshows_shares(
    pairs: list[tuple[fedshow.Region, Region]], grid: tuple[int, int], overlap: Any
) -> None:
    ours, theirs = [one for one, _ in pairs], [one for _, one in pairs]
    expected_CHW = own_shares(ours, grid, (64, 48), overlap)
    found_CHW = shares(theirs, grid, LATENT, overlap)
    torch.testing.assert_close(found_CHW, expected_CHW, atol=1e-6, rtol=1e-5)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


PAIRS = {
    "overlapping": [
        both(box=(0.0, 0.0, 0.6, 1.0), weight=0.5),
        both(box=(0.4, 0.25, 1.0, 1.0)),
    ],
    "soft": [both(box=(0.0, 0.0, 0.6, 0.9), feather=0.3), both(box=(0.4, 0.25, 1.0, 1.0))],
    "timed": [both(box=(0, 0, 0.5, 1), start=0.5), both(box=(0.4, 0, 1, 1), end=0.5)],
    "mask": [both(mask=painted(7, (64, 48)), weight=1.5)],
}


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("overlap", ["average", "priority"])
@pytest.mark.parametrize("done", [0, 2, 3])
def test_attention_is_fedshows_attention(base: Base, name: str, overlap: Any, done: int) -> None:
    """From packed conditioning to what the layer gives: pre-hook and processor against both patches."""
    slots, slot, chunk, steps = 3, 2, 5, 4
    attn = base.family.slotted_layers(base.pipeline.unet)[0][0]
    ours, theirs = zip(*PAIRS[name], strict=True)
    texts = [noise(2, slots, chunk, attn.to_k.in_features, seed=k) for k in range(1 + len(ours))]
    hidden = noise(2, LATENT[0] * LATENT[1], attn.to_q.in_features, seed=9)

    plan = RegionPlan(ours, LATENT, (64, 48), overlap)
    plan.progress = done / steps
    choose = LayeredConditioning([], slots, chunk)._of_slot
    own = OwnAttention(plan)

    contexts = [torch.cat([packing.pack(one) for one in text]) for text in texts]
    patch = packing.LayerWise(
        {("input", 1, 0): slot, ("input", 1, 1): 0, ("middle", 0, 0): 1}, chunk
    )
    sigmas = torch.tensor([9.0, 5.0, 2.0, 1.0, 0.0])
    told = {
        "block": ("input", 1),
        "block_index": 0,
        "n_heads": attn.heads,
        "original_shape": [2, 4, *LATENT],
        "sigmas": sigmas[done : done + 1].expand(2),
        "sample_sigmas": sigmas,
    }
    packed = packing.pack_regions(contexts)
    with torch.no_grad():
        expected = own(attn, hidden, choose(pack(texts), slot))
        _, keys, values = patch(hidden, packed, packed, told)
        replaced = RegionalAttention(theirs, overlap, chunk)(
            attn.to_q(hidden), attn.to_k(keys), attn.to_v(values), told
        )
        found = attn.to_out[0](replaced)
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)


def test_conditioning_without_regions_is_attended_to_as_ever(base: Base) -> None:
    attn = base.family.slotted_layers(base.pipeline.unet)[0][0]
    hidden, text = noise(1, 48, attn.to_q.in_features), noise(1, 10, attn.to_k.in_features)
    told = {"n_heads": attn.heads, "original_shape": [1, 4, *LATENT]}
    attention = RegionalAttention([there for _, there in PAIRS["soft"]], "average", 5)
    with torch.no_grad():
        expected = attn.processor(attn, hidden, text)
        projected = attn.to_q(hidden), attn.to_k(text), attn.to_v(text)
        found = attn.to_out[0](attention(*projected, told))
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("latent", [(8, 8), (15, 22), (5, 9)])
def test_every_level_of_odd_latents_is_known(latent: tuple[int, int]) -> None:
    """As stride-2 convolutions with one pixel of padding make them."""
    attention = RegionalAttention([there for _, there in PAIRS["soft"]], "average", 5)
    level, halve = torch.zeros(1, 1, *latent), torch.nn.Conv2d(1, 1, 3, stride=2, padding=1)
    for _ in range(4):
        places, told = level[0, 0].numel(), {"original_shape": [1, 4, *latent]}
        own = RegionPlan(
            [ours for ours, _ in PAIRS["soft"]], latent, (8 * latent[0], 8 * latent[1])
        )
        expected = own.shares_at(tuple(level.shape[-2:])).flatten(1)
        torch.testing.assert_close(attention._shares_of(places, told), expected)
        level = halve(level)
    with pytest.raises(ValueError, match="7 places are no level"):
        attention._shares_of(7, {"original_shape": [1, 4, 8, 8]})


def test_progress_counts_steps_and_says_when_it_cannot() -> None:
    sigmas = torch.tensor([9.0, 5.0, 2.0, 1.0, 0.0])
    told = [{"sigmas": one.expand(2), "sample_sigmas": sigmas} for one in (*sigmas[:-1], sigmas[1])]
    assert [progress(one) for one in told] == [0, 0.25, 0.5, 0.75, 0.25]
    with pytest.raises(ValueError, match="start and end of regions"):
        progress({"sigmas": sigmas})


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"box": (0.5, 0, 0.5, 1)}, r"region box \(0\.5, 0, 0\.5, 1\)"),
        ({"mask": torch.zeros(4, 4)}, "black all over"),
        ({"weight": 0.0}, "region weight 0"),
        ({"feather": 2.0}, "region feather 2"),
        ({"start": 0.5, "end": 0.5}, r"region start 0\.5 and end 0\.5"),
    ],
)
def test_regions_that_cannot_be_meant_are_refused(settings: dict[str, Any], says: str) -> None:
    meant = {"positive": TEXT, "negative": None, "box": (0, 0, 1, 1), "mask": None}
    with pytest.raises(ValueError, match=says):
        Region(**(meant | settings))


def test_the_three_kinds_of_conditioning_are_told_apart() -> None:
    """Each row of a layer-wise one says which token and slot it is."""
    slots, chunk = 16, 77
    places: dict[Any, int] = {("input", k, 0): k for k in range(slots)}
    patch, told = packing.LayerWise(places, chunk), {"block": ("input", 3), "block_index": 0}
    features = torch.arange(slots * chunk).view(slots, chunk, 1).float()
    layered = packing.pack(features)
    regional = packing.pack_regions([layered, 2 * layered.repeat(1, 2, 1)])
    assert torch.equal(patch(layered, layered, layered, told)[1], features[None, 3])
    ordinary = torch.ones(1, 5 * chunk, 1)
    assert patch(ordinary, ordinary, ordinary, told)[1] is ordinary
    assert torch.equal(patch.layered(ordinary)[0, :slots], torch.ones(slots, 1))
    once, twice = features[3], features[3].repeat(2, 1)
    expected = torch.cat([twice, 2 * twice, torch.zeros(1, 1)])[None]
    assert torch.equal(patch(layered, regional, regional, told)[1], expected)
    long = layered.repeat(1, 3, 1)
    assert torch.equal(patch(layered, long, long, told)[1], once.repeat(3, 1)[None])
