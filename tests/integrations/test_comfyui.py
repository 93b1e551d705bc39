"""The ComfyUI nodes against fedshow's own numbers, over a stand-in of ComfyUI's interface."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import fedshow
from fedshow.families import Base, open_base
from fedshow.families.sd1 import SD1
from fedshow.sampling.model import Model
from fedshow_server.fusion import fuse_to_folder
from integrations.comfyui.layers import WrongModel, places, text_patches, unet_patches
from integrations.comfyui.nodes import (
    FedshowNegative,
    FedshowPrompt,
    FedshowRegion,
    FedshowRegions,
    FedshowRelease,
    encoded,
)
from integrations.comfyui.packing import LayerWise
from integrations.comfyui.release import read_release
from integrations.comfyui.words import UnknownConcept
from tests.conftest import BASE
from tests.integrations.comfy_standin import BLOCKS, Clip, Patcher, Tokenizer, draw, unet_weights
from tests.stage.concepts import varied_concept

LEFT = (0.0, 0.0, 0.5, 1.0)
STEPS = 4
Loaded = tuple[Patcher, Clip]


@pytest.fixture(scope="module")
def checkpoint() -> Base:
    """The base as a checkpoint loader gives it, apart from the one that other tests use."""
    return open_base(BASE)


@pytest.fixture(scope="module")
def bare(checkpoint: Base) -> Loaded:
    """MODEL and CLIP of the base."""
    pipeline = checkpoint.pipeline
    clip = Clip({"l": pipeline.text_encoder}, Tokenizer(pipeline.tokenizer))
    return Patcher(unet_weights(pipeline.unet)), clip


@pytest.fixture(scope="module")
def loaded(bare: Loaded, release: Path) -> Loaded:
    """Both with the release."""
    model, clip, told = FedshowRelease().load(*bare, str(release), 1.0)
    assert told == "<mimi> monster\n<potter> monster"
    return model, clip


@pytest.fixture(scope="module")
def own(release: Path) -> Model:
    """The release as fedshow loads it."""
    return fedshow.load(release)


def region(clip: Clip, text: str, box: Any = (0, 0, 1, 1), **more: Any) -> Any:
    """The regions that one node, or several in a row, give."""
    settings = {"weight": 1.0, "feather": 0.0, "start": 0.0, "end": 1.0} | more
    return FedshowRegion().add(clip, text, *box, **settings)[0]


def patch_of(model: Patcher) -> LayerWise:
    (patch,) = model.model_options["transformer_options"]["patches"]["attn2_patch"]
    return patch


def off(found: Image.Image, expected: Image.Image) -> Any:
    return np.abs(np.asarray(found, np.int16) - np.asarray(expected, np.int16))


def test_slots_are_counted_as_fedshow_counts_them(bare: Loaded, checkpoint: Base) -> None:
    """Slot by slot the very same layer, although the names come in another order."""
    model, _ = bare
    weights = model.model_state_dict()
    slotted = SD1().slotted_layers(checkpoint.pipeline.unet)
    found = places(weights)
    assert [place[:2] for place in found] == list(BLOCKS)
    for (layer, slot), begin in zip(slotted, found.values(), strict=True):
        assert weights[f"{begin}attn2.to_k.weight"] is layer.to_k.weight, slot


def test_slots_of_a_stable_diffusion_checkpoint() -> None:
    """Its published layout: 16 cross-attentions; as text, block 10 would come before block 3."""
    blocks = [f"input_blocks.{k}.1" for k in (1, 2, 4, 5, 7, 8)] + ["middle_block.1"]
    blocks += [f"output_blocks.{k}.1" for k in range(3, 12)]
    begins = [f"diffusion_model.{block}.transformer_blocks.0." for block in blocks]
    names = ("attn1.to_q", "attn2.to_q", "attn2.to_k", "ff.net.2")
    keys = sorted(f"{begin}{name}.weight" for begin in begins for name in names)
    found = places([*keys, "diffusion_model.input_blocks.0.0.weight"])
    assert list(found.values()) == begins
    expected = [("input", k, 0) for k in (1, 2, 4, 5, 7, 8)] + [("middle", 0, 0)]
    assert list(found) == expected + [("output", k, 0) for k in range(3, 12)]


def test_several_transformers_of_a_block_are_counted_one_after_the_other() -> None:
    block = "diffusion_model.{}.1.transformer_blocks.{}.attn2.to_q.weight".format
    keys = [block("output_blocks.0", k) for k in range(11)] + [block("middle_block", 1)]
    expected = [("middle", 0, 1), *(("output", 0, k) for k in range(11))]
    assert list(places(sorted(keys))) == expected


def test_the_fused_update_lands_where_fedshow_merges_it(
    loaded: Loaded, own: Model, checkpoint: Base
) -> None:
    model, clip = loaded
    before = {name: layer.weight.clone() for name, layer in checkpoint.layers.items()}
    with model.patched(), clip.patcher.patched():
        for name, layer in checkpoint.layers.items():
            expected = own.base.layers[name].weight
            torch.testing.assert_close(layer.weight, expected, atol=1e-3, rtol=1e-3)
            assert (layer.weight - before[name]).abs().max() > 1e-2, name
    for name, layer in checkpoint.layers.items():
        assert torch.equal(layer.weight, before[name]), "and goes away again"


def test_a_layer_as_one_matrix_is_the_same_patch(bare: Loaded, release: Path) -> None:
    update = read_release(release).update
    layers = [key.removesuffix(".lora_A.weight") for key in update if "lora_A" in key]
    dense = {
        f"{x}.delta": update[f"{x}.lora_B.weight"].float() @ update[f"{x}.lora_A.weight"].float()
        for x in layers
    }
    for make, weights in (
        (unet_patches, bare[0].model_state_dict()),
        (text_patches, bare[1].cond_stage_model.state_dict()),
    ):
        low_rank, whole = make(update, weights), make(dense, weights)
        assert low_rank.keys() == whole.keys()
        for key, (_, (delta,)) in whole.items():
            torch.testing.assert_close(low_rank[key][1][0].float(), delta, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("gone", ["down_blocks.0", "mid_block", "up_blocks.0.attentions.1"])
def test_a_block_that_no_adapter_changes_moves_no_other(
    bare: Loaded, release: Path, gone: str
) -> None:
    update, weights = read_release(release).update, bare[0].model_state_dict()
    part = {key: x for key, x in update.items() if not key.startswith(f"unet.{gone}.")}
    whole, found = unet_patches(update, weights), unet_patches(part, weights)
    assert 0 < len(found) < len(whole)
    for key, (_, (delta,)) in found.items():
        assert torch.equal(delta, whole[key][1][0])


def test_a_release_of_words_alone_is_loaded(bare: Loaded, checkpoint: Base, tmp_path: Path) -> None:
    file = tmp_path / "potter.safetensors"
    varied_concept(file, checkpoint.card, adapters=False)
    fuse_to_folder(BASE, [file], tmp_path / "release", method="average")
    model, clip, told = FedshowRelease().load(*bare, str(tmp_path / "release"), 1.0)
    assert (model.patches, clip.patcher.patches, told) == ({}, {}, "<potter> monster")
    assert len(patch_of(model).slots) == checkpoint.card.slots


def test_another_checkpoint_is_refused(bare: Loaded, release: Path) -> None:
    update = read_release(release).update
    weights = bare[0].model_state_dict()
    fewer = {key: x for key, x in weights.items() if "middle" not in key}
    with pytest.raises(WrongModel, match=r"middle_block\.1\.transformer_blocks.* is not there"):
        unet_patches(update, fewer)
    with pytest.raises(WrongModel, match="no U-Net as Stable Diffusion's"):
        unet_patches(update, {key: x for key, x in weights.items() if ".op." not in key})
    wider = {key: torch.zeros(*x.shape, 2) for key, x in weights.items()}
    with pytest.raises(WrongModel, match="load the checkpoint that the release was made for"):
        unet_patches(update, wider)


@pytest.mark.parametrize(
    "prompt",
    [
        "a <potter> next to a <mimi>, on the beach",
        "<Potter>, <mimi1> ~ robot",
        "<potter>'s red robot",
        "a red robot",
        "",
    ],
)
def test_every_layer_reads_what_fedshow_gives_it(loaded: Loaded, own: Model, prompt: str) -> None:
    model, clip = loaded
    layers, (features, plain, _) = patch_of(model), encoded(clip, prompt)
    expected = own.encode([prompt]).unflatten(1, (len(layers.slots), -1))
    assert plain.shape == expected[:, 0].shape
    for (part, number, index), slot in layers.slots.items():
        told = {"block": (part, number), "block_index": index}
        _, keys, values = layers(features, features, features, told)
        torch.testing.assert_close(keys, expected[:, slot], atol=5e-3, rtol=5e-3)
        assert values is keys


def test_the_words_stay_with_clones_and_ordinary_nodes(loaded: Loaded, release: Path) -> None:
    """A node that encodes text by itself gets mean vectors, as plain pipelines do."""
    clip = loaded[1].clone()
    rows = read_release(release).rows["l"]
    (chunk,) = clip.tokenize("a <potter> here")["l"]
    vectors = [token for token, _ in chunk if isinstance(token, Tensor)]
    for vector, word in zip(vectors, ("<potter1>", "<potter2>"), strict=True):
        torch.testing.assert_close(vector, rows[word].mean(0))
    assert clip.tokenizer.end == clip.encoders["l"].config.eos_token_id, "the inner one's"


def test_controlnets_read_one_vector_per_word(loaded: Loaded) -> None:
    """They have no slots: ComfyUI hands them what stands beside the conditioning, if anything does."""
    model, clip = loaded
    (positive,) = FedshowPrompt().encode(clip, "a <potter>")
    plain = clip.encode_from_tokens(clip.tokenize("a <potter>"))
    regional = FedshowRegions().apply(
        model, positive, positive, region(clip, "a <mimi>"), "average"
    )
    for _, extras in (positive[0], regional[1][0], regional[2][0]):
        assert torch.equal(extras["cross_attn_controlnet"], plain)


def test_emphasis_counts_for_concepts_too(loaded: Loaded) -> None:
    _, clip = loaded
    (chunk,) = clip.tokenize("a (red <mimi>:1.5) ~ here")["l"]
    weights = [weight for token, weight in chunk if isinstance(token, Tensor)]
    assert weights == [1.5, 1.5]
    loud, plain = (encoded(clip, text)[0] for text in ("a (<mimi>:1.5)", "a <mimi>"))
    assert (loud - plain).abs().max() > 0.1


def test_prompts_that_cannot_be_meant_are_refused(loaded: Loaded, bare: Loaded) -> None:
    _, clip = loaded
    with pytest.raises(UnknownConcept, match=r"<nobody> is not .* \(it has <mimi>, <potter>\)"):
        FedshowPrompt().encode(clip, "a <nobody>")
    with pytest.raises(ValueError, match="leave one of them out"):
        FedshowPrompt().encode(clip, "a <mimi> ~^|`$%@#")
    with pytest.raises(ValueError, match="knows no concepts"):
        FedshowPrompt().encode(bare[1], "a robot")
    with pytest.raises(ValueError, match="without a prompt"):
        region(clip, " ")
    (conditioning,) = FedshowPrompt().encode(clip, "a robot")
    with pytest.raises(ValueError, match="has no release"):
        FedshowRegions().apply(bare[0], conditioning, conditioning, (), "average")


def drawings(clip: Clip) -> Iterator[tuple[str, dict[str, Any], Any, str]]:
    """Name, fedshow's recipe, the same as regions of nodes, their overlap."""
    box, soft = (0.0, 0.1, 0.6, 1.0), (0.3, 0.0, 1.0, 0.7)
    one, two = "a <potter>", "a red <mimi>"
    yield (
        "average",
        {"regions": [fedshow.Region(box=LEFT, prompt=one), fedshow.Region(box=soft, prompt=two)]},
        region(clip, two, soft, regions=region(clip, one, LEFT)),
        "average",
    )
    settings = {"weight": 0.7, "feather": 0.3}
    times = {"start": 0.25, "end": 0.75}
    yield (
        "priority, soft, times, own negative",
        {
            "regions": [
                fedshow.Region(box=box, prompt=one, negative="a blue <mimi>", **settings),
                fedshow.Region(box=soft, prompt=two, **times),
            ],
            "overlap": "priority",
        },
        region(
            clip,
            two,
            soft,
            regions=region(clip, one, box, negative="a blue <mimi>", **settings),
            **times,
        ),
        "priority",
    )
    pixels = np.zeros((32, 32), np.uint8)
    pixels[4:20, 9:31], pixels[20:28, 3:9] = 255, 130
    yield (
        "mask",
        {"regions": [fedshow.Region(mask=Image.fromarray(pixels), prompt=one)]},
        region(clip, one, mask=torch.from_numpy(pixels / 255.0).float()[None]),
        "average",
    )


