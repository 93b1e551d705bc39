"""What is exported, loaded by the very code of the tools that it is for."""

from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import StableDiffusionPipeline
from peft import PeftModel
from safetensors import safe_open

from fedshow.families.locating import locate
from fedshow.families.opening import load_pipeline
from fedshow.families.telling import family_of
from fedshow.formats import export_model
from fedshow.formats.source import Source
from tests.shared.formats.loaded import check_layers
from tests.stage.bases import make_sd1

pytestmark = pytest.mark.filterwarnings(
    "ignore:`is_gradient_checkpointing`:FutureWarning"  # peft asks transformers by an old name
)


def words_in(pipeline: Any, words: tuple[str, ...]) -> list[torch.Tensor]:
    table = pipeline.text_encoder.get_input_embeddings().weight
    return [table[pipeline.tokenizer.convert_tokens_to_ids(word)] for word in words]


def means(source: Path) -> list[torch.Tensor]:
    content = Source(str(source)).content
    return [content.tokens[f"tokens.{w}"].double().mean(0).float() for w in content.about.words]


@pytest.mark.parametrize("to", ["diffusers", "kohya"])
@pytest.mark.parametrize(
    ("alpha", "dtype"), [(4.0, "float32"), (1.5, "float16"), (8.0, "bfloat16")]
)
def test_diffusers_loads_a_concept_with_its_alpha(
    pipeline: Any, varied, tmp_path: Path, to: str, alpha: float, dtype: str
) -> None:
    file, _ = varied(alpha=alpha, dtype=dtype)
    out = tmp_path / ("out" if to == "diffusers" else "out.safetensors")
    export_model(file, to, out)
    pipeline.load_lora_weights(out)
    check_layers(pipeline, file)


@pytest.mark.parametrize("to", ["diffusers", "kohya"])
def test_diffusers_loads_a_release_of_any_ranks(
    pipeline: Any, mixed: Path, tmp_path: Path, to: str
) -> None:
    out = tmp_path / ("out" if to == "diffusers" else "out.safetensors")
    export_model(mixed, to, out)
    pipeline.load_lora_weights(out)
    check_layers(pipeline, mixed)


def test_diffusers_loads_the_words(pipeline: Any, varied, tmp_path: Path) -> None:
    file, concept = varied()
    export_model(file, "diffusers", tmp_path / "out")
    pipeline.load_textual_inversion(
        [tmp_path / "out" / "potter1.safetensors", tmp_path / "out" / "potter2.safetensors"]
    )
    for found, mean in zip(words_in(pipeline, concept.header.words), means(file), strict=True):
        torch.testing.assert_close(found, mean, rtol=0, atol=1e-7)


def test_diffusers_loads_words_as_a1111_keeps_them(pipeline: Any, varied, tmp_path: Path) -> None:
    file, concept = varied(shared=True)
    export_model(file, "embeddings", tmp_path / "out")
    for word in concept.header.words:
        path = tmp_path / "out" / f"{word.strip('<>')}.safetensors"
        pipeline.load_textual_inversion(path, token=word)
    for found, mean in zip(words_in(pipeline, concept.header.words), means(file), strict=True):
        torch.testing.assert_close(found, mean, rtol=0, atol=1e-9)


def test_peft_loads_both_components(pipeline: Any, varied, tmp_path: Path) -> None:
    file, _ = varied(alpha=2.0)
    export_model(file, "peft", tmp_path / "out")
    for component in ("unet", "text_encoder"):
        PeftModel.from_pretrained(getattr(pipeline, component), tmp_path / "out" / component)
    check_layers(pipeline, file)


def test_peft_loads_a_release_of_any_ranks(pipeline: Any, mixed: Path, tmp_path: Path) -> None:
    export_model(mixed, "peft", tmp_path / "out")
    for component in ("unet", "text_encoder"):
        PeftModel.from_pretrained(getattr(pipeline, component), tmp_path / "out" / component)
    check_layers(pipeline, mixed)


@pytest.fixture(scope="module")
def deep(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A base with as many layers as Stable Diffusion 1.5."""
    return str(make_sd1(tmp_path_factory.mktemp("sd1") / "base"))


@pytest.mark.parametrize(
    ("base", "full", "dtype"),
    [
        ("toyworld", False, torch.float16),
        ("deep", False, torch.float16),
        ("deep", True, torch.float32),
    ],
)
def test_diffusers_loads_a_base_as_a_single_file(
    deep: str, tmp_path: Path, base: str, full: bool, dtype: torch.dtype
) -> None:
    base = deep if base == "deep" else base
    folder = locate(base)
    export_model(base, "single-file", tmp_path / "out.safetensors", full=full)
    loaded = StableDiffusionPipeline.from_single_file(
        str(tmp_path / "out.safetensors"), config=folder, local_files_only=True, torch_dtype=dtype
    )
    wanted = load_pipeline(folder, "cpu", dtype)
    for component in ("unet", "vae", "text_encoder"):
        state = getattr(wanted, component).state_dict()
        found = getattr(loaded, component).state_dict()
        assert found.keys() == state.keys()
        assert all(torch.equal(found[name], state[name]) for name in state)
    with safe_open(tmp_path / "out.safetensors", "pt") as opened:
        shapes = {key: opened.get_slice(key).get_shape() for key in opened.keys()}  # noqa: SIM118
    for key, shape in shapes.items():
        if ".mid.attn_1." in key and key.endswith("weight") and ".norm." not in key:
            assert shape[2:] == [1, 1], key
    assert not (tmp_path / "out-embeddings").exists()


def test_diffusers_loads_a_release_as_a_single_file(
    opened_base, release: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.safetensors"
    export_model(release, "single-file", out)
    loaded = StableDiffusionPipeline.from_single_file(
        str(out), config=opened_base.folder, local_files_only=True, torch_dtype=torch.float16
    )
    wanted = load_pipeline(str(release), "cpu", torch.float16)
    rows = opened_base.pipeline.text_encoder.get_input_embeddings().num_embeddings
    for component in ("unet", "vae", "text_encoder"):
        found = getattr(loaded, component).state_dict()
        for name, value in getattr(wanted, component).state_dict().items():
            value = value[:rows] if "token_embedding" in name else value
            assert torch.equal(found[name], value), name
    words = {file.name for file in (tmp_path / "out-embeddings").iterdir()}
    assert words == {f"{n}{i}.safetensors" for n in ("potter", "hermione") for i in (1, 2)}


def test_a_concept_is_merged_into_a_single_file(opened_base, varied, tmp_path: Path) -> None:
    file, concept = varied(alpha=2.0)
    export_model(file, "single-file", tmp_path / "out.safetensors", full=True)
    loaded = StableDiffusionPipeline.from_single_file(
        str(tmp_path / "out.safetensors"), config=opened_base.folder, local_files_only=True
    )
    merged, tensors = (
        family_of(loaded).adapted_layers(family_of(loaded).components(loaded)),
        concept.tensors(),
    )
    for name, layer in opened_base.layers.items():
        down, up = tensors[f"{name}.lora_A.weight"], tensors[f"{name}.lora_B.weight"]
        wanted = layer.weight + (0.5 * up.double() @ down.double()).float()
        assert torch.equal(merged[name].weight, wanted), name
