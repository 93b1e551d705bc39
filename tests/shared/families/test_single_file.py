"""Checkpoints in one file, as A1111 and ComfyUI keep them."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

import fedshow
from fedshow.errors import InvalidInput
from fedshow.families import Base, open_base
from fedshow.families.checkpoint import UNET, VAE
from fedshow.families.checkpoint_kinds import SD1Checkpoint, read_checkpoint
from fedshow.families.filling import make_empty, make_from_dict
from fedshow.families.locating import anywhere, locate, public_name
from fedshow.families.stored import Header
from fedshow.formats import export_model
from fedshow_client.tuning.data.bases import frame_and_width
from fedshow_client.tuning.data.words import check_words
from tests.conftest import Call, MakeConcept
from tests.stage import stored
from tests.stage.stored import TEXT


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stored.make_base(tmp_path_factory.mktemp("base") / "base")


@pytest.fixture(scope="module")
def file(folder: Path) -> Path:
    return stored.single_file(folder, folder.parent / "model.safetensors")


@pytest.fixture(scope="module")
def opened(folder: Path) -> Base:
    return open_base(str(folder))


@pytest.fixture(autouse=True)
def tokenizer(monkeypatch: pytest.MonkeyPatch) -> None:
    """CLIP's vocabulary is not here: the file's text encoder knows toyworld's."""
    monkeypatch.setenv("FEDSHOW_TOKENIZER", str(stored.TOKENIZER))


def same(base: Base, other: Base) -> bool:
    return all(
        torch.equal(value, other.parts[name].state_dict()[key])
        for name, part in base.parts.items()
        for key, value in part.state_dict().items()
    )


def test_captions_and_class_are_checked_before_it_is_tuned(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert check_words(str(file), "mimi", "robot", [])
    with pytest.raises(InvalidInput, match="class 'labradoodle' is 11 tokens"):
        check_words(str(file), "mimi", "labradoodle", [])
    monkeypatch.delenv("FEDSHOW_TOKENIZER")
    monkeypatch.setattr("fedshow.families.tokenizer.in_cache", lambda *_: None)
    assert not check_words(str(file), "mimi", "labradoodle", []), "without asking the hub"


def test_it_is_the_same_base_as_the_folder(file: Path, opened: Base) -> None:
    found = open_base(str(file))
    assert same(found, opened)
    assert found.card == opened.card
    ours, theirs = found.pipeline.scheduler.config, opened.pipeline.scheduler.config
    assert all(ours[key] == value for key, value in theirs.items() if not key.startswith("_"))
    ids = found.text_encoders[0].tokenizer(["a man"], padding="max_length").input_ids
    assert ids == opened.text_encoders[0].tokenizer(["a man"], padding="max_length").input_ids
    with torch.no_grad():
        ours, theirs = (
            base.text_encoders[0].read(torch.tensor(ids))[0] for base in (found, opened)
        )
    assert torch.equal(ours, theirs)


def test_halves_have_the_same_fingerprint(folder: Path, opened: Base, tmp_path: Path) -> None:
    halves = stored.single_file(folder, tmp_path / "model.safetensors", torch.float16)
    assert open_base(str(halves)).card.sha256 == opened.card.sha256


def test_diffusers_reads_the_same_weights_out_of_it(file: Path, folder: Path, opened: Base) -> None:
    """What our names are held against: its own converter, with the folder's configurations."""
    from diffusers import AutoencoderKL, UNet2DConditionModel

    for part, kind in (("unet", UNet2DConditionModel), ("vae", AutoencoderKL)):
        stock = kind.from_single_file(str(file), config=str(folder), subfolder=part)
        theirs = stock.state_dict()
        ours = opened.parts[part].state_dict()
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(value, theirs[key]) for key, value in ours.items())


