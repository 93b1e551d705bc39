"""What `check` must know of a base, read from its few small JSON files: no weights, no torch."""

import json
from pathlib import Path
from typing import Any

from fedshow.errors import InvalidInput
from fedshow.families.checkpoint_kinds import read_checkpoint
from fedshow.families.hub import fetched_files
from fedshow.families.locating import INDEX, locate
from fedshow_client.tuning.data.frames import Frame

FILES = (
    INDEX,
    *(f"{part}/config.json" for part in ("unet", "transformer", "vae", "text_encoder")),
)


def frame_and_width(base: str) -> tuple[Frame, int]:
    """The picture sizes of a base and the width of its token embeddings.

    Raises InvalidInput when `base` is no base that fedshow knows, Unreachable when it cannot be fetched now.
    """
    try:
        said, vae, text = _configs(base)
        return Frame.of_configs(said, vae), int(text["hidden_size"])
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidInput(f"base {base!r}: not a model of a known family ({error})") from None


def _configs(base: str) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Of the denoiser, the autoencoder and the (first) text encoder."""
    located = locate(base)
    if Path(located).is_file():
        checkpoint = read_checkpoint(Path(located))
        return checkpoint.unet, checkpoint.vae, checkpoint.text_encoder()
    folder = Path(located) if Path(located).is_dir() else fetched_files(located, FILES)
    denoiser = "transformer" if "transformer" in _json(base, folder, INDEX) else "unet"
    parts = (denoiser, "vae", "text_encoder")
    said, vae, text = (_json(base, folder, f"{part}/config.json") for part in parts)
    return said, vae, text


def _json(base: str, folder: Path, name: str) -> dict[str, Any]:
    try:
        found = json.loads((folder / name).read_text("utf-8"))
    except OSError as error:
        raise InvalidInput(f"base {base!r}: {name} cannot be read ({error})") from None
    return dict(found)
