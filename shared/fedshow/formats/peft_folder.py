"""Folders that PEFT loads, one a component: `PeftModel.from_pretrained(pipeline.unet, OUT/unet)`.

The first text encoder is spelled as the transformers that fedshow needs spell it, without `text_model`.
PEFT has no place for words: they lie in `OUT/embeddings`.
"""

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

from torch import Tensor

from fedshow.documents import BadDocument, read_json
from fedshow.errors import InvalidInput
from fedshow.formats.about import About
from fedshow.formats.adapter_config import adapter_config, alpha_in
from fedshow.formats.container import read_limited, read_tensors, write_tensors
from fedshow.formats.format import Foreign, Format, Options
from fedshow.formats.source import Source
from fedshow.formats.spelling import Spelling, own_names, write_layers
from fedshow.formats.words import Rows, file_name, read_embedding, write_embeddings

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
WRAPPED = "base_model.model."
EMBEDDINGS = "embeddings"


def spelling(_family: str) -> Spelling:
    """Keys without PEFT's own beginning, which belongs to a component's file."""
    return Spelling(
        names=_flat, down=".lora_A.weight", up=".lora_B.weight", other_names=(own_names,)
    )


def _flat(layers: Collection[str]) -> dict[str, str]:
    return {
        layer: layer.replace("text_encoder.text_model.", "text_encoder.", 1) for layer in layers
    }


def write(source: Source, out: Path, about: About, _options: Options) -> None:
    """A folder for each component that has adapters, and the words beside."""
    content = source.content
    tensors = write_layers(content.layers, spelling(about.family))
    for component in content.components():
        own = {
            WRAPPED + key.removeprefix(f"{component}."): tensor
            for key, tensor in tensors.items()
            if key.startswith(f"{component}.")
        }
        write_tensors(out / component / WEIGHTS, own, about.metadata())
        settings = {"peft_type": "LORA", "inference_mode": True, "fan_in_fan_out": False}
        settings |= adapter_config(content.of_component(component))
        (out / component / CONFIG).write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n")
    write_embeddings(out / EMBEDDINGS, content, about)


def recognises(path: Path) -> bool:
    """Whether a component's folder, or one with such folders."""
    return (path / CONFIG).is_file() or any(path.glob(f"*/{CONFIG}"))


def read(path: Path) -> Foreign:
    """Adapters of every component, and words from the folder `embeddings`.

    A folder of one component alone counts as what it is called, else as a U-Net.
    """
    if (path / CONFIG).is_file():
        name = path.absolute().name
        folders = {name if name.startswith("text_encoder") else "unet": path}
    else:
        folders = {file.parent.name: file.parent for file in sorted(path.glob(f"*/{CONFIG}"))}
    tensors: dict[str, Tensor] = {}
    about = None
    for component, folder in folders.items():
        own, metadata = read_tensors(folder / WEIGHTS)
        about = about or About.found_in(metadata)
        tensors |= {f"{component}.{key.removeprefix(WRAPPED)}": own[key] for key in own}
    configs = {component: _config(folder / CONFIG) for component, folder in folders.items()}
    words = _words(path / EMBEDDINGS, about)
    return Foreign(tensors, spelling, tuple(words), about, alpha_in(configs, str(path)))


def _config(file: Path) -> dict[str, Any]:
    try:
        found = read_json(read_limited(file))
    except BadDocument as error:
        raise InvalidInput(f"{file}: {error}") from None
    if not isinstance(found, dict) or found.get("peft_type") != "LORA":
        raise InvalidInput(f"{file}: peft_type must be 'LORA'")
    return found


def _words(folder: Path, about: About | None) -> list[Rows]:
    files = sorted(folder.glob("*.safetensors"))
    if about is not None:
        files = [folder / file_name(word) for word in about.words]
    return [word for file in files for word in read_embedding(file)]


PEFT = Format("peft", "", False, write, recognises, read, needs_adapters=True)