@pytest.mark.parametrize(
    ("metadata", "tensors", "yaml", "prediction"),
    [
        ({}, {}, "", "epsilon"),
        ({"modelspec.prediction_type": "epsilon"}, {}, "", "epsilon"),
        ({"modelspec.prediction_type": "v"}, {}, "", "v_prediction"),
        ({}, {"v_pred": torch.zeros(0)}, "", "v_prediction"),
        ({}, {}, 'model:\n  params:\n    parameterization: "v"\n', "v_prediction"),
        ({}, {}, "model:\n  params:\n    parameterization: eps\n", "epsilon"),
    ],
)
def test_what_it_predicts(
    folder: Path,
    tmp_path: Path,
    metadata: dict[str, str],
    tensors: dict[str, Tensor],
    yaml: str,
    prediction: str,
) -> None:
    model = stored.single_file(folder, tmp_path / "model.safetensors", metadata=metadata, **tensors)
    if yaml:
        (tmp_path / "model.yaml").write_text(yaml)
    assert read_checkpoint(model).prediction == prediction


def test_velocities_reach_the_scheduler_and_change_no_fingerprint(
    folder: Path, opened: Base, tmp_path: Path
) -> None:
    said = {"modelspec.prediction_type": "v"}
    found = open_base(str(stored.single_file(folder, tmp_path / "v.safetensors", metadata=said)))
    assert found.pipeline.scheduler.config.prediction_type == "v_prediction"
    assert found.card.sha256 == opened.card.sha256


def test_at_true_widths_it_is_stable_diffusion_1() -> None:
    """Numbers of weights that are known of 1.5, from nothing but the shapes that widths are read off."""
    from transformers import CLIPTextConfig, CLIPTextModel

    channels = dict(zip((1, 4, 7, 10), (320, 640, 1280, 1280), strict=True))
    shapes = {
        f"{UNET}input_blocks.{n}.0.out_layers.3.weight": (w,) * 2 for n, w in channels.items()
    }
    shapes |= {
        f"{VAE}encoder.down.{n}.block.0.conv2.weight": (width,) * 2
        for n, width in enumerate((128, 256, 512, 512))
    }
    shapes |= {
        f"{UNET}input_blocks.0.0.weight": (320, 4, 3, 3),
        f"{UNET}out.2.weight": (4, 320, 3, 3),
        f"{UNET}input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight": (320, 768),
        f"{VAE}decoder.conv_in.weight": (512, 4, 3, 3),
        f"{TEXT}text_model.embeddings.token_embedding.weight": (49408, 768),
        f"{TEXT}text_model.embeddings.position_embedding.weight": (77, 768),
    }
    fc1 = "text_model.encoder.layers.{}.mlp.fc1.weight"
    shapes |= {TEXT + fc1.format(layer): (3072, 768) for layer in range(12)}
    found = SD1Checkpoint(Path("model.safetensors"), Header(shapes, {}, 0))
    config = CLIPTextConfig(**found.text_encoder())
    text = make_empty(lambda: CLIPTextModel(config))
    parts = [
        make_from_dict("UNet2DConditionModel", found.unet),
        make_from_dict("AutoencoderKL", found.vae),
        text,
    ]
    counts = [sum(parameter.numel() for parameter in part.parameters()) for part in parts]
    assert counts == [859_520_964, 83_653_863, 123_060_480]
    assert config.num_attention_heads == 12


def without(prefix: str) -> Callable[[dict[str, Tensor]], dict[str, Tensor]]:
    return lambda tensors: {k: v for k, v in tensors.items() if not k.startswith(prefix)}


def for_inpainting(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {**tensors, f"{UNET}input_blocks.0.0.weight": torch.zeros(32, 9, 3, 3)}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (without(VAE), "has no autoencoder: no tensor's name begins with first_stage_model."),
        (without(UNET), "has no U-Net"),
        (without(TEXT), "has no text encoder"),
        (without(f"{UNET}out."), r"out.2.weight is missing"),
        (without(f"{UNET}middle_block.1.proj_in.bias"), r"middle_block.1.proj_in.bias is missing"),
        (for_inpainting, "reads 9 channels, as for inpainting"),
        (
            lambda t: {**t, "conditioner.embedders.0.model.a": torch.zeros(1)},
            "the refiner of Stable Diffusion XL",
        ),
        (lambda t: {**t, "cond_stage_model.model.a": torch.zeros(1)}, "of Stable Diffusion 2"),
        (lambda _: {"lora_unet_a.lora_up.weight": torch.zeros(1)}, "is a LoRA, no base"),
    ],
)
def test_other_files_are_refused(
    folder: Path,
    tmp_path: Path,
    change: Callable[[dict[str, Tensor]], dict[str, Tensor]],
    says: str,
) -> None:
    save_file(change(stored.checkpoint_tensors(folder)), tmp_path / "other.safetensors")
    with pytest.raises(InvalidInput, match=f"other.safetensors.*{says}"):
        open_base(str(tmp_path / "other.safetensors"))