@pytest.mark.parametrize("number", range(3))
def test_draws_what_fedshow_draws_with_regions(
    loaded: Loaded, own: Model, checkpoint: Base, number: int
) -> None:
    model, clip = loaded
    name, recipe, regions, overlap = list(drawings(clip))[number]
    prompt, negative = "a <mimi> on the beach", "a blue robot"
    conditions = [FedshowPrompt().encode(clip, text)[0] for text in (prompt, negative)]
    regional = FedshowRegions().apply(model, *conditions, regions, overlap)
    found = draw(checkpoint, *regional, seed=3, steps=STEPS)
    expected = own(prompt, negative=negative, seed=3, steps=STEPS, **recipe).images[0]
    plain = own(prompt, negative=negative, seed=3, steps=STEPS).images[0]
    assert off(found, expected).mean() < 0.5, name
    assert off(found, plain).mean() > 3, name


def test_draws_what_fedshow_draws_without_regions(
    loaded: Loaded, own: Model, checkpoint: Base
) -> None:
    """Also with a negative of an ordinary node, whose length is another."""
    model, clip = loaded
    (positive,) = FedshowPrompt().encode(clip, "a <potter> and a <mimi>")
    (layered,) = FedshowPrompt().encode(clip, "a blue robot")
    ordinary = [[clip.encode_from_tokens(clip.tokenize("a blue robot")), {}]]
    expected = own("a <potter> and a <mimi>", negative="a blue robot", seed=3, steps=STEPS)
    for negative in (layered, ordinary):
        found = draw(checkpoint, model, positive, negative, seed=3, steps=STEPS)
        assert off(found, expected.images[0]).mean() < 0.5


