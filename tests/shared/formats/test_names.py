"""Keys and headers as programs that cannot run here read them, and nothing in them that is private."""

import json
import pickletools
import zipfile
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.loaders.single_file_utils import (
    convert_ldm_unet_checkpoint,
    convert_ldm_vae_checkpoint,
)
from safetensors import safe_open

from fedshow.families.ldm import unet_names, vae_names
from fedshow.formats import FORMATS, export_model

BLOCK = "transformer_blocks_0"


def keys(file: Path) -> set[str]:
    with safe_open(file, "pt") as opened:
        return set(opened.keys())


def metadata(file: Path) -> dict[str, str]:
    with safe_open(file, "pt") as opened:
        return dict(opened.metadata())


@pytest.fixture
def kohya(varied, tmp_path: Path) -> Path:
    file, _ = varied(rank=4, alpha=2.0)
    export_model(file, "kohya", tmp_path / "out.safetensors")
    return tmp_path / "out.safetensors"


def test_kohya_names_as_its_loaders_look_for_them(kohya: Path) -> None:
    """ComfyUI's `model_lora_keys_clip` and A1111's `networks.py` know these, with `text_model` alone."""
    parts = {f".{part}" for part in ("lora_down.weight", "lora_up.weight", "alpha")}
    found = {key.partition(".")[0] for key in keys(kohya)}
    assert keys(kohya) == {layer + part for layer in found for part in parts}
    assert found >= {
        f"lora_unet_down_blocks_0_attentions_0_{BLOCK}_attn1_to_q",
        f"lora_unet_mid_block_attentions_0_{BLOCK}_attn2_to_k",
        f"lora_unet_up_blocks_1_attentions_1_{BLOCK}_attn2_to_out_0",
        "lora_te_text_model_encoder_layers_0_self_attn_q_proj",
        "lora_te_text_model_encoder_layers_1_self_attn_out_proj",
    }


def test_kohya_headers_say_rank_alpha_and_base(kohya: Path) -> None:
    said = metadata(kohya)
    assert said["ss_network_module"] == "networks.lora"
    assert (said["ss_network_dim"], said["ss_network_alpha"]) == ("4", "2.0")
    assert said["ss_base_model_version"] == "sd_v1"
    assert "mean of their 7" in said["ss_training_comment"]


def test_words_are_files_of_their_name_with_one_vector(kohya: Path, card) -> None:
    folder = kohya.with_name("out-embeddings")
    assert {file.name for file in folder.iterdir()} == {
        "potter1.safetensors",
        "potter2.safetensors",
    }
    with safe_open(folder / "potter1.safetensors", "pt") as opened:
        assert list(opened.keys()) == ["emb_params"]
        assert opened.get_slice("emb_params").get_shape() == [1, card.token_dim]


def test_bundled_words_as_a1111_takes_them_apart(varied, tmp_path: Path) -> None:
    file, _ = varied()
    export_model(file, "kohya", tmp_path / "out.safetensors", bundle=True)
    bundled = {key for key in keys(tmp_path / "out.safetensors") if key.startswith("bundle_emb")}
    assert bundled == {f"bundle_emb.potter{n}.string_to_param.*" for n in (1, 2)}


def test_a_release_of_any_ranks_has_no_alphas(mixed: Path, tmp_path: Path) -> None:
    export_model(mixed, "kohya", tmp_path / "out.safetensors")
    assert not [key for key in keys(tmp_path / "out.safetensors") if key.endswith("alpha")]
    assert metadata(tmp_path / "out.safetensors")["ss_network_dim"] == "Dynamic"


def test_checkpoints_are_laid_out_as_the_authors_code_does(card, tmp_path: Path) -> None:
    export_model("toyworld", "single-file", tmp_path / "out.safetensors")
    found = keys(tmp_path / "out.safetensors")
    prefixes = ("model.diffusion_model.", "first_stage_model.", "cond_stage_model.transformer.")
    assert all(key.startswith(prefixes) for key in found)
    assert found >= {
        "model.diffusion_model.time_embed.0.weight",
        "model.diffusion_model.input_blocks.0.0.weight",
        "model.diffusion_model.input_blocks.1.0.in_layers.2.weight",
        "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight",
        "model.diffusion_model.input_blocks.2.0.op.weight",
        "model.diffusion_model.middle_block.1.proj_in.weight",
        "model.diffusion_model.middle_block.2.emb_layers.1.bias",
        "model.diffusion_model.output_blocks.1.2.conv.weight",
        "model.diffusion_model.output_blocks.0.0.skip_connection.weight",
        "model.diffusion_model.out.2.bias",
        "first_stage_model.encoder.down.0.block.0.conv1.weight",
        "first_stage_model.encoder.down.0.downsample.conv.weight",
        "first_stage_model.decoder.up.2.upsample.conv.weight",
        "first_stage_model.decoder.norm_out.weight",
        "first_stage_model.quant_conv.weight",
        "cond_stage_model.transformer.text_model.encoder.layers.0.self_attn.q_proj.weight",
        "cond_stage_model.transformer.text_model.embeddings.token_embedding.weight",
    }
    assert metadata(tmp_path / "out.safetensors")["modelspec.prediction_type"] == "v"


