"""The ComfyUI nodes with a release of Stable Diffusion XL, against fedshow's own numbers."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import fedshow
from fedshow.families import Base, open_base
from fedshow.sampling.model import Model
from fedshow_server.fusion import fuse_to_folder
from integrations.comfyui.layers import WrongModel, places, slots_of
from integrations.comfyui.nodes import (
    FedshowNegative,
    FedshowPrompt,
    FedshowRegion,
    FedshowRegions,
    FedshowRelease,
    encoded,
)
from integrations.comfyui.release import read_release
from integrations.comfyui.words import ConceptTokenizer
from tests.integrations.comfy_standin import (
    SDXL_BLOCKS,
    Clip,
    Patcher,
    Tokenizer,
    TwoTokenizers,
    draw,
    unet_weights,
)
from tests.stage.bases import WIDTH, make_sdxl
from tests.stage.concepts import random_concept

SLOTS, LAYERS = 11, 70
LEFT, SOFT = (0.0, 0.0, 0.5, 1.0), (0.3, 0.0, 1.0, 0.7)
DRAWN = {"seed": 3, "steps": 3}
Loaded = tuple[Patcher, Clip]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Base:
    """A small base with as many layers as the true one."""
    torch.set_num_threads(1)
    return open_base(str(make_sdxl(tmp_path_factory.mktemp("sdxl") / "base")))


@pytest.fixture(scope="module")
def xl_release(checkpoint: Base, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two concepts of noise, averaged."""
    folder = tmp_path_factory.mktemp("made")
    files = [folder / f"{name}.safetensors" for name in ("mimi", "potter")]
    for seed, file in enumerate(files):
        random_concept(file, checkpoint.card, file.stem, seed, size=0.15)
    fuse_to_folder(str(checkpoint.folder), files, folder / "release", method="average")
    return folder / "release"


@pytest.fixture(scope="module")
def own(xl_release: Path) -> Model:
    """The release as fedshow loads it."""
    return fedshow.load(xl_release)


@pytest.fixture(scope="module")
def loaded(checkpoint: Base, xl_release: Path) -> Loaded:
    """MODEL and CLIP with the release."""
    pipeline = checkpoint.pipeline
    tokenizer = TwoTokenizers(Tokenizer(pipeline.tokenizer), Tokenizer(pipeline.tokenizer_2))
    clip = Clip({"l": pipeline.text_encoder, "g": pipeline.text_encoder_2}, tokenizer)
    model = Patcher(unet_weights(pipeline.unet, SDXL_BLOCKS))
    model, clip, told = FedshowRelease().load(model, clip, str(xl_release), 1.0)
    assert told == "<mimi> monster\n<potter> monster"
    return model, clip


def patch_of(model: Patcher) -> Any:
    (patch,) = model.model_options["transformer_options"]["patches"]["attn2_patch"]
    return patch


def test_slots_are_counted_as_fedshow_counts_them(loaded: Loaded, checkpoint: Base) -> None:
    weights, found = loaded[0].model_state_dict(), patch_of(loaded[0]).slots
    begins = places(weights)
    slotted = checkpoint.family.slotted_layers(checkpoint.pipeline.unet)
    assert (len(begins), max(found.values()) + 1) == (LAYERS, SLOTS)
    for (layer, slot), (place, begin) in zip(slotted, begins.items(), strict=True):
        assert weights[f"{begin}attn2.to_k.weight"] is layer.to_k.weight
        assert found[place] == slot


def test_the_fused_update_lands_where_fedshow_merges_it(
    loaded: Loaded, own: Model, checkpoint: Base
) -> None:
    model, clip = loaded
    before = {name: layer.weight.clone() for name, layer in checkpoint.layers.items()}
    assert {name.partition(".")[0] for name in before} == {"unet", "text_encoder", "text_encoder_2"}
    with model.patched(), clip.patcher.patched():
        for name, layer in checkpoint.layers.items():
            expected = own.base.layers[name].weight
            torch.testing.assert_close(layer.weight, expected, atol=1e-3, rtol=1e-3)
            assert (layer.weight - before[name]).abs().max() > 1e-2, name


