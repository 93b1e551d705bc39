"""Attention by regions against the paper's, written slowly, and what it does to pictures."""

import pytest
import torch
from torch import Tensor

from fedshow.families import Base
from fedshow.sampling.model import Model
from fedshow.sampling.regional import RegionalAttention, RegionPlan, regional
from fedshow.sampling.regions import Overlap, Region
from fedshow.sampling.separation import SeparatedAttention, separated

LEFT, RIGHT = (0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 1.0, 1.0)
OVERLAPPING = [
    Region(box=(0.0, 0.0, 0.6, 1.0), prompt="x", weight=0.5),
    Region(box=(0.4, 0.25, 1.0, 1.0), prompt="x"),
]
SOFT = [
    Region(box=(0.0, 0.0, 0.6, 0.9), prompt="x", feather=0.3),
    Region(box=(0.4, 0.25, 1.0, 1.0), prompt="x", feather=0.2),
]
APART = [Region(box=(0.0, 0.0, 0.4, 1.0), prompt="x"), Region(box=(0.6, 0, 1, 1), prompt="x")]


@pytest.fixture
def model(base: Base):
    opened = Model(base)
    yield opened
    opened.restore()


def noise(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def pixels(model: Model, prompt: str = "a red robot", **recipe: object) -> Tensor:
    image = model(prompt, **recipe).images[0]
    return torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8).float()


@pytest.mark.parametrize("regions", [OVERLAPPING, SOFT, APART])
@pytest.mark.parametrize("overlap", ["average", "priority"])
def test_equals_the_paper_written_slowly(
    base: Base, regions: list[Region], overlap: Overlap
) -> None:
    """Each place alone, its outputs for all prompts that count there, by diffusers' own processor."""
    attn = base.family.slotted_layers(base.pipeline.unet)[0][0]
    queries, context = (
        noise(2, 8 * 6, attn.to_q.in_features),
        noise(2, 3 * 5, attn.to_k.in_features),
    )
    plan = RegionPlan(regions, (8, 6), (32, 24), overlap)
    share_CQ = plan.shares_at((8, 6)).flatten(1)
    with torch.no_grad():
        found = RegionalAttention(plan)(attn, queries, context)
        for place in range(8 * 6):
            alone = [
                attn.processor(attn, queries[:, [place]], context[:, 5 * c : 5 * c + 5])
                for c in range(3)
            ]
            expected = sum(share_CQ[c, place] * alone[c] for c in range(3))
            torch.testing.assert_close(found[:, [place]], expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("latent", [(8, 8), (15, 22), (5, 9), (1, 3)])
def test_every_level_of_odd_latents_is_known(latent: tuple[int, int]) -> None:
    """As stride-2 convolutions with one pixel of padding make them."""
    plan = RegionPlan(APART, latent, (8 * latent[0], 8 * latent[1]))
    level = torch.zeros(1, 1, *latent)
    halve = torch.nn.Conv2d(1, 1, 3, stride=2, padding=1)
    for _ in range(4):
        assert plan.grids[level[0, 0].numel()] == level.shape[-2:]
        level = halve(level)


def test_region_counts_from_its_start_to_its_end() -> None:
    late, early = Region(box=LEFT, prompt="x", start=0.5), Region(box=RIGHT, prompt="x", end=0.75)
    plan = RegionPlan([late, early], (2, 2), (16, 16))
    seen = {}
    for progress in (0.0, 0.5, 0.75):
        plan.progress = progress
        seen[progress] = plan.shares_at((2, 2)).flatten(1).tolist()
    left, right, none = [1, 0, 1, 0], [0, 1, 0, 1], [0] * 4
    assert seen == {
        0.0: [left, none, right],
        0.5: [none, left, right],
        0.75: [right, left, none],
    }


def test_places_are_found_once_and_lie_where_layers_compute() -> None:
    like = torch.zeros(1, dtype=torch.bfloat16)
    plan = RegionPlan([*SOFT, Region(box=LEFT, prompt="x", start=0.5)], (2, 2), (16, 16), like=like)
    first = plan.patches
    plan.progress = 0.25
    assert plan.patches is first, "the same regions count"
    plan.progress = 0.5
    assert plan.patches is not first
    shared = [patch.share_P1 for patch in plan.patches[4] if patch.share_P1 is not None]
    assert {share.dtype for share in shared} == {torch.bfloat16}


def test_the_denoiser_compiles_in_one_piece(model: Model) -> None:
    """Also when other regions begin to count."""
    unet = model.base.pipeline.unet
    plan = RegionPlan([*SOFT, Region(box=RIGHT, prompt="x", start=0.5)], (8, 8), (32, 32))
    text = model.encode(["a robot"] * 2, [["a bunny"] * 2, ["a chick"] * 2, ["a cat"] * 2])
    step = noise(2, 8, 8, 8), torch.tensor(500)
    layers = [layer for layer, _ in model.cross_attention]
    with torch.no_grad(), regional(layers, plan), separated(model.self_attention, plan, 0.5):
        compiled = torch.compile(unet, backend="eager", fullgraph=True)
        for progress in (0.0, 0.5):
            plan.progress = progress
            expected = unet(*step, encoder_hidden_states=text).sample
            found = compiled(*step, encoder_hidden_states=text).sample
            torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)
    torch.compiler.reset()