@pytest.fixture(scope="module")
def unet() -> UNet2DConditionModel:
    """Stable Diffusion 1.5's blocks, narrow."""
    return UNet2DConditionModel(
        block_out_channels=(8, 8, 16, 16),
        layers_per_block=2,
        norm_num_groups=4,
        cross_attention_dim=8,
        attention_head_dim=2,
    )


@pytest.fixture(scope="module")
def vae() -> AutoencoderKL:
    """Stable Diffusion 1.5's autoencoder, narrow, with attention in its midst."""
    return AutoencoderKL(
        block_out_channels=(4, 4, 8, 8),
        layers_per_block=2,
        norm_num_groups=2,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
    )


def test_blocks_as_many_as_in_stable_diffusion_are_numbered_right(unet) -> None:
    state = unet.state_dict()
    names = unet_names(state.keys())
    ldm = {f"model.diffusion_model.{names[name]}": value for name, value in state.items()}
    back = convert_ldm_unet_checkpoint(dict(ldm), config=dict(unet.config))
    assert len(ldm) == len(state)
    assert back.keys() == state.keys()
    assert all(torch.equal(back[name], state[name]) for name in state)
    assert "model.diffusion_model.output_blocks.2.1.conv.weight" in ldm
    assert "model.diffusion_model.output_blocks.5.2.conv.weight" in ldm
    assert "model.diffusion_model.input_blocks.11.0.out_layers.3.weight" in ldm


def test_the_autoencoders_attention_is_renamed_too(vae) -> None:
    state = vae.state_dict()
    names = vae_names(state.keys())
    ldm = {f"first_stage_model.{names[name]}": value for name, value in state.items()}
    assert {key for key in ldm if ".attn_1." in key} >= {
        f"first_stage_model.{part}.mid.attn_1.{name}.weight"
        for part in ("encoder", "decoder")
        for name in ("norm", "q", "k", "v", "proj_out")
    }
    back = convert_ldm_vae_checkpoint(dict(ldm), config=dict(vae.config))
    assert back.keys() == state.keys()
    assert all(torch.equal(back[name], state[name]) for name in state)


@pytest.mark.parametrize("to", [name for name in FORMATS if name != "single-file"])
def test_nothing_exported_tells_of_this_machine(varied, tmp_path: Path, to: str) -> None:
    file, _ = varied()
    out = tmp_path / f"exported-here{FORMATS[to].suffix}"
    export_model(file, to, out)
    written = [path for path in tmp_path.rglob("*") if path.is_file() and path != file]
    assert written
    for path in written:
        content = path.read_bytes()
        for private in (str(tmp_path), tmp_path.name, "exported-here", str(Path.home())):
            assert private.encode() not in content, path


def test_the_papers_format_is_a_pickle_of_tensors_alone(varied, tmp_path: Path) -> None:
    file, concept = varied()
    export_model(file, "edlora", tmp_path / "out.pth")
    with zipfile.ZipFile(tmp_path / "out.pth") as archive:
        code = archive.read("archive/data.pkl")
    named = {arg for op, arg, _ in pickletools.genops(code) if op.name == "GLOBAL"}
    assert named == {
        "collections OrderedDict",
        "torch FloatStorage",
        "torch._utils _rebuild_tensor_v2",
    }
    params = torch.load(tmp_path / "out.pth", weights_only=True)["params"]
    assert params.keys() == {"new_concept_embedding", "text_encoder", "unet"}
    assert tuple(params["new_concept_embedding"]) == concept.header.words
    assert "text_model.encoder.layers.0.self_attn.q_proj.lora_up.weight" in params["text_encoder"]
    mid = "mid_block.attentions.0.transformer_blocks.0.attn2.to_out.0.lora_down.weight"
    assert mid in params["unet"]


def test_what_a_file_says_of_itself_is_an_allow_list(kohya: Path) -> None:
    said = json.loads(metadata(kohya)["fedshow"])
    assert set(said) == {
        *("format", "family", "base", "slots", "concepts", "release", "tokens", "note", "fedshow"),
    }
    (concept,) = said["concepts"]
    assert concept == {"name": "potter", "class": "monster", "words": ["<potter1>", "<potter2>"]}
