"""`edlora.pth` of the paper's own repository, with every layer's row of every word.

The only format here that is a pickle, so this is the one place where fedshow touches a `.pth`: it is read
with `torch.load(weights_only=True)`, which makes tensors and containers and nothing else, by the offline
`fedshow import` alone. No server and no daemon imports this module.

    {"params": {"new_concept_embedding": {word: rows [S, D]},
                "text_encoder": {"<module>.lora_down.weight": …, "<module>.lora_up.weight": …},
                "unet": likewise}}

It has no alpha: there, alpha is a factor that the program is called with, 1 unless said otherwise. So
`alpha / rank` goes into `lora_up`. Rows are in the order of layers: down, mid, up. What fedshow says of
a file stands beside `params`, where the paper's code does not look.
"""

import io
import math
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fedshow.errors import InvalidInput
from fedshow.files import write_atomically
from fedshow.formats.about import KEY, About
from fedshow.formats.container import read_limited
from fedshow.formats.content import LowRank
from fedshow.formats.format import Foreign, Format, Options
from fedshow.formats.source import Source
from fedshow.formats.spelling import Spelling, own_names, write_layers
from fedshow.formats.words import Rows

WORDS = "new_concept_embedding"
SECOND = {"tokens": WORDS, "tokens_2": f"{WORDS}_2"}
"""The paper's code knows one text encoder; rows of a second stand in a dictionary of their own."""


def spelling(_family: str) -> Spelling:
    """Names of concept files, halves as kohya calls them."""
    return Spelling(own_names, ".lora_down.weight", ".lora_up.weight", alpha=".alpha")


def write(source: Source, out: Path, about: About, _options: Options) -> None:
    """Everything, in the dtype that it has; alpha folded into `lora_up`."""
    content = source.content
    folded = {layer: _folded(pair) for layer, pair in content.layers.items()}
    params: dict[str, Any] = {WORDS: {}, "text_encoder": {}, "unet": {}}
    for key, tensor in write_layers(folded, spelling(about.family)).items():
        component, _, inner = key.partition(".")
        if not key.endswith(".alpha"):
            params.setdefault(component, {})[inner] = tensor.contiguous()
    for word in about.words:
        for place, rows in content.rows_of(word).items():
            params.setdefault(SECOND[place], {})[word] = rows.contiguous()
    stored = io.BytesIO()  # a file's name would be stored, too
    torch.save({"params": params, KEY: about.dump()}, stored)
    write_atomically(out, stored.getvalue())


def folds_exactly(pair: LowRank) -> bool:
    """Whether the factor is a power of two, or else folding rounds."""
    return math.frexp(pair.scale)[0] == 0.5


def _folded(pair: LowRank) -> LowRank:
    up_OR = (pair.up_OR.double() * pair.scale).to(pair.up_OR.dtype)
    return LowRank(pair.down_RI, up_OR, float(pair.rank))


def recognises(path: Path) -> bool:
    """Whether it is called so and packed as torch does."""
    return path.suffix in (".pth", ".pt") and path.is_file() and zipfile.is_zipfile(path)


def read(path: Path) -> Foreign:
    """Adapters with the factor 1, and words with their rows; raises InvalidInput for anything else."""
    found = _load(path)
    params = found.get("params", found)
    if not isinstance(params, dict) or WORDS not in params:
        raise InvalidInput(f"{path}: no {WORDS!r} in it, as the paper's files have")
    parts = {part: _tensors(params[part], f"{path}: {part}") for part in params}
    tensors = {
        f"{part}.{key}": tensor
        for part, inner in parts.items()
        if part not in SECOND.values()
        for key, tensor in inner.items()
    }
    said = found.get(KEY)
    about = About.found_in({KEY: said}) if isinstance(said, str) else None
    return Foreign(_without_alphas(tensors), spelling, _words(parts), about)


def _load(path: Path) -> dict[str, Any]:
    blob = read_limited(path)
    try:
        found = torch.load(io.BytesIO(blob), map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        raise InvalidInput(f"{path} is not one of tensors alone: {error!s:.120}") from None
    if not isinstance(found, dict):
        raise InvalidInput(f"{path}: {type(found).__name__}, must be a dictionary with 'params'")
    return found


def _tensors(part: object, where: str) -> dict[str, Tensor]:
    if not isinstance(part, dict):
        raise InvalidInput(f"{where} is {type(part).__name__}, must be a dictionary of tensors")
    for key, tensor in part.items():
        if not (isinstance(key, str) and isinstance(tensor, Tensor)):
            raise InvalidInput(f"{where}: {key!s:.80} is {type(tensor).__name__}, no tensor")
    return {key: tensor.detach() for key, tensor in part.items()}


def _without_alphas(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Some versions store the factor as `alpha`; one other than 1 would mean two things, and is refused."""
    for key, tensor in tensors.items():
        if key.endswith(".alpha") and not (tensor.numel() == 1 and float(tensor) == 1):
            raise InvalidInput(
                f"{key}: alpha {tensor.flatten()[:4].tolist()}, must be 1 or not there"
            )
    return {key: tensor for key, tensor in tensors.items() if not key.endswith(".alpha")}


def _words(parts: Mapping[str, Mapping[str, Tensor]]) -> tuple[Rows, ...]:
    return tuple(
        {place: parts[part][word] for place, part in SECOND.items() if word in parts.get(part, {})}
        for word in parts[WORDS]
    )


EDLORA = Format("edlora", ".pth", True, write, recognises, read, folds_alpha=True)
