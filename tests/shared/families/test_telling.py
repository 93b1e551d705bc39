"""Which family a folder is of, and what is said of folders that are none or not whole."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from fedshow.errors import InvalidInput
from fedshow.families import open_base
from fedshow.families.telling import FAMILIES, family_at
from tests.stage.bases import MAKERS

Change = Callable[[Path], object]


def edit(file: Path, **changes: object) -> None:
    """The same JSON with some entries changed."""
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


@pytest.fixture
def copy_of(folders: dict[str, Path], tmp_path: Path) -> Callable[[str], Path]:
    """A base of a family that a test may spoil."""

    def make(family: str) -> Path:
        return Path(shutil.copytree(folders[family], tmp_path / family))

    return make


INDEX = "model_index.json"
SPOILED: list[tuple[str, Change, str]] = [
    (
        "sd1",
        lambda d: edit(d / INDEX, _class_name="FluxPipeline"),
        "model_index.json: FluxPipeline",
    ),
    ("sd1", lambda d: (d / INDEX).write_text("{"), "model_index.json is no JSON"),
    ("sd1", lambda d: (d / INDEX).write_text("[]"), "model_index.json"),
    ("sdxl", lambda d: edit(d / INDEX, text_encoder_2=[None, None]), "text_encoder_2 is missing"),
    (
        "sdxl",
        lambda d: edit(d / INDEX, text_encoder_2=["transformers", "CLIPTextModel"]),
        "text_encoder_2 is CLIPTextModel",
    ),
    (
        "sd1",
        lambda d: edit(d / INDEX, text_encoder_2=["transformers", "CLIPTextModel"]),
        "family 'sd1' has no text_encoder_2",
    ),
    ("sdxl", lambda d: shutil.rmtree(d / "text_encoder_2"), "text_encoder_2/config.json"),
    ("sdxl", lambda d: shutil.rmtree(d / "tokenizer_2"), "tokenizer_2/tokenizer.json"),
    ("sd1", lambda d: (d / "vae/config.json").unlink(), "vae/config.json"),
    (
        "sdxl",
        lambda d: (d / "unet/diffusion_pytorch_model.safetensors").unlink(),
        "unet/diffusion_pytorch_model.safetensors is missing",
    ),
    (
        "sdxl",
        lambda d: (d / "unet/diffusion_pytorch_model.safetensors.index.json").write_text(
            json.dumps({"weight_map": {"a": "part-1-of-2.safetensors"}})
        ),
        "part-1-of-2.safetensors is missing",
    ),
    (
        "sdxl",
        lambda d: edit(d / "unet/config.json", addition_embed_type=None),
        "unet/config.json: addition_embed_type is None",
    ),
    (
        "sd1",
        lambda d: edit(d / "unet/config.json", cross_attention_dim=2048),
        "unet/config.json: cross_attention_dim is 2048",
    ),
    (
        "sd1",
        lambda d: edit(d / "text_encoder/config.json", hidden_act="gelu"),
        "text_encoder/config.json: hidden_act is 'gelu', family 'sd1' needs 'quick_gelu'; Stable Diffusion 2",
    ),
]


@pytest.mark.parametrize(("family", "spoil", "said"), SPOILED)
def test_what_is_wrong_with_a_folder_is_named(
    copy_of: Callable[[str], Path], family: str, spoil: Change, said: str
) -> None:
    folder = copy_of(family)
    spoil(folder)
    with pytest.raises(InvalidInput) as refused:
        open_base(str(folder))
    assert said in str(refused.value)
    assert str(folder) in str(refused.value)


def test_a_denoiser_of_another_family_is_no_base(
    copy_of: Callable[[str], Path], folders: dict[str, Path]
) -> None:
    folder = copy_of("sdxl")
    shutil.rmtree(folder / "unet")
    shutil.copytree(folders["sd1"] / "unet", folder / "unet")
    with pytest.raises(InvalidInput, match="addition_embed_type is None"):
        open_base(str(folder))


@pytest.mark.parametrize("family", sorted(MAKERS))
@pytest.mark.parametrize("name", ["feature_extractor", "image_encoder"])
def test_what_looks_at_pictures_is_not_opened(
    copy_of: Callable[[str], Path], family: str, name: str
) -> None:
    """Not even where the index names a class that is no more: copies of 1.x from 2022 do."""
    folder = copy_of(family)
    edit(folder / INDEX, **{name: ["transformers", "CLIPFeatureExtractor"]})
    assert getattr(open_base(str(folder)).pipeline, name) is None


@pytest.mark.parametrize("family", sorted(MAKERS))
def test_weights_in_pieces_are_whole_with_all_of_them(
    copy_of: Callable[[str], Path], family: str
) -> None:
    denoiser = copy_of(family) / FAMILIES[family].denoiser
    whole = denoiser / "diffusion_pytorch_model.safetensors"
    whole.rename(denoiser / "diffusion_pytorch_model-00001-of-00001.safetensors")
    index = {"weight_map": {"conv_in.weight": "diffusion_pytorch_model-00001-of-00001.safetensors"}}
    whole.with_name(f"{whole.name}.index.json").write_text(json.dumps(index))
    assert family_at(denoiser.parent).name == family
