"""CLIP and DINOv2 models from a local folder, as scorers.

transformers' own picture preparation needs torchvision; the few lines it takes are here.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from fedshow.errors import InvalidInput, first_line
from fedshow.families.opening import quiet_libraries
from fedshow.scoring.faces import ArcFaceScorer
from fedshow.scoring.locating import CONFIG, WANTED, onnx_file
from fedshow.scoring.scorers import Scorer

CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
DINO_TYPES = ("dinov2", "dinov2_with_registers", "dinov3_vit", "vit")


def open_encoder(folder: Path, device: torch.device) -> Scorer:
    """The CLIP or DINO model in `folder`, or the ArcFace model that it is or holds as ONNX.

    Raises InvalidInput when there is none: of CLIP and DINO only safetensors are opened.
    """
    if (file := onnx_file(folder)) is not None:
        return ArcFaceScorer(file)
    kind = _read_json(folder / CONFIG, required=True).get("model_type")
    if kind != "clip" and kind not in DINO_TYPES:
        raise InvalidInput(f"scorer {folder}: model type {kind!r}; use a CLIP or DINOv2 folder")
    quiet_libraries()
    try:
        return ClipScorer(folder, device) if kind == "clip" else DinoScorer(folder, device)
    except (OSError, ValueError) as error:
        raise InvalidInput(f"scorer {folder} cannot be loaded: {first_line(error)}") from error


class ClipScorer:
    """Cosines of CLIP (arXiv 2103.00020): picture to picture, and picture to text."""

    def __init__(self, folder: Path, device: torch.device) -> None:
        from transformers import AutoTokenizer, CLIPModel

        self.name = f"clip {folder.resolve().name}"
        self.model = _load(CLIPModel, folder, device)
        self.tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        size = self.model.config.vision_config.image_size
        self.preparation = Preparation.of(folder, size, CLIP_MEAN, CLIP_STD)

    @torch.no_grad()
    def features(self, images: Sequence[Image.Image]) -> Tensor:
        """Projected picture features."""
        pixels = self.preparation(images).to(self.model.device)
        return _unit(self.model.get_image_features(pixel_values=pixels).pooler_output)

    @torch.no_grad()
    def text_scores(self, images: Sequence[Image.Image], texts: Sequence[str]) -> Tensor:
        """Cosine of each picture to its text."""
        limit = self.model.config.text_config.max_position_embeddings
        read = self.tokenizer(
            list(texts), padding=True, truncation=True, max_length=limit, return_tensors="pt"
        ).to(self.model.device)
        wanted = self.model.get_text_features(
            input_ids=read.input_ids, attention_mask=read.attention_mask
        )
        return (self.features(images) * _unit(wanted.pooler_output)).sum(1)


class DinoScorer:
    """Cosines of DINO's class token (arXiv 2304.07193); it knows no text."""

    def __init__(self, folder: Path, device: torch.device) -> None:
        from transformers import AutoModel

        self.name = f"dino {folder.resolve().name}"
        self.model = _load(AutoModel, folder, device)
        size = min(224, self.model.config.image_size)
        self.preparation = Preparation.of(folder, size, IMAGENET_MEAN, IMAGENET_STD)

    @torch.no_grad()
    def features(self, images: Sequence[Image.Image]) -> Tensor:
        """The class token after the last layer."""
        pixels = self.preparation(images).to(self.model.device)
        return _unit(self.model(pixel_values=pixels).last_hidden_state[:, 0])

    def text_scores(self, images: Sequence[Image.Image], texts: Sequence[str]) -> None:  # noqa: ARG002
        """None."""
        return


@dataclass(frozen=True)
class Preparation:
    """Pictures as an encoder wants them: shortest edge, square from the middle, mean and spread."""

    edge: int
    crop: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def of(
        cls, folder: Path, size: int, mean: tuple[float, ...], std: tuple[float, ...]
    ) -> "Preparation":
        """As the folder's preprocessor_config.json says, else the values given."""
        said = _read_json(folder / "preprocessor_config.json", required=False)
        crop = _edge(said.get("crop_size"), size)
        return cls(
            edge=_edge(said.get("size"), crop),
            crop=crop,
            mean=tuple(said.get("image_mean", mean)),
            std=tuple(said.get("image_std", std)),
        )

    def __call__(self, images: Sequence[Image.Image]) -> Tensor:
        """Floats `[N, 3, crop, crop]`."""
        pixels = np.stack([np.asarray(self._square(image)) for image in images])
        scaled = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
        mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (self.mean, self.std))
        return (scaled - mean) / std

    def _square(self, image: Image.Image) -> Image.Image:
        shrink = max(self.edge, self.crop) / min(image.size)
        width, height = (round(length * shrink) for length in image.size)
        image = image.convert("RGB").resize((width, height), Image.Resampling.BICUBIC)
        left, top = (width - self.crop) // 2, (height - self.crop) // 2
        return image.crop((left, top, left + self.crop, top + self.crop))


def _edge(said: Any, default: int) -> int:
    """Of `224`, `{"shortest_edge": 224}` or `{"height": 224, "width": 224}`."""
    if isinstance(said, dict):
        said = said.get("shortest_edge") or said.get("height")
    return int(said or default)


def _load(kind: Any, folder: Path, device: torch.device) -> Any:
    model = kind.from_pretrained(folder, use_safetensors=True, local_files_only=True)
    return model.to(device).eval().requires_grad_(False)


def _unit(features: Tensor) -> Tensor:
    return F.normalize(features.float().cpu(), dim=-1)


def _read_json(path: Path, required: bool) -> dict[str, Any]:
    try:
        return cast(dict[str, Any], json.loads(path.read_text()))
    except (OSError, ValueError) as error:
        if not required and not path.exists():
            return {}
        raise InvalidInput(
            f"scorer {path.parent}: {path.name} cannot be read; name {WANTED}"
        ) from error
