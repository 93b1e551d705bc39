"""The same weights are the same base, however they are stored; what is not whole is named."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from fedshow.errors import InvalidInput
from fedshow.families import Base, open_base
from fedshow.families.filling import Weights
from fedshow.families.stored import Place, choose, weights_in
from fedshow.toyworld import WEIGHTS
from tests.stage import stored


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stored.make_base(tmp_path_factory.mktemp("base") / "base")


@pytest.fixture(scope="module")
def opened(folder: Path) -> Base:
    return open_base(str(folder))


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    return shutil.copytree(folder, tmp_path / "copy")


def test_it_opens_as_diffusers_opens_it(folder: Path, opened: Base) -> None:
    from diffusers import StableDiffusionPipeline

    stock = StableDiffusionPipeline.from_pretrained(folder, safety_checker=None)
    for name, part in opened.parts.items():
        theirs = getattr(stock, name).state_dict()
        assert part.state_dict().keys() == theirs.keys()
        assert all(torch.equal(value, theirs[key]) for key, value in part.state_dict().items())
        assert not part.training
        assert not any(parameter.requires_grad for parameter in part.parameters())
    ids = torch.arange(20)[None]
    with torch.no_grad():
        assert torch.equal(opened.pipeline.text_encoder(ids)[0], stock.text_encoder(ids)[0])
    assert len(opened.family.slotted_layers(opened.denoiser)) == opened.card.slots == 16


@pytest.mark.parametrize(
    ("store", "dtype"),
    [
        (stored.in_halves, torch.float32),
        (stored.in_halves, torch.float16),
        (stored.sharded, torch.float32),
        (lambda base, out: stored.sharded(base, out, ".fp16"), torch.float32),
        (stored.in_old_names, torch.float32),
    ],
    ids=["fp16", "fp16 as it is", "sharded", "sharded fp16", "old names"],
)
def test_the_fingerprint_is_that_of_the_weights(
    folder: Path,
    opened: Base,
    tmp_path: Path,
    store: Callable[[Path, Path], Path],
    dtype: torch.dtype,
) -> None:
    again = open_base(str(store(folder, tmp_path / "other")), dtype=dtype)
    assert again.card.sha256 == opened.card.sha256
    assert all(p.dtype == dtype for part in again.parts.values() for p in part.parameters())


@pytest.mark.parametrize("limit", [1 << 30, 100_000])
def test_files_are_opened_anew_only_for_their_pages(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    """Once for all tensors of a shard, but no more than the limit and one tensor stays in memory."""
    files = weights_in(stored.sharded(folder, tmp_path / "base") / "unet")
    opened: list[Path] = []

    def counted(file: Path, framework: str) -> Any:
        opened.append(file)
        return safe_open(file, framework)

    monkeypatch.setattr("safetensors.safe_open", counted)
    monkeypatch.setattr("fedshow.families.filling.MOST_MAPPED_BYTES", limit)
    weights = Weights(files)
    read = [weights.tensor(Place(name), torch.float32) for name in sorted(weights.shapes)]
    assert set(opened) == set(files)
    turns = sum(tensor.nbytes for tensor in read) // limit + 1
    largest = max(tensor.nbytes for tensor in read)
    assert turns / (1 + largest / limit) < len(opened) / len(files) <= turns


def test_other_weights_are_another_base(copy: Path, opened: Base) -> None:
    file = stored.weights(copy, "vae")
    tensors = load_file(file)
    tensors["decoder.conv_out.bias"] += 0.1
    save_file(tensors, file)
    assert open_base(str(copy)).card.sha256 != opened.card.sha256


def test_full_precision_is_preferred() -> None:
    both = ["config.json", "model.fp16.safetensors", "model.safetensors", "pytorch_model.bin"]
    assert choose(both) == ["model.safetensors"]
    assert choose(["model.bin", "model.ckpt"]) == []
    old = ["model.safetensors.index.fp16.json", "model.fp16-00001-of-00001.safetensors"]
    assert choose([*old, "model.non_ema-00001-of-00001.safetensors"]) == old


def test_a_folder_says_that_velocities_are_predicted(copy: Path) -> None:
    file = copy / "scheduler" / "scheduler_config.json"
    said = json.loads(file.read_text())
    file.write_text(json.dumps({**said, "prediction_type": "v_prediction"}))
    assert open_base(str(copy)).pipeline.scheduler.config.prediction_type == "v_prediction"


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n"


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1000])


def cut_header(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:300])


def as_page(file: Path) -> None:
    file.write_bytes(b"<!doctype html><title>Sign in</title>")


def as_pickle(file: Path) -> None:
    file.rename(file.with_suffix(".bin"))


def without_a_layer(file: Path) -> None:
    tensors = load_file(file)
    tensors.pop("conv_in.weight" if "unet" in str(file) else "encoder.conv_in.weight")
    save_file(tensors, file)


def of_another_size(file: Path) -> None:
    file.write_bytes(stored.weights(WEIGHTS, file.parent.name).read_bytes())


def without_a_shard(file: Path) -> None:
    index = {"weight_map": {"conv_in.weight": "diffusion_pytorch_model-00001-of-00002.safetensors"}}
    file.with_name(f"{file.name}.index.json").write_text(json.dumps(index))
    file.unlink()


@pytest.mark.parametrize(
    ("part", "damage", "says"),
    [
        ("unet", Path.unlink, r"unet/diffusion_pytorch_model.safetensors is missing"),
        ("text_encoder", Path.unlink, r"text_encoder/.*model.safetensors is missing"),
        ("unet", cut, r"unet/diffusion_pytorch_model.safetensors is cut off"),
        ("vae", cut_header, r"vae/diffusion_pytorch_model.safetensors is cut off"),
        ("vae", lambda file: file.write_bytes(b""), r"vae/diff.*safetensors is cut off"),
        ("unet", lambda file: file.write_bytes(POINTER), r"unet/diff.*is a pointer of git-lfs"),
        ("unet", as_page, r"unet/diffusion_pytorch_model.safetensors is no safetensors file"),
        ("text_encoder", as_pickle, r"text_encoder/model.bin is a pickle"),
        ("unet", without_a_layer, r"unet/diffusion_pytorch.*: conv_in.weight is missing"),
        ("vae", of_another_size, r"vae/diffusion_pytorch_model.safetensors: .* has the shape"),
        ("unet", without_a_shard, r"unet/diff.*-00001-of-00002.safetensors is missing; .*index"),
        ("vae", lambda file: (file.parent / "config.json").unlink(), r"vae/config.json cannot be"),
    ],
)  # fmt: skip
def test_what_is_not_whole_is_named(
    copy: Path, part: str, damage: Callable[[Path], object], says: str
) -> None:
    damage(stored.weights(copy, part))
    with pytest.raises(InvalidInput, match=f"base '.*/copy' cannot be loaded: .*{says}"):
        open_base(str(copy))
