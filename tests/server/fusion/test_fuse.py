"""Fusion on the real embedded base: recording, single concepts, order, releases."""

import dataclasses
import shutil
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save

from fedshow.errors import BaseMismatch, Damaged, InvalidInput
from fedshow.families import Base
from fedshow.families.locating import locate
from fedshow.releases import verify_release
from fedshow.releases.loading import load_release
from fedshow.releases.updates import as_adapters, deltas
from fedshow.sampling.model import Model
from fedshow_server.fusion import offline, recording, workers
from fedshow_server.fusion.fuse import Fused, bring_in, fuse, ledger_of
from fedshow_server.fusion.offline import fuse_to_folder
from fedshow_server.fusion.recording import Drawn, Plan, record
from fedshow_server.fusion.report import residual
from fedshow_server.fusion.rules import FUSIONS
from fedshow_server.fusion.rules.gradient import Eigenbasis, gradient_fusion
from fedshow_server.fusion.unfusable import UnfusableConcept
from fedshow_server.fusion.update import Update, smallest, tensors_of
from fedshow_server.releasing.due import receipts, recorded
from tests.conftest import BASE, MakeConcept
from tests.stage.concepts import random_concept

QUICK = Plan(fit_seeds=(0,), heldout_seeds=(1,), steps=2, fit_prompts=4, texts=8, things=4)


@pytest.fixture(scope="module")
def fused_pair(opened_base: Base, make_concept: MakeConcept) -> Fused:
    return fuse(opened_base, [make_concept("potter", 1), make_concept("mimi", 2)], plan=QUICK)


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
    shipped = []
    with ledger_of(base, QUICK) as ledger:
        bring_in(ledger, base, [concept], QUICK, lambda _: None)
        for layer in ledger.layers():
            (part,) = layer.parts()
            assert part.fit_II is not None
            assert part.heldout_II is not None
            exact = smallest(Eigenbasis(layer, 0.0).optimum(1e-10, 0.0), [part])
            assert residual(exact, part, part.fit_II) < 1e-6, layer.name
            update = smallest(gradient_fusion(layer).delta_OI, [part])
            shipped.append(residual(update, part, part.heldout_II))
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
        assert torch.equal(update.delta_OI, turned.updates[layer].delta_OI)


def test_gradient_meets_both_concepts_better_than_averaging(
    base: Base, make_concept: MakeConcept
) -> None:
    errors: dict[str, list[float]] = {"gradient": [], "average": []}
    with ledger_of(base, QUICK) as ledger:
        concepts = [make_concept("mimi", 2), make_concept("potter", 1)]
        bring_in(ledger, base, concepts, QUICK, lambda _: None)
        for layer in ledger.layers():
            for method, found in errors.items():
                delta_OI = FUSIONS[method](layer).delta_OI
                judge = layer.turned  # queries, by the keys that they meet
                found.append(
                    judge.unseen_error(delta_OI.T) if judge else layer.unseen_error(delta_OI)
                )
            assert errors["gradient"][-1] <= errors["average"][-1] * 1.001, layer.name
    assert sum(errors["gradient"]) < 0.95 * sum(errors["average"])