def test_strength_zero_leaves_the_base_with_the_words(
    bare: Loaded, release: Path, own: Model, checkpoint: Base
) -> None:
    model, clip, _ = FedshowRelease().load(*bare, str(release), 0.0)
    (positive,), (negative,) = (
        FedshowPrompt().encode(clip, "a <potter>"),
        FedshowNegative().encode(clip),
    )
    assert torch.equal(negative[0][0], FedshowPrompt().encode(clip, "")[0][0][0]), "no zeros in 1.x"
    found = draw(checkpoint, model, positive, negative, seed=3, steps=STEPS)
    expected = own("a <potter>", seed=3, steps=STEPS, scale=0.0).images[0]
    assert off(found, expected).mean() < 1


def test_a_long_prompt_and_a_short_one_share_a_batch(loaded: Loaded, checkpoint: Base) -> None:
    """Repeated to the length of the other, a condition says the same; region prompts likewise."""
    model, clip = loaded
    long, short = (FedshowPrompt().encode(clip, text)[0] for text in ("red " * 40 + "<mimi>", "a"))
    assert long[0][0].shape[1] == 2 * short[0][0].shape[1]
    repeated = [[short[0][0].repeat(1, 2, 1), {}]]
    pictures = [
        draw(checkpoint, model, long, negative, seed=1, steps=2) for negative in (short, repeated)
    ]
    assert off(*pictures).max() <= 1
    regions = region(clip, "red " * 40 + "<mimi>", LEFT)
    pictures = [
        draw(checkpoint, *FedshowRegions().apply(model, x, x, regions, "average"), seed=1, steps=2)
        for x in (short, repeated)
    ]
    assert off(*pictures).max() <= 1


def test_nodes_change_nothing_that_they_were_given(bare: Loaded, loaded: Loaded) -> None:
    for one in (bare[0], bare[1].patcher):
        assert not one.patches
        assert one.model_options == {"transformer_options": {}}
    assert isinstance(bare[1].tokenizer, Tokenizer)
    model, clip = loaded
    (conditioning,) = FedshowPrompt().encode(clip, "a robot")
    before = conditioning[0][0].clone()
    FedshowRegions().apply(model, conditioning, conditioning, region(clip, "a"), "average")
    assert "patches_replace" not in model.model_options["transformer_options"]
    assert torch.equal(conditioning[0][0], before)
