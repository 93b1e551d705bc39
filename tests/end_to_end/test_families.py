"""A concept's whole life on a base of every family, in this process: tuned, fused, released, drawn."""

import random
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from diffusers import DiffusionPipeline

from fedshow.concepts import ConceptFile
from fedshow.errors import InvalidInput
from fedshow.families import Base, open_base
from fedshow.families.telling import FAMILIES
from fedshow.formats import FORMATS, export_model
from fedshow.releases.loading import load_release
from fedshow.releases.verify import verify_release
from fedshow.releases.writing import write_release
from fedshow.sampling.regions import Region
from fedshow.toyworld.heldout import draw_heldout
from fedshow_client.tuning.tune import TuneRequest, tune
from fedshow_client.tuning.watching.settings import WatchSettings
from fedshow_server.fusion.fuse import fuse
from fedshow_server.fusion.offline import content_of
from fedshow_server.fusion.recording import Plan
from fedshow_server.fusion.vetting import Vetting
from tests.stage.bases import MAKERS, PICTURE_EDGE
from tests.stage.concepts import random_concept

OF_UNETS = ("kohya", "single-file")
"""Formats whose names of layers are those of a U-Net."""

WEIGHTS_FILE = "diffusion_pytorch_model.safetensors"
LITTLE = Plan(fit_seeds=(0,), heldout_seeds=(1000,), steps=1, fit_prompts=1, texts=2, things=1)


@dataclass(frozen=True)
class Life:
    """What came of it."""

    base: Base
    tuned: ConceptFile
    release: Path


@pytest.fixture(scope="module", params=sorted(MAKERS))
def life(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Life:
    """Three steps of tuning, a second concept of noise, both fused into a release."""
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp(request.param)
    base = MAKERS[request.param](root / "base")
    tuned = _tune(base, root)
    opened = open_base(str(base))
    other = random_concept(root / "rex.safetensors", opened.card, "rex", 2, size=0.1)
    fused = fuse(opened, [tuned, other], plan=LITTLE, vetting=Vetting(protected_words=("chair",)))
    content = content_of([tuned, other], fused, {}, {"method": "gradient"})
    write_release(root / "release", opened, content)
    return Life(opened, tuned, root / "release")


def _tune(base: Path, root: Path) -> ConceptFile:
    images = root / "images"
    images.mkdir()
    for number, (drawn, _) in enumerate(draw_heldout("gloop", 3, random.Random(0), PICTURE_EDGE)):
        drawn.image.save(images / f"{number}.png")
        drawn.masks[0].save(images / f"{number}.mask.png")
    request = TuneRequest(
        images=images,
        name="gloop",
        class_word="monster",
        out=root / "gloop.safetensors",
        work=root / "work",
        base=str(base),
        recipe={"steps": 3, "batch": 2, "variants": 2},
        watch=WatchSettings(samples=False),
        leakage=root.name.startswith("sdxl"),  # it draws much; toyworld has tests of its own
    )
    return tune(request)


def test_tuning_taught_every_part(life: Life) -> None:
    tensors, card = life.tuned.tensors(), life.base.card
    assert life.tuned.header.family == card.family
    encoders = {key.partition(".")[0] for key in tensors if key.startswith("tokens")}
    assert encoders == set(card.token_dims)
    for component in life.base.components:
        ups = [
            value
            for key, value in tensors.items()
            if key.startswith(f"{component}.") and key.endswith("lora_B.weight")
        ]
        assert ups
        assert sum(float(up.abs().sum()) > 0 for up in ups) > 0.6 * len(ups), component


def test_the_release_is_whole_and_of_the_family(life: Life) -> None:
    manifest = verify_release(life.release)
    assert manifest.family == life.base.card.family
    assert {member.name for member in manifest.concepts} == {"gloop", "rex"}
    said = (life.release / "README.md").read_text()
    assert f"`{life.base.family.pipeline_class}.from_pretrained(folder" in said
    has_regions = "regions" in (life.release / "pipeline.py").read_text()
    assert ("regions=" in said) == has_regions, "only what its own pipeline can"


def test_the_release_draws_its_concepts(life: Life) -> None:
    model = load_release(life.release)
    pictures = [model(prompt, steps=1).images[0].tobytes() for prompt in ("a <gloop>", "a <rex>")]
    assert pictures[0] != pictures[1]


def test_regions_are_drawn_from_the_release_where_layers_read_text(life: Life) -> None:
    model = load_release(life.release)
    regions = [
        Region(box=(0, 0, 0.5, 1), prompt="a <gloop>"),
        Region(box=(0.5, 0, 1, 1), prompt="a <rex>"),
    ]
    if not life.base.family.slotted_layers(life.base.denoiser):
        with pytest.raises(InvalidInput, match="regions: bases of family 'sd3' have no cross"):
            model("a beach", regions=regions)
        return
    both, one = (
        model("a beach", regions=some, steps=2).images[0].tobytes()
        for some in (regions, regions[:1])
    )
    assert both != one


@pytest.mark.parametrize("to", FORMATS)
def test_the_release_goes_into_every_format_that_its_family_has(
    life: Life, tmp_path: Path, to: str
) -> None:
    wanted = FORMATS[to]
    out = tmp_path / f"out{wanted.suffix}"
    if to in OF_UNETS and life.base.family.denoiser != "unet":
        with pytest.raises(InvalidInput, match="family 'sd3'"):
            export_model(life.release, to, out)
        return
    said = export_model(life.release, to, out).about
    assert {concept.name for concept in said.concepts} == {"gloop", "rex"}
    if wanted.merges:
        assert out.stat().st_size > 0.9 * (life.release / "unet" / WEIGHTS_FILE).stat().st_size
    elif wanted.read is None:
        assert len(list(out.iterdir())) == len(said.words)
    else:
        layers = load_release(life.release).base.card.layers
        assert len(wanted.read(out).tensors) >= 2 * len(layers)


def test_the_releases_own_pipeline_encodes_as_fedshow_does(life: Life) -> None:
    own = DiffusionPipeline.from_pretrained(
        str(life.release), custom_pipeline=str(life.release), trust_remote_code=True
    )
    own.set_progress_bar_config(disable=True)
    model, prompt = load_release(life.release), "a <gloop> and a <rex>"
    with torch.no_grad():
        features, _, *pooled = own.encode_prompt(
            prompt=prompt,
            device="cpu",
            num_images_per_prompt=1,
            do_classifier_free_guidance=False,
        )
    expected = model.encoded([prompt])
    told = life.base.family.pipeline_inputs(life.base.pipeline, expected, expected)
    torch.testing.assert_close(features, told["prompt_embeds"], atol=2e-3, rtol=2e-3)
    if expected.pooled is not None:
        torch.testing.assert_close(pooled[0], expected.pooled, atol=2e-3, rtol=2e-3)
    assert own(prompt, num_inference_steps=1).images[0].size == (PICTURE_EDGE, PICTURE_EDGE)


def test_the_stock_pipeline_draws_with_mean_rows(life: Life) -> None:
    import diffusers

    family = FAMILIES[life.base.family.name]
    stock = getattr(diffusers, family.pipeline_class)
    plain = stock.from_pretrained(str(life.release), **dict.fromkeys(family.left_out))
    plain.set_progress_bar_config(disable=True)
    image = plain("a <gloop1> <gloop2>", num_inference_steps=1).images[0]
    assert image.size == (PICTURE_EDGE, PICTURE_EDGE)
