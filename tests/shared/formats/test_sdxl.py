"""Stable Diffusion XL: a second text encoder, its own rows of every word, and blocks numbered through."""

from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import StableDiffusionXLPipeline
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from fedshow.errors import InvalidInput
from fedshow.families import Base, open_base
from fedshow.families.opening import load_pipeline
from fedshow.formats import FORMATS, export_model, import_concept
from fedshow.formats.source import Source
from tests.shared.formats.loaded import check_layers
from tests.stage.bases import make_sdxl
from tests.stage.concepts import varied_concept

READABLE = [name for name, each in FORMATS.items() if each.read is not None]

pytestmark = pytest.mark.filterwarnings(
    "ignore:`is_gradient_checkpointing`:FutureWarning"  # peft asks transformers by an old name
)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Base:
    return open_base(str(make_sdxl(tmp_path_factory.mktemp("sdxl") / "base")))


@pytest.fixture
def pipeline(base: Base) -> Any:
    return load_pipeline(base.folder, "cpu", torch.float32)


@pytest.fixture
def file(base: Base, tmp_path: Path) -> Path:
    varied_concept(tmp_path / "potter.safetensors", base.card, rank=2, alpha=1.0, shared=True)
    return tmp_path / "potter.safetensors"


def keys(file: Path) -> set[str]:
    with safe_open(file, "pt") as opened:
        return set(opened.keys())


@pytest.mark.parametrize("to", READABLE)
def test_both_encoders_come_back(base: Base, file: Path, tmp_path: Path, to: str) -> None:
    out, concept = tmp_path / f"out{FORMATS[to].suffix}", load_file(file)
    export_model(file, to, out)
    back = import_concept(out, tmp_path / "back.safetensors", base=base.folder).tensors()
    assert back.keys() == concept.keys()
    for key, value in concept.items():
        scale = 0.5 if to == "edlora" and key.endswith("lora_B.weight") else 1
        assert torch.equal(back[key], value * scale), key


@pytest.mark.parametrize("to", ["diffusers", "kohya"])
def test_diffusers_loads_all_components(pipeline: Any, file: Path, tmp_path: Path, to: str) -> None:
    out = tmp_path / f"out{FORMATS[to].suffix}"
    export_model(file, to, out)
    pipeline.load_lora_weights(out)
    check_layers(pipeline, file)


def test_diffusers_loads_the_words_of_each_encoder(
    pipeline: Any, file: Path, tmp_path: Path
) -> None:
    export_model(file, "diffusers", tmp_path / "out")
    concept = load_file(file)
    rows = load_file(tmp_path / "out" / "potter1.safetensors")
    for place, number in (("clip_l", ""), ("clip_g", "_2")):
        encoder = getattr(pipeline, f"text_encoder{number}")
        tokenizer = getattr(pipeline, f"tokenizer{number}")
        pipeline.load_textual_inversion(
            rows[place], token="<potter1>", text_encoder=encoder, tokenizer=tokenizer
        )
        found = encoder.get_input_embeddings().weight[tokenizer.convert_tokens_to_ids("<potter1>")]
        assert torch.equal(found, concept[f"tokens{number}.<potter1>"][0])


def test_kohya_numbers_blocks_as_the_authors_do(file: Path, tmp_path: Path) -> None:
    export_model(file, "kohya", tmp_path / "out.safetensors")
    found = keys(tmp_path / "out.safetensors")
    down = "attn1_to_q.lora_down.weight"
    assert found >= {
        f"lora_unet_input_blocks_4_1_transformer_blocks_1_{down}",
        f"lora_unet_input_blocks_8_1_transformer_blocks_9_{down}",
        f"lora_unet_middle_block_1_transformer_blocks_0_{down}",
        f"lora_unet_output_blocks_0_1_transformer_blocks_0_{down}",
        f"lora_unet_output_blocks_5_1_transformer_blocks_1_{down}",
        "lora_te1_text_model_encoder_layers_0_self_attn_q_proj.alpha",
        "lora_te2_text_model_encoder_layers_2_self_attn_out_proj.lora_up.weight",
    }
    assert keys(tmp_path / "out-embeddings" / "potter1.safetensors") == {"clip_l", "clip_g"}
    with safe_open(tmp_path / "out.safetensors", "pt") as opened:
        assert opened.metadata()["ss_base_model_version"] == "sdxl_base_v1-0"


