"""Fusion on the real embedded base: recording, single concepts, order, releases."""

import dataclasses
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from fedshow.errors import BaseMismatch, Damaged, InvalidInput
from fedshow.families import Base
from fedshow.families.locating import locate
from fedshow.releases import verify_release
from fedshow.releases.loading import load_release
from fedshow.sampling.model import Model
from fedshow_server.fusion.fuse import Fused, fuse, layer_inputs, layer_parts, record_all
from fedshow_server.fusion.layer import residuals
from fedshow_server.fusion.offline import as_adapters, fuse_to_folder
from fedshow_server.fusion.recording import Plan, record
from fedshow_server.fusion.rules import FUSIONS
from fedshow_server.fusion.rules.gradient import gradient_fusion, solutions, unseen_error
from fedshow_server.unfusable import UnfusableConcept
from tests.conftest import BASE, MakeConcept

QUICK = Plan(fit_seeds=(0,), heldout_seeds=(1,), steps=2)


@pytest.fixture(scope="module")
def fused_pair(opened_base: Base, make_concept: MakeConcept) -> Fused:
    return fuse(opened_base, [make_concept("potter", 1), make_concept("mimi", 2)], plan=QUICK)


def test_moments_are_those_of_the_layers_inputs(base: Base) -> None:
    """One layer's recorded moment equals the one computed from inputs caught by hand."""
    model = Model(base)
    caught: list[torch.Tensor] = []
    layer = "unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_out.0"
    spy = base.layers[layer].register_forward_pre_hook(lambda _, args: caught.append(args[0]))
    moments = record(model, ["a robot", "a bunny"], seeds=[3], steps=2)
    spy.remove()
    model.restore()
    prompted = torch.cat([x[len(x) // 2 :].flatten(0, 1) for x in caught]).double()
    expected = prompted.T @ prompted / len(prompted)
    torch.testing.assert_close(moments.mean(base.family.input_of(layer)), expected)
    assert len(moments.sums) == len({base.family.input_of(name) for name in base.layers})


def test_recording_leaves_the_base_alone(base: Base, fused_pair: Fused) -> None:
    """The `base` fixture fails when a hook stays; weights must be untouched as well."""
    from fedshow.families.opening import open_base

    assert open_base(BASE).card.sha256 == base.card.sha256
    assert set(fused_pair.updates) == set(base.card.layers)


def test_one_concept_fused_alone_behaves_as_its_own_model(
    base: Base, make_concept: MakeConcept
) -> None:
    """Its recorded outputs are met to the solver's tolerance; as shipped, the guard takes a little."""
    concept = make_concept("potter", 1)
    recordings = record_all(base, [concept], QUICK, lambda _: None)
    shipped = []
    for layer, parts in layer_parts([concept], {}).items():
        inputs = layer_inputs(base.family.input_of(layer), recordings)
        (exact,) = solutions(parts, inputs, ridges=[1e-10], guards=[0.0], targets=[0.0])
        errors, signals = residuals(parts, exact.down_NI, inputs.fit)
        assert errors[0] < 1e-6 * signals[0], layer
        errors, signals = residuals(parts, gradient_fusion(parts, inputs).down_NI, inputs.heldout)
        shipped.append(errors[0] / signals[0])
    assert sum(shipped) / len(shipped) < 0.3


def test_concept_that_draws_no_numbers_is_named(base: Base, make_concept: MakeConcept) -> None:
    """As if it had passed the limits: its numbers overflow inside the U-Net."""
    potter, poison = make_concept("potter", 1), make_concept("voldemort", 2)
    tensors = poison.tensors()
    huge = {key: x * (1e20 if "lora_B" in key else 1.0) for key, x in tensors.items()}
    blob = save(huge, metadata={"fedshow": poison.header.dump()})
    overflowing = dataclasses.replace(poison, blob=blob)
    with pytest.raises(UnfusableConcept, match="'voldemort': drawing with it") as caught:
        fuse(base, [potter, overflowing], plan=QUICK)
    assert caught.value.name == "voldemort"


def test_order_of_files_does_not_matter(
    base: Base, make_concept: MakeConcept, fused_pair: Fused
) -> None:
    turned = fuse(base, [make_concept("mimi", 2), make_concept("potter", 1)], plan=QUICK)
    for layer, update in fused_pair.updates.items():
        assert torch.equal(update.down_NI, turned.updates[layer].down_NI)


def test_gradient_meets_both_concepts_better_than_averaging(
    base: Base, make_concept: MakeConcept
) -> None:
    concepts = [make_concept("mimi", 2), make_concept("potter", 1)]
    recordings = record_all(base, concepts, QUICK, lambda _: None)
    errors: dict[str, list[float]] = {"gradient": [], "average": []}
    for layer, parts in layer_parts(concepts, {}).items():
        inputs = layer_inputs(base.family.input_of(layer), recordings)
        for method, found in errors.items():
            found.append(unseen_error(parts, inputs, FUSIONS[method](parts, inputs).down_NI))
        assert errors["gradient"][-1] <= errors["average"][-1] * 1.001, layer
    assert sum(errors["gradient"]) < 0.95 * sum(errors["average"])


def test_lora_form_equals_the_update(fused_pair: Fused) -> None:
    for layer, adapter in as_adapters(fused_pair.updates).items():
        update = fused_pair.updates[layer]
        exact = update.up_ON @ update.down_NI
        found = (adapter.up_OR.half().double() @ adapter.down_RI.half().double()).detach()
        torch.testing.assert_close(found, exact, rtol=5e-3, atol=1e-3 * float(exact.abs().max()))


@pytest.fixture(scope="module")
def release(make_concept: MakeConcept, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("release")
    files = []
    for seed, name in enumerate(("potter", "mimi"), start=1):
        files.append(folder / f"{name}.safetensors")
        make_concept(name, seed).save(files[-1])
    fuse_to_folder(BASE, files, folder / "out", method="average")
    return folder / "out"


def test_release_is_complete_and_verifies(release: Path) -> None:
    manifest = verify_release(release)
    assert [member.name for member in manifest.concepts] == ["mimi", "potter"]
    names = {"model_index.json", "pipeline.py", "concepts.json", "fused.safetensors"}
    assert names | {"report.json", "README.md"} <= set(manifest.files)


@pytest.mark.parametrize("damage", ["flip", "cut", "remove", "add"])
def test_any_damage_is_found(release: Path, tmp_path: Path, damage: str) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(release, copy)
    victim = copy / "unet" / "diffusion_pytorch_model.safetensors"
    content = bytearray(victim.read_bytes())
    if damage == "flip":
        content[-1] ^= 1
    victim.write_bytes(content[:-1] if damage == "cut" else content)
    if damage == "remove":
        victim.unlink()
    if damage == "add":
        (copy / "unet" / "extra.bin").write_bytes(b"x")
    with pytest.raises(Damaged, match="unet/"):
        verify_release(copy)


def test_merged_release_draws_what_base_and_adapter_draw(
    release: Path, base: Base, make_concept: MakeConcept
) -> None:
    """Dense form (weights in the folder) against LoRA form (hooks on the base), same seed."""
    concepts = [make_concept("potter", 1), make_concept("mimi", 2)]
    updates = fuse(base, concepts, method="average").updates
    model = Model(base)
    for concept in concepts:
        tensors = concept.tensors()
        rows = {word: tensors[f"tokens.{word}"] for word in concept.header.words}
        model.tokens.add_concept(concept.header.name, rows)
    model.add_adapters(as_adapters(updates))
    prompts = ["a <potter> on the beach", "a <mimi>"]
    expected = torch.cat([model.sample_latents(prompts, seed=5, steps=4)])
    model.restore()
    found = load_release(release).sample_latents(prompts, seed=5, steps=4)
    torch.testing.assert_close(found, expected, atol=0.05, rtol=0.05)


def test_stock_diffusers_loads_the_release(release: Path) -> None:
    """Plain pipelines get one mean vector per word; the folder's own pipeline.py gets every slot."""
    from diffusers import DiffusionPipeline, StableDiffusionPipeline

    plain = StableDiffusionPipeline.from_pretrained(str(release))
    plain.set_progress_bar_config(disable=True)
    generator = torch.Generator().manual_seed(0)
    image = plain("a <potter1> <potter2>", num_inference_steps=1, generator=generator).images[0]
    assert image.size == (32, 32)

    own = DiffusionPipeline.from_pretrained(
        str(release), custom_pipeline=str(release), trust_remote_code=True
    )
    packed, _ = own.encode_prompt("a <potter> on the beach", "cpu", 1, False)
    model = load_release(release)
    expected = model.encode(["a <potter> on the beach"])
    torch.testing.assert_close(packed, expected, atol=2e-3, rtol=2e-3)


def test_scale_zero_takes_the_fused_update_out_again(release: Path, base: Base) -> None:
    fused = load_release(release)
    loud = fused("a red robot", steps=3, scale=4).images[0]
    quiet = fused("a red robot", steps=3, scale=0).images[0]
    bare = Model(base)
    expected = bare("a red robot", steps=3).images[0]
    bare.restore()
    off = [abs(a - b) for a, b in zip(quiet.tobytes(), expected.tobytes(), strict=True)]
    on = [abs(a - b) for a, b in zip(loud.tobytes(), expected.tobytes(), strict=True)]
    assert max(off) <= 8, "halves round"
    assert sum(on) > 10 * sum(off)


def test_bad_input_is_refused_before_anything_is_computed(
    make_concept: MakeConcept, tmp_path: Path, base: Base
) -> None:
    concept = make_concept("potter", 1)
    with pytest.raises(InvalidInput, match="at least one"):
        fuse(base, [])
    with pytest.raises(InvalidInput, match="named 'potter'"):
        fuse(base, [concept, make_concept("potter", 2)])
    with pytest.raises(InvalidInput, match="'magic'"):
        fuse(base, [concept], method="magic")
    with pytest.raises(InvalidInput, match="weight for 'mimi'"):
        fuse(base, [concept], weights={"mimi": 2.0})
    with pytest.raises(InvalidInput, match=r"weight -1\.0"):
        fuse(base, [concept], weights={"potter": -1.0})
    occupied = tmp_path / "occupied"
    occupied.mkdir()
    (occupied / "mine.txt").write_text("keep me")
    concept.save(tmp_path / "c.safetensors")
    with pytest.raises(InvalidInput, match="not an empty folder"):
        fuse_to_folder(BASE, [tmp_path / "c.safetensors"], occupied)
    assert (occupied / "mine.txt").read_text() == "keep me"


@pytest.mark.parametrize("part", ["text_encoder/model", "unet/diffusion_pytorch_model"])
def test_damaged_base_is_named(make_concept: MakeConcept, tmp_path: Path, part: str) -> None:
    shutil.copytree(locate(BASE), tmp_path / "base")
    weights = tmp_path / "base" / f"{part}.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    make_concept("potter", 1).save(tmp_path / "c.safetensors")
    with pytest.raises(InvalidInput, match=r"base '.*/base' cannot be loaded"):
        fuse_to_folder(str(tmp_path / "base"), [tmp_path / "c.safetensors"], tmp_path / "out")


def test_concept_of_another_base_is_refused(
    make_concept: MakeConcept, tmp_path: Path, base: Base
) -> None:
    from tests.conftest import random_concept

    other = base.card.model_copy(update={"sha256": "f" * 64})
    random_concept(tmp_path / "c.safetensors", other, "stranger", 1, 2, 0.05)
    with pytest.raises(BaseMismatch, match="ffffffffffff"):
        fuse_to_folder(BASE, [tmp_path / "c.safetensors"], tmp_path / "out")
    assert not (tmp_path / "out").exists()
