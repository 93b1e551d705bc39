"""Checkpoints of Stable Diffusion XL in one file: the same bases as the folders that they were made of."""

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import pytest
import torch
from diffusers import EulerDiscreteScheduler
from safetensors.torch import load_file, save_file
from torch import Tensor

from fedshow.errors import InvalidInput
from fedshow.families import Base, open_base
from fedshow.families.checkpoint import UNET, VAE
from fedshow.families.checkpoint_kinds import SDXLCheckpoint, read_checkpoint
from fedshow.families.filling import make_empty, make_from_dict
from fedshow.families.sdxl import SDXL
from fedshow.families.stored import Header
from fedshow.families.tokenizer import clip_tokenizer
from fedshow.formats import export_model
from fedshow.sampling.model import Model
from fedshow_client.tuning.data.bases import frame_and_width
from tests.stage import stored

FIRST, SECOND = (text.prefix for text in SDXLCheckpoint.texts.values())

Change = Callable[[dict[str, Tensor]], dict[str, Tensor]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stored.make_sdxl(tmp_path_factory.mktemp("sdxl") / "base")


@pytest.fixture(scope="module")
def file(folder: Path) -> Path:
    """Our own export, with what the authors' files have beside what anybody reads."""
    exported, out = folder.parent / "exported.safetensors", folder.parent / "model.safetensors"
    export_model(folder, "single-file", exported, full=True)
    more = {f"{SECOND}logit_scale": torch.tensor(4.6)}
    more[f"{FIRST}text_model.embeddings.position_ids"] = torch.arange(77)[None]
    save_file(load_file(exported) | more, out)
    return out


@pytest.fixture(scope="module")
def opened(folder: Path) -> Base:
    return open_base(str(folder))


@pytest.fixture(scope="module")
def found(file: Path) -> Base:
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("FEDSHOW_TOKENIZER", str(stored.TOKENIZER))
        return open_base(str(file))


@pytest.fixture(autouse=True)
def tokenizer(monkeypatch: pytest.MonkeyPatch) -> None:
    """CLIP's vocabulary is not here: the file's text encoders know toyworld's."""
    monkeypatch.setenv("FEDSHOW_TOKENIZER", str(stored.TOKENIZER))


def check_same(part: torch.nn.Module, wanted: torch.nn.Module) -> None:
    state = part.state_dict()
    assert state.keys() == wanted.state_dict().keys()
    for name, value in wanted.state_dict().items():
        assert torch.equal(state[name], value), name


def test_it_is_the_same_base_as_the_folder(found: Base, opened: Base) -> None:
    assert found.card == opened.card
    assert found.card.family == "sdxl"
    for name, part in opened.parts.items():
        check_same(found.parts[name], part)


def test_what_the_file_does_not_say_is_as_in_the_folder(found: Base, opened: Base) -> None:
    """Heads, groups, activations, noise: the same picture, to the byte."""
    for part in ("unet", "vae", "scheduler"):
        ours, theirs = (getattr(base.pipeline, part).config for base in (found, opened))
        assert all(ours[key] == theirs[key] for key in theirs if not key.startswith("_")), part
    assert picture(found) == picture(opened)


def picture(base: Base) -> bytes:
    model = Model(base)
    drawn = model("a man!", width=64, height=64, steps=2, seed=1).images[0].tobytes()
    model.restore()
    return drawn


def test_prompts_become_the_same_numbers(found: Base, opened: Base) -> None:
    """Each encoder's are filled up with a token of its own."""
    for ours, theirs in zip(found.text_encoders, opened.text_encoders, strict=True):
        said = [
            each.tokenizer(["a man!"], padding="max_length").input_ids for each in (ours, theirs)
        ]
        assert said[0] == said[1]
    assert [each.tokenizer.pad_token for each in found.text_encoders] == ["<|endoftext|>", "!"]


def test_halves_have_the_same_fingerprint(folder: Path, opened: Base, tmp_path: Path) -> None:
    export_model(folder, "single-file", tmp_path / "model.safetensors")
    halves = open_base(str(tmp_path / "model.safetensors"))
    assert halves.card.sha256 == opened.card.sha256
    for name, part in halves.parts.items():
        check_same(part, deepcopy(opened.parts[name]).half().float())


def test_diffusers_reads_the_same_weights_out_of_it(file: Path, folder: Path, found: Base) -> None:
    """What our names are held against: its own converter, with the folder's configurations."""
    from diffusers import StableDiffusionXLPipeline

    stock = StableDiffusionXLPipeline.from_single_file(
        str(file), config=str(folder), local_files_only=True
    )
    for name, part in found.parts.items():
        check_same(part, getattr(stock, name))


def test_at_true_widths_it_is_stable_diffusion_xl() -> None:
    """Numbers of weights that are known of XL, from nothing but the shapes that widths are read off."""
    import transformers

    checkpoint = SDXLCheckpoint(Path("model.safetensors"), Header(true_shapes(), {}, 0))
    checkpoint.check()
    parts = [
        make_from_dict("UNet2DConditionModel", checkpoint.unet),
        make_from_dict("AutoencoderKL", checkpoint.vae),
    ]
    for component, class_name in list(SDXL.parts.items()):
        if component.startswith("text_encoder"):
            kind = getattr(transformers, class_name)
            config = kind.config_class(**checkpoint.text_encoder(component))
            parts.append(make_empty(lambda kind=kind, config=config: kind(config)))
    counts = [sum(parameter.numel() for parameter in part.parameters()) for part in parts]
    assert counts == [2_567_463_684, 83_653_863, 123_060_480, 694_659_840]
    assert checkpoint.unet["attention_head_dim"] == [5, 10, 20]
    heads = [checkpoint.text_encoder(part)["num_attention_heads"] for part in checkpoint.texts]
    assert heads == [12, 20]


def true_shapes() -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {
        f"{UNET}input_blocks.0.0.weight": (320, 4, 3, 3),
        f"{UNET}out.2.weight": (4, 320, 3, 3),
        f"{UNET}label_emb.0.0.weight": (1280, 2816),
        f"{VAE}decoder.conv_in.weight": (512, 4, 3, 3),
        f"{FIRST}text_model.embeddings.token_embedding.weight": (49408, 768),
        f"{FIRST}text_model.embeddings.position_embedding.weight": (77, 768),
        f"{SECOND}token_embedding.weight": (49408, 1280),
        f"{SECOND}positional_embedding": (77, 1280),
        f"{SECOND}text_projection": (1280, 1280),
    }
    for block, width, depth in ((1, 320, 0), (4, 640, 2), (7, 1280, 10)):
        shapes[f"{UNET}input_blocks.{block}.0.out_layers.3.weight"] = (width, width, 3, 3)
        for layer in range(depth):
            name = f"{UNET}input_blocks.{block}.1.transformer_blocks.{layer}.attn2.to_k.weight"
            shapes[name] = (width, 2048)
    for block, width in enumerate((128, 256, 512, 512)):
        shapes[f"{VAE}encoder.down.{block}.block.0.conv2.weight"] = (width, width, 3, 3)
    first, second = f"{FIRST}text_model.encoder.layers.", f"{SECOND}transformer.resblocks."
    shapes |= {f"{first}{layer}.mlp.fc1.weight": (3072, 768) for layer in range(12)}
    shapes |= {f"{second}{layer}.mlp.c_fc.weight": (5120, 1280) for layer in range(32)}
    return shapes


@pytest.mark.parametrize(
    ("metadata", "tensors", "said"),
    [
        ({}, {}, ("epsilon", False)),
        ({"modelspec.prediction_type": "v"}, {}, ("v_prediction", False)),
        ({}, {"v_pred": (), "ztsnr": ()}, ("v_prediction", True)),
    ],
)
def test_what_it_predicts(
    metadata: dict[str, str], tensors: dict[str, tuple[int, ...]], said: tuple[str, bool]
) -> None:
    header = Header(true_shapes() | tensors, metadata, 0)
    scheduler = EulerDiscreteScheduler(**SDXLCheckpoint(Path("m.safetensors"), header).scheduler)
    assert (scheduler.config.prediction_type, scheduler.config.rescale_betas_zero_snr) == said


def without(start: str) -> Change:
    return lambda tensors: {k: v for k, v in tensors.items() if not k.startswith(start)}


def shaped(name: str, *shape: int) -> Change:
    return lambda tensors: {**tensors, name: torch.zeros(shape)}


QKV = f"{SECOND}transformer.resblocks.1.attn.in_proj_"
LABEL = f"{UNET}label_emb.0.0.weight"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (without(VAE), "has no autoencoder"),
        (
            without(FIRST),
            "has no text encoder: no tensor's name begins with conditioner.embedders.0",
        ),
        (without(SECOND), "has no text encoder 2: .* begins with conditioner.embedders.1.model."),
        (
            without(f"{SECOND}text_projection"),
            r"no whole Stable Diffusion XL: .*text_projection is mis",
        ),
        (without(f"{QKV}weight"), r"resblocks.1.attn.in_proj_weight is missing"),
        (shaped(f"{QKV}bias"), r"resblocks.1.attn.in_proj_bias has the shape \[\], .* for \[128\]"),
        (shaped(f"{QKV}weight", 128, 128), r"in_proj_weight has the shape .* for \[128, 128\]"),
        (without(LABEL), r"no whole Stable Diffusion XL: .*label_emb.0.0.weight is missing"),
        (shaped(LABEL, 128, 129), "is told 129 numbers of prompt and sizes, .* gives 128"),
        (
            without(f"{UNET}middle_block.1.transformer_blocks.9"),
            r"middle_block.*blocks.9.* is missing",
        ),
        (shaped(f"{SECOND}token_embedding.weight", 661, 64), "texts of width 192, .* give 128"),
        (shaped(f"{UNET}input_blocks.0.0.weight", 32, 9, 3, 3), "reads 9 channels, as for inpaint"),
        (shaped("edm_mean", 4), "of a model that denoises as EDM does"),
        (
            lambda t: {k.replace(".1.model.", ".0.model."): v for k, v in t.items()},
            "the refiner of",
        ),
        (
            lambda t: {k.replace(FIRST, "cond_stage_model.transformer."): v for k, v in t.items()},
            "has no text encoder: .*embedders.0",
        ),
    ],
)
def test_other_files_are_refused(file: Path, tmp_path: Path, change: Change, says: str) -> None:
    save_file(change(load_file(file)), tmp_path / "other.safetensors")
    with pytest.raises(InvalidInput, match=f"base '.*other.safetensors' cannot .*{says}"):
        open_base(str(tmp_path / "other.safetensors"))


def test_the_tokenizer_may_be_a_bases(file: Path, folder: Path, monkeypatch) -> None:
    monkeypatch.setenv("FEDSHOW_TOKENIZER", str(folder))
    tokenizer = clip_tokenizer(read_checkpoint(file), "text_encoder_2")
    assert (tokenizer.pad_token, tokenizer.model_max_length) == ("!", 77)


def test_without_a_tokenizer_it_says_where_to_get_one(
    file: Path, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.delenv("FEDSHOW_TOKENIZER")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    says = r"model.safetensors has no tokenizer in it; .*hf download.*FEDSHOW_TOKENIZER"
    with pytest.raises(InvalidInput, match=says):
        open_base(str(file))


def test_check_reads_its_sizes_from_the_header(file: Path, folder: Path) -> None:
    assert frame_and_width(str(file)) == frame_and_width(str(folder))