def test_regions_that_say_the_same_as_the_prompt_change_nothing(model: Model) -> None:
    regions = [Region(box=LEFT, prompt="a red robot"), Region(box=RIGHT, prompt="a red robot")]
    plain, regional = pixels(model, steps=3), pixels(model, steps=3, regions=regions)
    assert (plain - regional).abs().max() <= 1


def test_processors_are_put_back_also_when_drawing_ends_early(model: Model) -> None:
    def stop(_done: int, _all: int) -> None:
        raise KeyboardInterrupt

    layers = [module for module, _ in model.cross_attention] + model.self_attention
    before = [module.processor for module in layers]
    regions = [Region(box=LEFT, prompt="a bunny")]
    model("a robot", steps=1, regions=regions, separation=1.0)
    with pytest.raises(KeyboardInterrupt):
        model("a robot", steps=2, regions=regions, separation=1.0, on_step=stop)
    assert [module.processor for module in layers] == before


def test_a_region_that_starts_late_changes_less(model: Model) -> None:
    plain = pixels(model, steps=4)
    changed = [
        (pixels(model, steps=4, regions=[region]) - plain).abs().sum()
        for region in (
            Region(box=LEFT, prompt="a blue bunny", start=0.75),
            Region(box=LEFT, prompt="a blue bunny", end=0.25),
            Region(box=LEFT, prompt="a blue bunny"),
        )
    ]
    assert 0 < changed[0] < changed[2]
    assert changed[1] > 0


def test_region_has_its_own_negative_prompt(model: Model) -> None:
    def drawn(negative: str | None, whole: str = "") -> Tensor:
        region = Region(box=(0, 0, 1, 1), prompt="a bunny", negative=negative)
        return pixels(model, steps=3, regions=[region], negative=whole)

    assert torch.equal(drawn(None, "a hat"), drawn("a hat"))
    assert not torch.equal(drawn(None, "a hat"), drawn("", "a hat"))


@pytest.mark.parametrize("strength", [0.0, 0.5, 1.0])
def test_separation_equals_a_slow_softmax(base: Base, strength: float) -> None:
    (attn, *_) = base.family.self_attention(base.pipeline.unet)
    hidden = noise(2, 8 * 6, attn.to_q.in_features)
    plan = RegionPlan(OVERLAPPING, (8, 6), (32, 24))
    share_CQ = plan.shares_at((8, 6)).flatten(1)
    with torch.no_grad():
        found = SeparatedAttention(plan, strength)(attn, hidden)
        split = [attn.head_to_batch_dim(to(hidden)) for to in (attn.to_q, attn.to_k, attn.to_v)]
        weights = (split[0] @ split[1].mT * attn.scale).exp()
        for query in range(8 * 6):
            for key in range(8 * 6):
                others = sum(
                    share_CQ[i, query] * share_CQ[j, key] for i in (1, 2) for j in (1, 2) if i != j
                )
                weights[:, query, key] *= 1 - strength * others
        blended = weights / weights.sum(-1, keepdim=True) @ split[2]
        expected = attn.to_out[0](attn.batch_to_head_dim(blended))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


def test_separated_regions_look_away_from_each_other(model: Model) -> None:
    """What the right half asks for does not change the left one through one self-attention."""
    regions = [Region(box=LEFT, prompt="x"), Region(box=RIGHT, prompt="x")]
    attn = model.self_attention[0]
    plan = RegionPlan(regions, (4, 4), (32, 32))
    hidden = noise(1, 16, attn.to_q.in_features)
    other = hidden.clone()
    other.view(1, 4, 4, -1)[:, :, 2:] += 1
    with torch.no_grad():
        apart, mixed = SeparatedAttention(plan, 1.0), SeparatedAttention(plan, 0.0)
        kept = [(apart(attn, one)).view(4, 4, -1)[:, :2] for one in (hidden, other)]
        moved = [(mixed(attn, one)).view(4, 4, -1)[:, :2] for one in (hidden, other)]
    torch.testing.assert_close(*kept, atol=1e-4, rtol=1e-4)
    assert (moved[0] - moved[1]).abs().max() > 1e-2
