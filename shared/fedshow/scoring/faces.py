"""ArcFace models (arXiv 1801.07698) as scorers: whose face it is. They run in onnxruntime, from a local file.

Nothing here looks for faces: a picture is taken as one, whole and square from its middle, as the crop of a
region or a portrait is.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor
from torch.nn import functional as F

from fedshow.errors import InvalidInput, first_line

EDGE = 112


class ArcFaceScorer:
    """Cosines of face embeddings; it knows no text."""

    def __init__(self, file: Path) -> None:
        self.name = f"arcface {file.stem}"
        self.session = _session(file)
        (self.input,) = _only(file, "input", self.session.get_inputs())
        _only(file, "output", self.session.get_outputs())
        if len(self.input.shape) != 4 or self.input.shape[1] not in (3, None):
            raise InvalidInput(f"scorer {file}: takes {self.input.shape}, must be [N, 3, 112, 112]")

    def features(self, images: Sequence[Image.Image]) -> Tensor:
        """Face embeddings."""
        found = [self.session.run(None, {self.input.name: _pixels(image)})[0] for image in images]
        return F.normalize(torch.from_numpy(np.concatenate(found)).float(), dim=-1)

    def text_scores(self, images: Sequence[Image.Image], texts: Sequence[str]) -> None:  # noqa: ARG002
        """None."""
        return


def _session(file: Path) -> Any:
    try:
        import onnxruntime
    except ImportError:
        raise InvalidInput(
            f"scorer {file} needs a package that is not here: pip install 'fedshow[faces]'"
        ) from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    try:
        return onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors have no common class
        raise InvalidInput(f"scorer {file} cannot be loaded: {first_line(error)}") from error


def _only(file: Path, what: str, found: Sequence[Any]) -> Sequence[Any]:
    if len(found) != 1:
        raise InvalidInput(f"scorer {file}: {len(found)} {what}s, a face model has one")
    return found


def _pixels(image: Image.Image) -> Any:
    """Floats `[1, 3, 112, 112]` from -1 to 1, as ArcFace was trained."""
    face = ImageOps.fit(image.convert("RGB"), (EDGE, EDGE), Image.Resampling.BICUBIC)
    values = (np.asarray(face, np.float32) - 127.5) / 127.5
    return values.transpose(2, 0, 1)[None]
