"""Whether a measuring model lies where somebody says, without opening it."""

from pathlib import Path

from fedshow.errors import InvalidInput

ONNX = ".onnx"
CONFIG = "config.json"
"""Of a CLIP or DINOv2 folder, as transformers saves it."""

WANTED = f"a CLIP or DINOv2 folder with its {CONFIG}, or an ArcFace model, which is one {ONNX} file"


def looks_like_scorer(path: Path) -> bool:
    """Whether `open_encoder` would try it; raises InvalidInput for a folder of several ONNX models."""
    return onnx_file(path) is not None or (path / CONFIG).is_file()


def onnx_file(path: Path) -> Path | None:
    """The ONNX model at `path` or in that folder; None when there is none, InvalidInput for several."""
    if path.is_file():
        return path if path.suffix == ONNX else None
    found = sorted(path.glob(f"*{ONNX}"))
    if len(found) > 1:
        names = ", ".join(file.name for file in found)
        raise InvalidInput(f"scorer {path}: several models ({names}); name the file")
    return next(iter(found), None)