def test_bundles_have_both_encoders(base: Base, file: Path, tmp_path: Path) -> None:
    export_model(file, "kohya", tmp_path / "out.safetensors", bundle=True)
    bundled = {key for key in keys(tmp_path / "out.safetensors") if key.startswith("bundle_emb")}
    assert bundled == {
        f"bundle_emb.potter{n}.{place}" for n in (1, 2) for place in ("clip_l", "clip_g")
    }
    back = import_concept(
        tmp_path / "out.safetensors", tmp_path / "back.safetensors", base=base.folder
    )
    found = back.tensors()
    assert all(torch.equal(found[key], value) for key, value in load_file(file).items())


def test_diffusers_names_of_the_unet_are_read_too(base: Base, file: Path, tmp_path: Path) -> None:
    """As ComfyUI takes them, and trainers that work on diffusers' U-Net write them."""
    tensors = {}
    for key, value in load_file(file).items():
        layer, _, half = key.removesuffix(".weight").rpartition(".")
        if not key.startswith("unet."):
            continue
        name = f"lora_unet_{layer.removeprefix('unet.').replace('.', '_')}"
        tensors[f"{name}.lora_{'down' if half == 'lora_A' else 'up'}.weight"] = value
    save_file(tensors, tmp_path / "other.safetensors")
    back = import_concept(
        tmp_path / "other.safetensors",
        tmp_path / "back.safetensors",
        name="potter",
        class_word="monster",
        base=base.folder,
    )
    assert {key for key in back.tensors() if key.startswith("tokens")} == {
        *("tokens.<potter1>", "tokens_2.<potter1>")
    }
    assert back.header.rank == back.header.alpha == 2


def test_words_of_one_encoder_are_too_few(base: Base, file: Path, tmp_path: Path) -> None:
    export_model(file, "kohya", tmp_path / "out.safetensors")
    word = tmp_path / "word.safetensors"
    save_file({"emb_params": torch.ones(1, base.card.token_dim)}, word)
    with pytest.raises(InvalidInput, match="<potter1> has tokens; the base has tokens, tokens_2"):
        import_concept(
            tmp_path / "out.safetensors",
            tmp_path / "back.safetensors",
            base=base.folder,
            embeddings=[word],
        )


@pytest.mark.parametrize("full", [False, True])
def test_diffusers_loads_a_single_file(
    base: Base, pipeline: Any, file: Path, tmp_path: Path, full: bool
) -> None:
    """With the concept in its weights, and OpenCLIP's layout of the second text encoder."""
    out, dtype = tmp_path / "out.safetensors", torch.float32 if full else torch.float16
    export_model(file, "single-file", out, base=base.folder, full=full)
    loaded = StableDiffusionXLPipeline.from_single_file(
        str(out), config=base.folder, local_files_only=True, torch_dtype=dtype
    )
    layers = base.family.adapted_layers(base.family.components(pipeline))
    for layer, pair in Source(str(file)).content.layers.items():
        layers[layer].weight.data += pair.delta().float()
    for component in ("unet", "vae", "text_encoder", "text_encoder_2"):
        wanted = getattr(pipeline, component).state_dict()
        found = getattr(loaded, component).state_dict()
        assert found.keys() == wanted.keys()
        for name, value in wanted.items():
            assert torch.equal(found[name], value.to(dtype)), name
    assert keys(out) >= {
        "conditioner.embedders.0.transformer.text_model.encoder.layers.0.self_attn.q_proj.weight",
        "conditioner.embedders.1.model.transformer.resblocks.0.attn.in_proj_weight",
        "conditioner.embedders.1.model.text_projection",
        "model.diffusion_model.label_emb.0.0.weight",
    }
    words = tmp_path / "out-embeddings" / "potter2.safetensors"
    assert keys(words) == {"clip_l", "clip_g"}
