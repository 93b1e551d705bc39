"""Guidance by attention mass: what it moves, and what it leaves alone."""

import pytest
import torch
from torch import Tensor

from fedshow.families import Base
from fedshow.families.encoded import Encoded
from fedshow.sampling.model import Model
from fedshow.sampling.presence import FORMING, Masses, calling, middle, missing
from fedshow.sampling.recipe import Recipe
from fedshow.sampling.regional import RegionPlan, regional
from fedshow.sampling.regions import Region

LEFT, RIGHT = (0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 1.0, 1.0)
REGIONS = (Region(box=LEFT, prompt="a <potter> here"), Region(box=RIGHT, prompt="a robot"))


@pytest.fixture
def model(base: Base, make_concept):
    opened = Model(base)
    opened.add_concept(make_concept("potter"))
    yield opened
    opened.restore()


@pytest.fixture
def plan() -> RegionPlan:
    return RegionPlan(REGIONS, (8, 8), (32, 32))


def latents(count: int = 2) -> Tensor:
    return torch.randn(count, 8, 8, 8, generator=torch.Generator().manual_seed(0))


def features(model: Model, count: int = 2) -> Tensor:
    return model.encode(["a beach"] * count, [[one.prompt] * count for one in REGIONS])


def missed(model: Model, plan: RegionPlan, now: Tensor) -> float:
    """What is missing at these latents."""
    masses = Masses([model.tokens.subjects(one.prompt) for one in REGIONS])
    layers = [layer for layer, _ in model.cross_attention]
    with torch.no_grad(), regional(layers, plan), plan.told_to(masses.hear):
        model.base.pipeline.unet(
            now, torch.tensor(900), encoder_hidden_states=features(model, len(now))
        )
    return float(missing(masses, plan))


def moved(model: Model, plan: RegionPlan, before: Tensor, presence: float = 0.5) -> Tensor:
    recipe = Recipe(prompt="a beach", regions=REGIONS, presence=presence)
    adjust = calling(model, recipe, plan, Encoded(features(model, len(before))))
    assert adjust is not None
    with torch.no_grad(), regional([layer for layer, _ in model.cross_attention], plan):
        return adjust(before, torch.tensor(900))


def test_a_step_leaves_less_missing(model: Model, plan: RegionPlan) -> None:
    before = latents()
    once = moved(model, plan, before)
    again = moved(model, plan, once)
    assert missed(model, plan, again) < missed(model, plan, once) < missed(model, plan, before)


def test_every_picture_is_moved_as_if_alone(model: Model, plan: RegionPlan) -> None:
    together = moved(model, plan, latents())
    alone = torch.cat([moved(model, plan, one[None]) for one in latents()])
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-3)
    lengths = (together - latents()).square().mean(dim=(1, 2, 3)).sqrt()
    torch.testing.assert_close(lengths, torch.full((2,), 0.5 * 0.15), atol=1e-4, rtol=1e-3)


def test_once_the_layout_has_formed_nothing_moves(model: Model, plan: RegionPlan) -> None:
    plan.progress = FORMING
    assert torch.equal(moved(model, plan, latents()), latents())


@pytest.mark.parametrize("recipe", [{"regions": REGIONS}, {"presence": 1.0}])
def test_nobody_is_called_who_is_not_asked_for(model: Model, plan: RegionPlan, recipe) -> None:
    assert calling(model, Recipe(prompt="x", **recipe), plan, features(model)) is None


def test_subjects_are_the_words_of_concepts_or_all_words(model: Model) -> None:
    tokens = model.tokens
    named = tokens.subjects("a <potter> here")
    assert named.tolist()[:6] == [False, False, True, True, False, False]
    words = tokens.subjects("a robot")
    count = len(tokens.tokenizer("a robot", add_special_tokens=False).input_ids)
    assert words.nonzero()[:, 0].tolist() == list(range(1, 1 + count))


def test_mass_is_told_as_attention_gives_it(model: Model, plan: RegionPlan) -> None:
    """Against diffusers' own attention scores, place by place."""
    attn, slot = model.cross_attention[0]
    subjects = [model.tokens.subjects(one.prompt) for one in REGIONS]
    masses = Masses(subjects)
    hidden = torch.randn(2, 64, attn.to_q.in_features)
    tokens = model.base.pipeline.tokenizer.model_max_length
    packed = features(model).reshape(2, 3, model.base.card.slots, tokens, -1)[:, :, slot]
    with torch.no_grad(), regional([attn], plan), plan.told_to(masses.hear):
        attn(hidden, encoder_hidden_states=packed.flatten(1, 2))
        for region, places, found in masses.found:
            query = attn.head_to_batch_dim(attn.to_q(hidden))
            key = attn.head_to_batch_dim(attn.to_k(packed[:, 1 + region]))
            scores = attn.get_attention_scores(query, key).unflatten(0, (2, -1)).mean(1)
            inside = plan.shares_at((8, 8))[1 + region].flatten() > 0
            expected = scores[:, inside][..., subjects[region]].sum(-1)
            assert places == 64
            torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)
    assert [region for region, _, _ in masses.found] == [0, 1]


def test_the_middle_is_the_middle() -> None:
    bell = middle(Region(box=RIGHT, prompt="x"), (4, 8))
    assert bell.argmax().item() in (1 * 8 + 5, 1 * 8 + 6, 2 * 8 + 5, 2 * 8 + 6)
    torch.testing.assert_close(bell, bell.flip(0))
    torch.testing.assert_close(bell[:, 4:], bell[:, 4:].flip(1))


def test_pictures_change_and_nothing_is_left_behind(model: Model) -> None:
    def drawn(**more: float) -> bytes:
        options = {"regions": REGIONS, "steps": 5, **more}
        return model("a beach", **options).images[0].tobytes()

    plain = drawn()
    assert drawn(presence=0.5) != plain
    assert drawn(layout=0.4) != plain
    assert drawn() == plain


def test_adapters_come_in_after_the_layout(model: Model) -> None:
    seen: list[float] = []
    adapters = model.adapters[0]
    model(
        "a <potter>", steps=4, layout=0.5, scale=0.75,
        on_step=lambda *_: seen.append(adapters.strength),
    )  # fmt: skip
    assert seen == [0, 0.75, 0.75, 0.75], "told after the step, set for the next"
    assert adapters.strength == 1