def test_a_file_that_is_cut_off(file: Path, tmp_path: Path) -> None:
    (tmp_path / "half.safetensors").write_bytes(file.read_bytes()[:100_000])
    with pytest.raises(InvalidInput, match=r"half.safetensors is cut off"):
        open_base(str(tmp_path / "half.safetensors"))


def test_exported_as_one_file_its_weights_are_as_they_were(file: Path, tmp_path: Path) -> None:
    export_model(file, "single-file", tmp_path / "again.safetensors", full=True)
    found = load_file(tmp_path / "again.safetensors")
    for name, value in load_file(file).items():
        assert torch.equal(found[name], value), name


@pytest.mark.parametrize("name", ["model.ckpt", "model.bin", "model.pt"])
def test_pickles_are_refused_with_the_reason(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\x80\x04.")
    with pytest.raises(InvalidInput, match=f"{name}.*only .safetensors .*pickles, which can run"):
        open_base(str(tmp_path / name))


def test_its_place_stays_private(file: Path) -> None:
    assert public_name(str(file)) == "local"
    assert locate(str(file)) == anywhere(str(file)) == str(file)


def test_the_tokenizer_may_be_a_bases(file: Path, folder: Path, monkeypatch) -> None:
    monkeypatch.setenv("FEDSHOW_TOKENIZER", str(folder))
    assert open_base(str(file)).prompt_tokens == 77


def test_a_tokenizer_with_other_words_is_refused(
    file: Path, folder: Path, tmp_path: Path, monkeypatch
) -> None:
    from transformers import CLIPTokenizer

    more = CLIPTokenizer.from_pretrained(stored.TOKENIZER)
    more.add_tokens(["abracadabra"])
    more.save_pretrained(tmp_path)
    monkeypatch.setenv("FEDSHOW_TOKENIZER", str(tmp_path))
    words = len(more)
    with pytest.raises(InvalidInput, match=rf"knows {words - 1} tokens, the tokenizer .* {words}$"):
        open_base(str(file))


def test_the_tokenizer_comes_from_the_hubs_cache(file: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.delenv("FEDSHOW_TOKENIZER")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(InvalidInput, match=r"no tokenizer in it; .*hf download.*FEDSHOW_TOKENIZER"):
        open_base(str(file))
    repo = tmp_path / "models--openai--clip-vit-large-patch14"
    shutil.copytree(stored.TOKENIZER, repo / "snapshots" / ("c" * 40))
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text("c" * 40)
    assert open_base(str(file)).prompt_tokens == 77


def test_check_reads_its_sizes_from_the_header(file: Path, folder: Path) -> None:
    assert frame_and_width(str(file)) == frame_and_width(str(folder))


def test_a_file_that_is_a_base_is_drawn_with_and_a_concept_is_not_taken_for_one(
    file: Path, make_concept: MakeConcept, tmp_path: Path
) -> None:
    model = fedshow.load(file)
    assert model("a man", width=64, height=64, steps=1).images[0].size == (64, 64)
    concept = tmp_path / "potter.safetensors"
    make_concept("potter").save(concept)
    assert "potter" in fedshow.load(concept).concepts
    with pytest.raises(InvalidInput, match="is a LoRA, no base"):
        open_base(str(concept))


def test_sample_on_a_single_file(file: Path, tmp_path: Path, call: Call) -> None:
    small = ("--width", 64, "--height", 64, "--steps", 1, "--device", "cpu")
    code, _, errors = call("sample", file, "a man", "-o", tmp_path / "out.png", *small)
    assert code == 0, errors
    assert (tmp_path / "out.png").is_file()
    assert load_file(file)  # left as it was
