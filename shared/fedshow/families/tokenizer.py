"""The tokenizer of a checkpoint in one file, which brings none: CLIP's own vocabulary."""

import os
from pathlib import Path
from typing import Any

from fedshow.errors import FedshowError, InvalidInput, Unreachable
from fedshow.families.checkpoint import Checkpoint
from fedshow.families.hub import TOKENIZER_FILES, in_cache, refusal

REPO = "openai/clip-vit-large-patch14"
VARIABLE = "FEDSHOW_TOKENIZER"


def clip_tokenizer(checkpoint: Checkpoint, component: str) -> Any:
    """Of a text encoder; from the folder that FEDSHOW_TOKENIZER names, else the hub's cache, else the hub.

    Raises InvalidInput when it is not the one that the checkpoint's text encoder was trained with, or nowhere
    to be had; Unreachable when the hub does not answer.
    """
    return _opened(_here() or _fetched(checkpoint.file), checkpoint, component)


def tokenizer_here(checkpoint: Checkpoint, component: str) -> Any:
    """The same without asking the hub: None when it is not on this machine."""
    folder = _here()
    return folder and _opened(folder, checkpoint, component)


def _opened(folder: Path, checkpoint: Checkpoint, component: str) -> Any:
    from transformers import CLIPTokenizer

    said, padding = checkpoint.text_encoder(component), checkpoint.texts[component].padding
    options = {"model_max_length": said["max_position_embeddings"]}
    options |= {} if padding is None else {"pad_token": padding}
    try:
        found = CLIPTokenizer.from_pretrained(folder, **options)
    except (OSError, ValueError) as error:
        raise refusal(f"tokenizer {str(folder)!r}", error) from error
    words = said["vocab_size"]
    if len(found) != words:
        raise InvalidInput(
            f"{checkpoint.file}: its {component.replace('_', ' ')} knows {words} tokens, the tokenizer in "
            f"{folder} {len(found)}"
        )
    return found


def _here() -> Path | None:
    """Where the variable says, else the hub's cache."""
    if named := _named():
        return named
    cached = (in_cache(REPO, name) for name in ("tokenizer.json", "vocab.json"))
    return next((file.parent for file in cached if file), None)


def _named() -> Path | None:
    """The folder that the variable names, or its part `tokenizer` if it is a whole base."""
    if not (said := os.environ.get(VARIABLE)):
        return None
    for folder in (Path(said), Path(said) / "tokenizer"):
        if any((folder / name).is_file() for name in ("tokenizer.json", "vocab.json")):
            return folder
    raise InvalidInput(
        f"{VARIABLE}={said!r}: no folder with tokenizer.json, or vocab.json and merges.txt"
    )


def _fetched(file: Path) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(REPO, allow_patterns=TOKENIZER_FILES))
    except Exception as error:
        raise _nowhere(file, error) from error


def _nowhere(file: Path, error: BaseException) -> FedshowError:
    found = refusal(f"tokenizer {REPO!r}", error)
    kind = Unreachable if isinstance(found, Unreachable) else InvalidInput
    return kind(
        f"{file} has no tokenizer in it; put CLIP's into the hub's cache (`hf download {REPO} tokenizer.json "
        f"vocab.json merges.txt`) or name a folder that has it: {VARIABLE}=FOLDER ({found})"
    )
