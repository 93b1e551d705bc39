"""What every family promises, on members with all layers of the true ones."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fedshow.edlora.conditioning import pack
from fedshow.families import Base, open_base
from fedshow.families.encoded import Encoded
from fedshow.families.telling import FAMILIES, family_at
from fedshow.sampling import stock
from fedshow.sampling.model import Model
from tests.stage.bases import MAKERS

PROMPTS = ["a red robot on the beach", "a cat"]
COUNTS = {"sd1": (16, 16), "sdxl": (70, 11), "sd3": (0, 1)}
"""Cross-attention layers and slots, which the true bases have."""


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def latents(base: Base, count: int) -> Tensor:
    edge = base.sample_pixels // base.factor
    return noise(count, base.denoiser.config.in_channels, edge, edge)


def at(step: int = 500) -> Tensor:
    return torch.tensor(step)


@contextmanager
def heard(layers: dict[str, nn.Linear]) -> Iterator[dict[str, list[Tensor]]]:
    """What each layer reads within the block."""
    found: dict[str, list[Tensor]] = {name: [] for name in layers}
    handles = [
        layer.register_forward_pre_hook(lambda _, args, own=found[name]: own.append(args[0]))
        for name, layer in layers.items()
    ]
    yield found
    for handle in handles:
        handle.remove()


def test_every_family_has_a_member_here() -> None:
    assert set(MAKERS) == set(FAMILIES)


def test_a_folder_tells_its_family(folders: dict[str, Path], members: dict[str, Base]) -> None:
    for name, folder in folders.items():
        assert family_at(folder).name == members[name].family.name == name


def test_as_many_layers_and_slots_as_the_true_bases(member: Base) -> None:
    layers = member.family.slotted_layers(member.denoiser)
    assert (len(layers), member.card.slots) == COUNTS[member.family.name]
    slots = [slot for _, slot in layers]
    assert slots == sorted(slots), "in execution order"
    assert set(slots) == (set(range(member.card.slots)) if layers else set())


def test_opened_again_it_is_the_same_base(member: Base) -> None:
    again = open_base(member.folder)
    assert again.card == member.card
    assert type(member.card).model_validate_json(member.card.model_dump_json()) == member.card


def test_layers_of_one_input_read_the_same_and_no_others_do(member: Base, model: Model) -> None:
    """Names of inputs are what fusion shares its statistics by."""
    with torch.no_grad(), heard(member.layers) as found:
        member.denoise(latents(member, 2), at(), model.tokens.encoded(PROMPTS))
    by_input: dict[str, Tensor] = {}
    for name, inputs in found.items():
        assert inputs, f"{name} never ran"
        known = by_input.setdefault(member.family.input_of(name), inputs[0])
        assert torch.equal(known, inputs[0]), name
        assert known.shape[-1] == member.card.layers[name][0]
    encoded = [value for name, value in by_input.items() if name.endswith(".context")]
    has_slots = bool(member.family.slotted_layers(member.denoiser))
    assert len(encoded) == has_slots * member.card.slots, "text features are one input of each slot"


def test_every_slots_layers_read_its_encoding(member: Base, model: Model) -> None:
    slots, plain = member.card.slots, model.tokens.encoded(PROMPTS[:1])
    marked = torch.arange(slots).float()[None, :, None, None].expand_as(plain.features)
    seen: list[float] = []
    layers = member.family.slotted_layers(member.denoiser)
    handles = [
        module.to_k.register_forward_pre_hook(lambda _, args: seen.append(args[0].mean().item()))
        for module, _ in layers
    ]
    with torch.no_grad():
        member.denoise(latents(member, 1), at(), Encoded(marked, plain.pooled))
        member.denoise(latents(member, 1), at(), Encoded(pack([marked]), plain.pooled))
    for handle in handles:
        handle.remove()
    expected = [float(slot) for _, slot in layers]
    assert seen == [*expected, *expected]


def test_prompts_are_encoded_as_the_stock_pipeline_does(member: Base, model: Model) -> None:
    with torch.no_grad():
        stock_features, _, *pooled = member.pipeline.encode_prompt(
            prompt=PROMPTS,
            **_NO_OTHER_PROMPTS[member.family.name],
            device="cpu",
            num_images_per_prompt=1,
            do_classifier_free_guidance=False,
        )
        found = model.tokens.encoded(PROMPTS)
    tokens, width = found.features.shape[2:]
    assert not stock_features[:, tokens:].any()
    assert not stock_features[..., width:].any()
    for slot in range(member.card.slots):
        torch.testing.assert_close(found.features[:, slot], stock_features[:, :tokens, :width])
    if found.pooled is None:
        assert not pooled
    else:
        torch.testing.assert_close(found.pooled, pooled[0])


def test_prompts_without_a_concept_are_encoded_once(
    member: Base, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows: list[int] = []
    for encoder in member.text_encoders:
        read = type(encoder).read
        monkeypatch.setattr(
            type(encoder),
            "read",
            lambda own, ids, read=read: rows.append(len(ids)) or read(own, ids),
        )
    with torch.no_grad():
        model.tokens.encoded(PROMPTS)
    assert rows[0] == len(PROMPTS)
    assert set(rows) == {len(PROMPTS)}


def test_every_encoders_words_have_a_row_for_each_slot(member: Base, model: Model) -> None:
    """Changing one row changes one slot's features, and only this encoder's part of them."""
    rows = [
        {"<potter1>": noise(member.card.slots, dim, seed=k)}
        for k, dim in enumerate(member.card.token_dims.values())
    ]
    parameters = model.tokens.add_concept("potter", *rows)
    start, last = 0, member.card.slots - 1
    for parameter, width in zip(parameters, member.card.token_dims.values(), strict=True):
        with torch.no_grad():
            before = model.tokens.encoded(["a <potter>"]).features[0]
            parameter[last].neg_()
            moved = (model.tokens.encoded(["a <potter>"]).features[0] - before).abs()
        own = moved[:, :, start : start + width]
        changed = (own.amax((1, 2)) > 1e-4).tolist()
        assert changed == [slot == last for slot in range(member.card.slots)]
        assert moved.count_nonzero() == own.count_nonzero(), "nothing of another encoder's"
        start += width


def test_gradients_reach_every_row(member: Base, model: Model) -> None:
    rows = [
        {"<potter1>": noise(member.card.slots, dim, seed=k)}
        for k, dim in enumerate(member.card.token_dims.values())
    ]
    parameters = model.tokens.add_concept("potter", *rows)
    encoded = model.tokens.encoded(["a <potter>"])
    member.denoise(latents(member, 1), at(), encoded).square().sum().backward()
    for parameter in parameters:
        assert parameter.grad is not None
        assert (parameter.grad.abs().sum(1) > 0).all()


@pytest.mark.parametrize("negative", ["", "blurred"])
def test_pictures_are_those_of_the_stock_pipeline(
    member: Base, model: Model, negative: str
) -> None:
    pixels = model(PROMPTS[0], steps=2, guidance=3.0, seed=4, negative=negative).images[0]
    pipeline = stock.sampling(member)
    edge = member.sample_pixels // member.factor
    expected = pipeline(
        PROMPTS[0],
        negative_prompt=negative or None,
        num_inference_steps=2,
        guidance_scale=3.0,
        latents=stock.noise(member, [4], (edge, edge)),
    ).images[0]
    assert _apart(pixels, expected) <= 1


def test_an_image_can_be_begun_with(member: Base, model: Model) -> None:
    first = model(PROMPTS[0], steps=2).images[0]
    again = model(PROMPTS[0], steps=2, image=first, strength=0.5).images[0]
    assert again.size == first.size
    assert _apart(first, again) > 0


def test_the_denoiser_is_told_in_tuning_what_it_is_told_in_drawing(
    member: Base, model: Model
) -> None:
    told: list[dict[str, Any]] = []
    handle = member.denoiser.register_forward_pre_hook(
        lambda _, __, kwargs: told.append(copy.copy(kwargs)), with_kwargs=True
    )
    model.sample_latents(PROMPTS[:1], seed=0, steps=1)
    with torch.no_grad():
        member.denoise(latents(member, 1), at(), model.tokens.encoded(PROMPTS[:1]))
    handle.remove()
    drawn, tuned = (_tensors_beside_text(each) for each in told)
    assert drawn.keys() == tuned.keys()
    for key, value in tuned.items():
        torch.testing.assert_close(drawn[key][1:], value)


_NO_OTHER_PROMPTS: dict[str, dict[str, None]] = {
    "sd1": {},
    "sdxl": {},
    "sd3": {"prompt_2": None, "prompt_3": None},
}


def _tensors_beside_text(told: dict[str, Any]) -> dict[str, Tensor]:
    flat = told | (told.get("added_cond_kwargs") or {})
    return {
        key: flat[key] for key in ("text_embeds", "time_ids", "pooled_projections") if key in flat
    }


def _apart(one: Any, other: Any) -> int:
    return max(abs(a - b) for a, b in zip(one.tobytes(), other.tobytes(), strict=True))
