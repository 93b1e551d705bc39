"""A folder for diffusers: `load_lora_weights(OUT)` and `load_textual_inversion` of each word's file.

Alphas stand in the header, as diffusers writes them since 0.34. A word's file has one key, the word.
"""

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from fedshow.concepts.keys import is_token_key
from fedshow.documents import BadDocument, read_json
from fedshow.errors import InvalidInput
from fedshow.formats.about import About
from fedshow.formats.adapter_config import adapter_config, alpha_in
from fedshow.formats.container import keys_of, read_tensors, write_tensors
from fedshow.formats.content import Content
from fedshow.formats.format import Foreign, Format, Options
from fedshow.formats.source import Source
from fedshow.formats.spelling import Spelling, own_names, write_layers
from fedshow.formats.words import PLACES, Rows, file_name, read_embedding, single_vector

WEIGHTS = "pytorch_lora_weights.safetensors"
CONFIG = "lora_adapter_metadata"
OLD_NAMES = {f"to_{part}_lora": f"to_{part}" for part in "qkv"} | {"to_out_lora": "to_out.0"}


def spelling(_family: str) -> Spelling:
    """The very names of concept files; text encoders also without `text_model`, as diffusers writes now."""
    return Spelling(
        names=own_names,
        down=".lora_A.weight",
        up=".lora_B.weight",
        other_names=(_flat,),
        other_halves=(
            (".lora.down.weight", ".lora.up.weight"),
            (".lora_linear_layer.down.weight", ".lora_linear_layer.up.weight"),
        ),
    )


def _flat(layers: Collection[str]) -> dict[str, str]:
    return {layer: layer.replace(".text_model.", ".", 1) for layer in layers}


def write(source: Source, out: Path, about: About, _options: Options) -> None:
    """Adapters, if there are any, and one file a word."""
    content = source.content
    if content.layers:
        tensors = write_layers(content.layers, spelling(about.family))
        write_tensors(out / WEIGHTS, tensors, about.metadata() | {CONFIG: _config(content)})
    for word in about.words:
        write_tensors(out / file_name(word), _embedding(word, content), about.metadata())


def _config(content: Content) -> str:
    found = {
        f"{component}.{setting}": value
        for component in content.components()
        for setting, value in adapter_config(content.of_component(component)).items()
    }
    return json.dumps(found, indent=2, sort_keys=True)


def _embedding(word: str, content: Content) -> dict[str, Tensor]:
    """By the word where one encoder reads it, else by encoder: the way of training scripts for SDXL."""
    rows = content.rows_of(word)
    if set(rows) == {"tokens"}:
        return {word: single_vector(rows["tokens"])}
    return {theirs: single_vector(rows[ours]) for theirs, ours in PLACES.items()}


def recognises(path: Path) -> bool:
    """Whether it is a folder with such a file, or one."""
    if path.is_dir():
        return (path / WEIGHTS).is_file()
    keys = keys_of(path)
    if any(map(is_token_key, keys)):
        return False  # a concept file
    return any(
        key.startswith(("unet.", "text_encoder")) and ".lora" in _modern(key) for key in keys
    )


def read(path: Path) -> Foreign:
    """Adapters, and what lies beside them in a folder as words, by file name."""
    file = path / WEIGHTS if path.is_dir() else path
    tensors, metadata = read_tensors(file)
    words: list[Rows] = []
    for other in sorted(path.glob("*.safetensors")) if path.is_dir() else ():
        if other != file:
            words += read_embedding(other)
    modern = {_modern(key): tensor for key, tensor in tensors.items()}
    about = About.found_in(metadata)
    return Foreign(modern, spelling, tuple(words), about, alpha_in(_configs(metadata), str(file)))


def _modern(key: str) -> str:
    """Keys of attention processors, as diffusers wrote them until 0.20, as those of their layers."""
    if ".processor." in key:
        key = key.replace(".processor.", ".", 1)
        for old, new in OLD_NAMES.items():
            key = key.replace(f".{old}.", f".{new}.lora.", 1)
    return key


def _configs(metadata: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Settings by component."""
    try:
        settings = read_json(metadata[CONFIG]) if CONFIG in metadata else {}
    except BadDocument as error:
        raise InvalidInput(f"{CONFIG}: {error}") from None
    found: dict[str, dict[str, Any]] = {}
    for key, value in settings.items():
        component, _, setting = key.partition(".")
        found.setdefault(component, {})[setting] = value
    return found


DIFFUSERS = Format("diffusers", "", False, write, recognises, read)