def test_what_a_ledger_holds_is_not_recorded_again(
    base: Base,
    make_concept: MakeConcept,
    fused_pair: Fused,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The second concept alone is drawn; the fusion is that of both at once."""
    drawn: list[Drawn] = []

    def spy(model: Model, wanted: Drawn, plan: Plan) -> recording.Moments:
        drawn.append(wanted)
        return record(model, wanted, plan)

    monkeypatch.setattr(recording, "record", spy)
    potter, mimi = make_concept("potter", 1), make_concept("mimi", 2)
    folder = tmp_path / "ledger"
    fuse(base, [potter], plan=QUICK, ledger=folder)
    drawn.clear()
    grown = fuse(base, [potter, mimi], plan=QUICK, ledger=folder)
    assert len(drawn) == 2
    assert all("<mimi>" in text for wanted in drawn for text in wanted.prompts + wanted.texts)
    for layer, update in fused_pair.updates.items():
        torch.testing.assert_close(grown.updates[layer].delta_OI, update.delta_OI)
    drawn.clear()
    monkeypatch.setattr(offline, "Plan", lambda: QUICK)
    assert recorded(tmp_path) == {"potter": potter.sha256, "mimi": mimi.sha256}
    offline.take_out(BASE, folder, {"potter", "nobody"})
    assert recorded(tmp_path) == {"mimi": mimi.sha256}
    lone = fuse(base, [mimi], plan=QUICK, ledger=folder)
    assert not drawn
    with ledger_of(base, QUICK, folder) as ledger:
        assert list(ledger.weights) == ["mimi"]
        (receipt,) = ledger.receipts
    assert (receipt.name, receipt.sha256) == ("potter", potter.sha256)
    assert receipt.largest_difference <= 1e-6
    (told,) = receipts(tmp_path)
    assert (told.sha256, told.remaining) == (potter.sha256, 1)
    assert told.largest_difference == receipt.largest_difference
    fresh = fuse(base, [mimi], plan=QUICK)
    for layer, update in fresh.updates.items():
        torch.testing.assert_close(lone.updates[layer].delta_OI, update.delta_OI)
    drawn.clear()
    newer = fuse(base, [make_concept("potter", 3), mimi], plan=QUICK, ledger=folder)
    assert all("<potter>" in wanted.texts[0] for wanted in drawn), "a new file of that name"
    assert any(
        not torch.allclose(newer.updates[layer].delta_OI, update.delta_OI)
        for layer, update in fused_pair.updates.items()
    )


def test_refining_meets_what_layers_read_in_the_fused_model(
    base: Base, make_concept: MakeConcept, fused_pair: Fused
) -> None:
    """Recorded through the first fusion, the second one misses less there; generic statistics stay."""
    concepts = [make_concept("mimi", 2), make_concept("potter", 1)]
    refined = fuse(base, concepts, plan=QUICK, refine=1)
    through = dataclasses.replace(QUICK, through=tensors_of(fused_pair.updates))
    missed: dict[str, float] = {"plain": 0.0, "refined": 0.0}
    with ledger_of(base, through) as ledger:
        bring_in(ledger, base, concepts, through, lambda _: None)
        for layer in ledger.layers():
            for name, fused in (("plain", fused_pair), ("refined", refined)):
                missed[name] += layer.unseen_error(fused.updates[layer.name].delta_OI)
    assert missed["refined"] < missed["plain"]


def test_refining_is_refused_for_rules_that_record_nothing(
    base: Base, make_concept: MakeConcept
) -> None:
    with pytest.raises(InvalidInput, match="refining records inputs"):
        fuse(base, [make_concept("potter", 1)], "average", plan=QUICK, refine=1)


def test_the_report_says_how_good_it_is(fused_pair: Fused) -> None:
    """From statistics alone: nothing was drawn with the fused model."""
    assert set(fused_pair.pictures) == {"residuals.png", "crosstalk.png"}
    summary = fused_pair.report["summary"]
    assert isinstance(summary, dict)
    assert set(summary["residual_heldout"]) == {"mimi", "potter"}
    assert all(0 < value < 1 for value in summary["residual_heldout"].values())


def test_lora_form_equals_the_update(fused_pair: Fused) -> None:
    """In halves, as a release keeps it."""
    halves = {key: x.half() for key, x in tensors_of(fused_pair.updates).items()}
    found = dict(deltas(halves))
    assert found.keys() == fused_pair.updates.keys()
    for layer, update in fused_pair.updates.items():
        exact = update.delta_OI
        torch.testing.assert_close(
            found[layer], exact, rtol=5e-3, atol=1e-3 * float(exact.abs().max())
        )


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
    model.add_adapters(as_adapters(tensors_of(updates)))
    prompts = ["a <potter> on the beach", "a <mimi>"]
    expected = torch.cat([model.sample_latents(prompts, seed=5, steps=4)])
    model.restore()
    found = load_release(release).sample_latents(prompts, seed=5, steps=4)
    torch.testing.assert_close(found, expected, atol=0.05, rtol=0.05)


@pytest.fixture(scope="module")
def dense_release(release: Path, make_concept: MakeConcept) -> Path:
    """The same concepts, every layer as one matrix."""
    folder = release.parent / "dense"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(workers, "smallest", lambda delta_OI, _, s: Update(delta_OI, None, s))
        files = sorted(release.parent.glob("*.safetensors"))
        fuse_to_folder(BASE, files, folder, method="average")
    return folder


def test_a_dense_release_is_the_same_model(release: Path, dense_release: Path) -> None:
    """Merged weights, hooks at another strength, and the folder's own pipeline."""
    from diffusers import DiffusionPipeline

    with safe_open(dense_release / "fused.safetensors", "pt") as file:
        keys = set(file.keys())
    assert {key.removesuffix(".delta") for key in keys if "tokens." not in key} == set(
        dict(load_release(release).base.layers)
    )
    low_rank, dense = load_release(release), load_release(dense_release)
    for layer, module in low_rank.base.layers.items():
        torch.testing.assert_close(
            dense.base.layers[layer].weight, module.weight, atol=1e-3, rtol=1e-3
        )
    for scale in (0.0, 1.0, 2.0):
        found, expected = (
            model(["a <potter> on the beach"], steps=3, scale=scale).images[0].tobytes()
            for model in (dense, low_rank)
        )
        off = [abs(a - b) for a, b in zip(found, expected, strict=True)]
        assert sum(off) / len(off) < 1.5, f"scale {scale}"
    own = [
        DiffusionPipeline.from_pretrained(
            str(folder), custom_pipeline=str(folder), trust_remote_code=True
        ).encode_prompt("a <potter> on the beach", "cpu", 1, False)[0]
        for folder in (release, dense_release)
    ]
    torch.testing.assert_close(*own, atol=1e-2, rtol=1e-2)


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
    with pytest.raises(InvalidInput, match="'potter' was tuned as 'ed-lora'"):
        fuse(base, [concept], method="custom-diffusion")
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
    other = base.card.model_copy(update={"sha256": "f" * 64})
    random_concept(tmp_path / "c.safetensors", other, "stranger", seed=1)
    with pytest.raises(BaseMismatch, match="ffffffffffff"):
        fuse_to_folder(BASE, [tmp_path / "c.safetensors"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_threads_solve_the_same_in_the_same_order(base: Base, make_concept: MakeConcept) -> None:
    concepts, threads = (
        [make_concept("potter", 1), make_concept("mimi", 2)],
        torch.get_num_threads(),
    )
    with ledger_of(base, QUICK) as ledger:
        bring_in(ledger, base, concepts, QUICK, lambda _: None)
        alone = [(layer, workers.solve_layer("gradient", layer)) for layer in ledger.layers()]
        torch.set_num_threads(3)
        try:
            together = list(workers.Here(base).solve("gradient", ledger.layers()))
            assert torch.get_num_threads() == 3, "as it was"
        finally:
            torch.set_num_threads(threads)
    for (layer, ours), (same, theirs) in zip(alone, together, strict=True):
        assert layer.name == same.name
        torch.testing.assert_close(ours.delta_OI, theirs.delta_OI, rtol=1e-6, atol=1e-12)
