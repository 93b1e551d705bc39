"""What `check` must know of a base, read from its few small JSON files: no weights, no torch."""

import json
from pathlib import Path
from typing import Any

from fedshow.errors import InvalidInput
from fedshow.families.checkpoint_kinds import read_checkpoint
from fedshow.toyworld import WEIGHTS
from fedshow_client.tuning.data.frames import Frame


def frame_and_width(base: str) -> tuple[Frame, int]:
    """The picture sizes of a base and the width of its token embeddings.

    Raises InvalidInput when `base` is no base that fedshow knows, or cannot be reached.
    """
    try:
        said, vae, text = _configs(base)
        return Frame.of_configs(said, vae), int(text["hidden_size"])
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidInput(f"base {base!r}: not a model of a known family ({error})") from None


def _configs(base: str) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Of the denoiser, the autoencoder and the (first) text encoder."""
    if base.endswith(".safetensors") and Path(base).is_file():
        checkpoint = read_checkpoint(Path(base))
        return checkpoint.unet, checkpoint.vae, checkpoint.text_encoder()
    denoiser = "transformer" if "transformer" in _json(base, "model_index.json") else "unet"
    parts = (denoiser, "vae", "text_encoder")
    said, vae, text = (_json(base, f"{part}/config.json") for part in parts)
    return said, vae, text


def _json(base: str, name: str) -> dict[str, Any]:
    path = _find(base, name)
    try:
        found = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise InvalidInput(f"base {base!r}: {name} cannot be read ({error})") from None
    return dict(found)


def _find(base: str, name: str) -> Path:
    """A file of the base: of the embedded one, of a diffusers folder, or from the hub."""
    folder = WEIGHTS if base == "toyworld" else Path(base)
    if (folder / "model_index.json").is_file():
        return folder / name
    if base.count("/") != 1 or folder.exists() or base.startswith((".", "/", "~")):
        raise InvalidInput(
            f"base {base!r}: use 'toyworld', a diffusers folder (with model_index.json), a checkpoint as "
            "one .safetensors file, or a hub id"
        )
    return _from_hub(base, name)


def _from_hub(base: str, name: str) -> Path:
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(base, name))
    except (OSError, ValueError) as error:  # the hub's errors are OSErrors, bad ids ValueErrors
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InvalidInput(f"base {base!r}: {name} cannot be fetched: {first}") from None
