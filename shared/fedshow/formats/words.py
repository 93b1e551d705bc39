"""Words as other programs hold them: one vector each, in a file each.

A1111 and ComfyUI call a word what its file is called. Shapes: S slots, D embedding width, N vectors.
"""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from fedshow.errors import InvalidInput
from fedshow.formats.about import About
from fedshow.formats.container import read_tensors, write_tensors
from fedshow.formats.content import Content

Rows = Mapping[str, Tensor]
"""One word: `tokens` (and `tokens_2`) to rows `[S, D]` or, where all slots share one, `[1, D]`."""

PLACES = {"clip_l": "tokens", "clip_g": "tokens_2"}
"""What the encoders are called in files of two, and what in concept files."""

ALONE = "emb_params"
"""The key of a file with vectors for the one text encoder there is."""


def single_vector(rows_SD: Tensor) -> Tensor:
    """The one vector `[1, D]` that stands for all slots: their mean, to the bit where they are alike."""
    if is_shared(rows_SD):
        return rows_SD[:1].clone()
    return rows_SD.double().mean(0, keepdim=True).to(rows_SD.dtype)


def is_shared(rows_SD: Tensor) -> bool:
    """Whether all slots have the same row, so that one vector says everything."""
    return bool((rows_SD == rows_SD[:1]).all())


def loses_layers(content: Content) -> bool:
    """Whether one vector a word is less than the content has."""
    return not all(is_shared(rows) for rows in content.tokens.values())


def file_name(word: str) -> str:
    """`<potter1>` as a file, and so as programs call it: no system forbids it."""
    return f"{word.strip('<>')}.safetensors"


def embedding(rows: Rows) -> dict[str, Tensor]:
    """The tensors of one word's file."""
    if set(rows) == {"tokens"}:
        return {ALONE: single_vector(rows["tokens"])}
    return {ours: single_vector(rows[place]) for ours, place in PLACES.items() if place in rows}


def write_embeddings(folder: Path, content: Content, about: About) -> list[Path]:
    """One file a word, as A1111, Forge, SD.Next and ComfyUI take them into their embeddings folder."""
    files = []
    for word in about.words:
        file = folder / file_name(word)
        write_tensors(file, embedding(content.rows_of(word)), about.metadata())
        files.append(file)
    return files


def read_embedding(file: Path) -> list[Rows]:
    """The words in an embedding file, one for each vector, whatever program it is from.

    Raises InvalidInput naming the file for anything but `[D]` or `[N, D]` tensors, as many for each encoder.
    """
    tensors, _ = read_tensors(file)
    if PLACES.keys() >= tensors.keys():
        named = {PLACES[key]: tensor for key, tensor in tensors.items()}
    elif len(tensors) == 1:
        named = {"tokens": next(iter(tensors.values()))}
    else:
        keys = ", ".join(sorted(tensors)[:4])
        raise InvalidInput(
            f"{file}: an embedding is one tensor, or clip_l and clip_g; found {keys}"
        )
    return as_words(named, str(file))


def as_words(vectors: Mapping[str, Tensor], where: str) -> list[Rows]:
    """Vectors `[D]` or `[N, D]` by place as N words; raises InvalidInput."""
    for tensor in vectors.values():
        if tensor.ndim not in (1, 2):
            raise InvalidInput(f"{where}: shape {list(tensor.shape)}, an embedding has 1 or 2 axes")
    found = {place: tensor.reshape(-1, tensor.shape[-1]) for place, tensor in vectors.items()}
    counts = {len(tensor) for tensor in found.values()}
    if len(counts) > 1:
        raise InvalidInput(f"{where}: {sorted(counts)} vectors, both encoders need as many")
    return [
        {place: tensor[number : number + 1] for place, tensor in found.items()}
        for number in range(max(counts))
    ]
