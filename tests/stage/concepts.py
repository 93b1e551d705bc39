"""Small concept files, the base that they fit, and a data folder that knows it."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from safetensors.numpy import save

from fedshow import __version__
from fedshow.concepts import ConceptFile, ConceptHeader, words_of, write_concept
from fedshow.families.card import BaseCard
from fedshow_server.folder import DataFolder, DescribedBase

if TYPE_CHECKING:
    from fedshow.families import Base

CARD = BaseCard(
    name="tiny", sha256="ab" * 32, family="sd1", slots=2, token_dim=4, layers={"unet.a": (3, 5)}
)


def header_for(
    card: BaseCard, name: str, class_word: str = "monster", rank: int = 2
) -> ConceptHeader:
    """What a concept of this name says about itself."""
    return ConceptHeader(
        family=card.family,
        base=card.ref,
        name=name,
        class_word=class_word,
        words=words_of(name),
        slots=card.slots,
        rank=rank,
        alpha=float(rank),
        created=datetime(2026, 1, 1, tzinfo=UTC),
        fedshow=__version__,
    )


def concept_bytes(
    name: str,
    class_word: str = "man",
    seed: int = 0,
    size: float = 1.0,
    card: BaseCard = CARD,
    **changes: object,
) -> bytes:
    """A concept file that fits the base; a huge `size` of its adapter makes it a poisoned one."""
    random = np.random.default_rng(seed)
    header = header_for(card, name, class_word).model_copy(update=changes)
    inputs, outputs = card.layers["unet.a"]
    tensors = {
        "unet.a.lora_A.weight": size * random.standard_normal((2, inputs)).astype(np.float32),
        "unet.a.lora_B.weight": random.standard_normal((outputs, 2)).astype(np.float32),
        **{f"tokens.{word}": np.ones((2, 4), np.float32) for word in words_of(name)},
    }
    return bytes(save(tensors, metadata={"fedshow": header.dump()}))


def random_concept(
    path: Path,
    card: BaseCard,
    name: str,
    seed: int,
    rank: int = 2,
    size: float = 0.05,
    class_word: str = "monster",
) -> ConceptFile:
    """A concept file for `card` at `path`; adapters of the usual `size` change the base noticeably."""
    import torch

    generator = torch.Generator().manual_seed(seed)

    def noise(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator) * size

    tensors = {
        f"{encoder}.{word}": noise(card.slots, dim)
        for encoder, dim in card.token_dims.items()
        for word in words_of(name)
    }
    for layer, (d_in, d_out) in card.layers.items():
        tensors[f"{layer}.lora_A.weight"] = noise(rank, d_in)
        tensors[f"{layer}.lora_B.weight"] = noise(d_out, rank)
    return write_concept(path, header_for(card, name, class_word, rank), tensors)


def make_data(path: Path, card: BaseCard = CARD, base: str = "tiny") -> Path:
    """A data folder that knows its base already."""
    folder = DataFolder(path)
    folder.make()
    folder.keep_base(DescribedBase(base=base, fedshow=__version__, card=card))
    return path


def varied_concept(
    path: Path,
    card: BaseCard,
    name: str = "potter",
    rank: int = 4,
    alpha: float = 4.0,
    dtype: str = "float32",
    shared: bool = False,
    words: int = 2,
    adapters: bool = True,
) -> ConceptFile:
    """A concept file as other programs may have made it; `shared` are words without rows for layers."""
    import torch

    generator = torch.Generator().manual_seed(rank)

    def noise(*shape: int) -> torch.Tensor:
        return (torch.randn(shape, generator=generator) * 0.05).to(getattr(torch, dtype))

    rows = 1 if shared else card.slots
    tensors = {
        f"{encoder}.{word}": noise(rows, dim).expand(card.slots, -1)
        for encoder, dim in card.token_dims.items()
        for word in words_of(name, words)
    }
    for layer, (d_in, d_out) in card.layers.items() if adapters else ():
        tensors[f"{layer}.lora_A.weight"] = noise(rank, d_in)
        tensors[f"{layer}.lora_B.weight"] = noise(d_out, rank)
    header = header_for(card, name, rank=rank).model_copy(
        update={"alpha": alpha, "words": words_of(name, words)}
    )
    return write_concept(path, header, tensors)


def described_concept(
    path: Path, base: "Base", name: str, first: str, class_word: str
) -> ConceptFile:
    """A concept that is what two words of the base say: it draws `<name>` as "a FIRST CLASS", untuned."""
    import torch

    (encoder,) = base.text_encoders
    table = encoder.module.get_input_embeddings().weight.detach().float()
    known = zip(words_of(name), (first, class_word), strict=True)
    ids = {own: encoder.tokenizer(word, add_special_tokens=False).input_ids for own, word in known}
    tensors = {
        f"tokens.{own}": table[found].repeat(base.card.slots, 1) for own, found in ids.items()
    }
    for layer, (d_in, d_out) in base.card.layers.items():
        tensors[f"{layer}.lora_A.weight"] = torch.ones(1, d_in)
        tensors[f"{layer}.lora_B.weight"] = torch.zeros(d_out, 1)
    return write_concept(path, header_for(base.card, name, class_word, rank=1), tensors)