@pytest.mark.parametrize("prompt", ["a <potter> next to a <mimi>, on the beach", "a red robot"])
def test_every_layer_reads_what_fedshow_gives_it(loaded: Loaded, own: Model, prompt: str) -> None:
    """Of both encoders; and the vector of the whole prompt is that of the words' means."""
    model, clip = loaded
    layers, (features, plain, pooled) = patch_of(model), encoded(clip, prompt)
    expected = own.encoded([prompt])
    slots = expected.features.unflatten(1, (SLOTS, -1))
    assert plain.shape == slots[:, 0].shape
    for (part, number, index), slot in layers.slots.items():
        told = {"block": (part, number), "block_index": index}
        keys = layers(features, features, features, told)[1]
        torch.testing.assert_close(keys, slots[:, slot], atol=5e-3, rtol=5e-3)
    torch.testing.assert_close(pooled, expected.pooled, atol=5e-3, rtol=5e-3)
    differs = (slots[:, 0] - slots[:, 1]).abs()
    assert ("<" in prompt) == bool(differs[..., :WIDTH].max() > 0.05)
    assert ("<" in prompt) == bool(differs[..., WIDTH:].max() > 0.05)


def off(found: Any, expected: Any) -> float:
    difference = np.asarray(found, np.int16) - np.asarray(expected, np.int16)
    return float(np.abs(difference).mean())


def test_draws_what_fedshow_draws(loaded: Loaded, own: Model, checkpoint: Base) -> None:
    """With and without regions."""
    model, clip = loaded
    prompt, negative, one, two = "a <mimi> on the beach", "a blue robot", "a <potter>", "a <mimi>"
    conditions = [FedshowPrompt().encode(clip, text)[0] for text in (prompt, negative)]
    settings = {"weight": 1.0, "feather": 0.0, "start": 0.0, "end": 1.0}
    (regions,) = FedshowRegion().add(clip, one, *LEFT, **settings)
    (regions,) = FedshowRegion().add(clip, two, *SOFT, **settings, regions=regions)
    regional = FedshowRegions().apply(model, *conditions, regions, "average")
    theirs = [fedshow.Region(box=LEFT, prompt=one), fedshow.Region(box=SOFT, prompt=two)]
    told = {"negative": negative, "guidance": 3.0, **DRAWN}
    expected = [own(prompt, regions=some, **told).images[0] for some in ([], theirs)]
    found = [
        draw(checkpoint, *parts, blocks=SDXL_BLOCKS, **DRAWN)
        for parts in ((model, *conditions), regional)
    ]
    assert off(found[0], expected[0]) < 0.1
    assert off(found[1], expected[1]) < 0.1
    assert off(*expected) > 0.5, "and regions show, as far as a base of noise shows them"


def test_nothing_not_to_draw_is_what_it_is_in_fedshow(
    loaded: Loaded, own: Model, checkpoint: Base
) -> None:
    """Zeros, also for what is pooled and for ControlNets; of a text what a prompt's are."""
    model, clip = loaded
    (negative,) = FedshowNegative().encode(clip)
    ((features, extras),) = negative
    zeros = own.encoded_negative([""])
    assert features.shape[1:] == zeros.features.shape[1:]
    assert not any(tensor.any() for tensor in (features, zeros.features, *extras.values()))
    (positive,) = FedshowPrompt().encode(clip, "a <mimi>")
    found = draw(checkpoint, model, positive, negative, blocks=SDXL_BLOCKS, **DRAWN)
    expected = own("a <mimi>", guidance=3.0, **DRAWN).images[0]
    assert off(found, expected) < 0.1
    (encoded_empty,) = FedshowPrompt().encode(clip, "")
    other = draw(checkpoint, model, positive, encoded_empty, blocks=SDXL_BLOCKS, **DRAWN)
    assert off(other, expected) > 0.1, "an empty text of its own is another picture"
    texts = [node().encode(clip, "a robot")[0][0] for node in (FedshowNegative, FedshowPrompt)]
    assert torch.equal(texts[0][0], texts[1][0])


def test_checkpoints_of_another_family_are_refused(loaded: Loaded, xl_release: Path) -> None:
    rows = read_release(xl_release).rows
    assert rows.keys() == {"l", "g"}
    inner = loaded[1].tokenizer.inner
    with pytest.raises(ValueError, match="text encoders g, l: this release knows l"):
        ConceptTokenizer(inner, {}, {"l": rows["l"]})
    with pytest.raises(WrongModel, match=r"the model has 11 transformers, .* 16 vectors"):
        slots_of(places(loaded[0].model_state_dict()), 16)


def test_emphasis_and_long_prompts_count_in_both_encoders(loaded: Loaded) -> None:
    _, clip = loaded

    def differ(one: Tensor, other: Tensor) -> list[bool]:
        parts = [(one - other).abs()[..., half] for half in (slice(WIDTH), slice(WIDTH, None))]
        return [bool(part.max() > 0.1) for part in parts]

    loud, plain = (encoded(clip, text)[0] for text in ("a (<mimi>:1.5)", "a <mimi>"))
    assert differ(loud, plain) == [True, True]
    long = encoded(clip, "red " * 80 + "<mimi>")[0]
    assert long.shape[1] == 2 * plain.shape[1]
