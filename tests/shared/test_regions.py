"""Regional cross-attention against a slow reference, at every grid size."""

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from fedshow.errors import InvalidInput
from fedshow.families import Base
from fedshow.sampling.model import Model
from fedshow.sampling.regions import Region, RegionalAttention, RegionPlan, weights

fraction = st.floats(0, 1, allow_nan=False)


@given(
    st.lists(st.tuples(fraction, fraction, fraction, fraction), min_size=1, max_size=4),
    st.integers(1, 17),
    st.integers(1, 17),
)
def test_every_position_is_fully_shared_and_no_box_is_empty(
    corners: list[tuple[float, float, float, float]], height: int, width: int
) -> None:
    boxes = [
        (min(a, c), min(b, d), max(a, c), max(b, d)) for a, b, c, d in corners if a != c and b != d
    ]
    assume(boxes)
    share = weights(boxes, height, width)
    torch.testing.assert_close(share.sum(0), torch.ones(height * width))
    assert (share[1:].sum(1) > 0).all()


def test_halves_split_down_the_middle() -> None:
    share = weights([(0, 0, 0.5, 1), (0.5, 0, 1, 1)], 2, 4).unflatten(1, (2, 4))
    assert share[0].sum() == 0
    assert share[1].tolist() == [[1, 1, 0, 0]] * 2
    assert share[2].tolist() == [[0, 0, 1, 1]] * 2


def test_overlap_is_averaged() -> None:
    share = weights([(0, 0, 1, 1), (0, 0, 0.5, 1)], 1, 2)
    assert share[1].tolist() == [0.5, 1]
    assert share[2].tolist() == [0.5, 0]


def test_equals_the_paper_written_slowly(base: Base) -> None:
    """Every query alone, its output averaged over the prompts of the regions it lies in."""
    attn = base.family.slotted_layers(base.pipeline.unet)[0][0]
    generator = torch.Generator().manual_seed(0)
    queries = torch.randn(2, 64, attn.to_q.in_features, generator=generator)
    context = torch.randn(2, 3 * 5, attn.to_k.in_features, generator=generator)
    boxes = [(0.0, 0.0, 0.6, 1.0), (0.4, 0.25, 1.0, 1.0)]
    plan = RegionPlan([Region(box, "") for box in boxes], (8, 8))
    with torch.no_grad():
        found = RegionalAttention(attn.processor, plan)(attn, queries, context)
        for position in range(64):
            y, x = (position // 8 + 0.5) / 8, (position % 8 + 0.5) / 8
            inside = [
                1 + i
                for i, (left, top, right, bottom) in enumerate(boxes)
                if left <= x < right and top <= y < bottom
            ] or [0]
            alone = [
                attn.processor(attn, queries[:, [position]], context[:, 5 * i : 5 * i + 5])
                for i in inside
            ]
            torch.testing.assert_close(
                found[:, [position]], torch.stack(alone).mean(0), atol=1e-5, rtol=1e-4
            )


def test_regions_that_say_the_same_as_the_prompt_change_nothing(base: Base) -> None:
    model = Model(base)
    prompt = "a red robot on the beach"
    plain = model(prompt, steps=3).images[0]
    regional = model(prompt, steps=3, regions=[Region((0, 0, 0.5, 1), prompt)]).images[0]
    model.restore()
    difference = [abs(a - b) for a, b in zip(plain.tobytes(), regional.tobytes(), strict=True)]
    assert max(difference) <= 1


def test_processors_are_put_back(base: Base) -> None:
    model = Model(base)
    before = [type(module.processor) for module, _ in model.cross_attention]
    model("a robot", steps=1, regions=[Region((0, 0, 0.5, 1), "a bunny")])
    assert [type(module.processor) for module, _ in model.cross_attention] == before
    model.restore()


@pytest.mark.parametrize(
    "spec",
    [
        "",
        "0,0,1: robot",
        "0,0,1,1",
        "0,0,1,1:",
        "a,b,c,d: x",
        "0.5,0,0.5,1: x",
        "0,0,2,1: x",
        "nan,0,1,1: x",
    ],
)
def test_bad_regions_are_refused(spec: str) -> None:
    with pytest.raises(InvalidInput, match="region"):
        Region.parse(spec)


def test_region_is_parsed() -> None:
    assert Region.parse("0, .1,.5,1: a robot: happy") == Region((0, 0.1, 0.5, 1), "a robot: happy")


def test_region_counts_from_its_start_on() -> None:
    plan = RegionPlan([Region((0, 0, 0.5, 1), "", start=0.5), Region((0.5, 0, 1, 1), "")], (2, 2))
    queries = torch.zeros(1, 4, 8, dtype=torch.bfloat16)
    early = {context: share.tolist() for context, share in plan.shares(queries)}
    assert early == {0: [1, 0, 1, 0], 2: [0, 1, 0, 1]}
    plan.progress = 0.5
    late = {context: share.tolist() for context, share in plan.shares(queries)}
    assert late == {1: [1, 0, 1, 0], 2: [0, 1, 0, 1]}, "the background is nowhere"
    kept = [share for _, share in plan.shares(queries)]
    assert all(a is b for a, (_, b) in zip(kept, plan.shares(queries), strict=True))
    assert {share.dtype for share in kept} == {torch.bfloat16}
    assert {share.dtype for _, share in plan.shares(queries.float())} == {torch.float32}


def test_progress_follows_the_steps(base: Base) -> None:
    """A region that starts late changes the picture, but less than one that starts at once."""
    model = Model(base)
    late, early = (Region((0, 0, 0.5, 1), "a blue bunny", start=start) for start in (0.75, 0.0))
    pictures = [
        model("a red robot", steps=4, regions=regions).images[0].tobytes()
        for regions in ([], [late], [early])
    ]
    model.restore()
    plain, second, third = pictures

    def distance(other: bytes) -> int:
        return sum(abs(a - b) for a, b in zip(plain, other, strict=True))

    assert 0 < distance(second) < distance(third)
