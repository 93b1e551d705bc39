"""Concepts made of noise, as many as are wanted, that fit any base."""

import numpy as np
from safetensors.numpy import save

from fedshow.concepts import ConceptHeader
from fedshow.families.card import BaseCard
from tests.stage.concepts import header_for

RANK = 4
"""The paper's."""


def name_of(number: int) -> str:
    """A name that a concept may have, another one for each number."""
    return "noise-" + "".join(chr(ord("a") + int(digit)) for digit in f"{number:04d}")


def header_of(number: int, card: BaseCard) -> ConceptHeader:
    """What a concept of noise says about itself."""
    return header_for(card, name_of(number), rank=RANK)


def tensors_of(number: int, card: BaseCard, size: float) -> dict[str, np.ndarray]:
    """Adapters for every layer, and two words, in halves as tuning writes them."""
    random = np.random.default_rng(number)

    def noise(*shape: int) -> np.ndarray:
        return (size * random.standard_normal(shape, np.float32)).astype(np.float16)

    words = header_of(number, card).words
    found = {f"tokens.{word}": noise(card.slots, card.token_dim) for word in words}
    for layer, (width_in, width_out) in card.layers.items():
        found[f"{layer}.lora_A.weight"] = noise(RANK, width_in)
        found[f"{layer}.lora_B.weight"] = noise(width_out, RANK)
    return found


def concept_file(number: int, card: BaseCard, size: float = 0.02) -> bytes:
    """The concept file, always the same one for a number."""
    tensors = tensors_of(number, card, size)
    return bytes(save(tensors, metadata={"fedshow": header_of(number, card).dump()}))
