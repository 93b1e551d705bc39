"""What layers read while texts are encoded or pictures drawn.

Shapes: B prompts, S slots, T tokens, D width of a token.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from fedshow.edlora.tokens import EncoderWords
from fedshow.families import Base
from fedshow.families.placing import visiting
from fedshow.sampling.model import Model
from fedshow_server.fusion.moments import Moments

EMPHASIS = 30.0
"""How many times as much as others some tokens count, at which cross-attention looks most: the end of the
text and the concept's own words, for which alone the paper records text features; without a concept all
words."""

TEXTS_AT_ONCE = 16

Hear = Callable[[str, Tensor], None]
"""Takes an input's name and what was read."""


@contextmanager
def listening(base: Base, component: str, hear: Hear) -> Iterator[None]:
    """Within the block, `hear` gets each distinct input of a component's adapted layers."""
    handles = {}
    for layer, module in base.layers.items():
        name = base.family.input_of(layer)
        if layer.startswith(component) and name not in handles:
            handles[name] = module.register_forward_pre_hook(_hook(name, hear))
    try:
        yield
    finally:
        for handle in handles.values():
            handle.remove()


@contextmanager
def listening_to_pictures(base: Base, hear: Hear) -> Iterator[None]:
    """Within the block, `hear` gets what the denoiser's layers read of pictures: of guided batches the
    prompted half. What they read of texts is `read`'s.
    """
    contexts = context_slots(base)

    def prompted(name: str, inputs: Tensor) -> None:
        if name not in contexts:
            hear(name, inputs[len(inputs) // 2 :])

    with listening(base, f"{base.family.denoiser}.", prompted):
        yield


def _hook(name: str, hear: Hear) -> Callable[[nn.Module, tuple[Any, ...]], None]:
    def listen(_: nn.Module, args: tuple[Any, ...]) -> None:
        hear(name, args[0])

    return listen


@torch.no_grad()
def read(model: Model, texts: Sequence[str], moments: Moments) -> None:
    """Adds what the text encoders and the cross-attention layers read of these texts, and the keys that their
    queries then meet.
    """
    contexts, keys = context_slots(model.base), key_slots(model.base)
    device = model.base.device
    for start in range(0, len(texts), TEXTS_AT_ONCE):
        some = texts[start : start + TEXTS_AT_ONCE]
        found = [_encoded(model, words, some, moments) for words in model.tokens.encoders]
        features_BSTD = torch.cat([features for features, _ in found], -1)
        weights_BST = found[0][1]  # of the same tokens in every encoder
        last = weights_BST.shape[1] - 1
        for name, slot in contexts.items():
            own = min(slot, last)
            moments.add(name, features_BSTD[:, own], weights_BST[:, own])
        for name, (attention, slot) in keys.items():
            own = min(slot, last)
            with visiting(attention.to_k, device):
                keys_BTI = attention.to_k(features_BSTD[:, own])
            weights_BT = weights_BST[:, own]
            moments.add(name, centred(keys_BTI, weights_BT), weights_BT, attention.heads)


def _encoded(
    model: Model, words: EncoderWords, texts: Sequence[str], moments: Moments
) -> tuple[Tensor, Tensor]:
    """One encoder's features `[B, S, T, D]` and how much each token counts; adds what its layers read."""
    rows_BST, weights_BST = emphasised(words, model.tokens.spelled(texts))
    slots = rows_BST.shape[1]
    if words.encoder.pools and slots > 1:  # concepts are read once more, by the means of their rows
        averaged_BT = words.averaged(words.token_ids(model.tokens.spelled(texts)))
        rows_BST = torch.cat([rows_BST, averaged_BT[:, None]], 1)
        weights_BST = torch.cat([weights_BST, weights_BST[:, :1]], 1)
    weights = weights_BST.flatten(0, 1)

    def hear(name: str, inputs: Tensor) -> None:
        moments.add(name, inputs, weights)

    with listening(model.base, f"{words.encoder.component}.", hear):
        features, _ = words.encoder.read(rows_BST.flatten(0, 1))
    features_BSTD = features.view(*rows_BST.shape, -1)
    return features_BSTD[:, :slots], weights_BST[:, :slots]


def centred(keys_BTI: Tensor, weights_BT: Tensor) -> Tensor:
    """Without each text's mean: what all keys have in common, attention's softmax takes out again."""
    shares_BT1 = (weights_BT / weights_BT.sum(1, keepdim=True)).unsqueeze(2).to(keys_BTI.dtype)
    return keys_BTI - (shares_BT1 * keys_BTI).sum(1, keepdim=True)


def emphasised(words: EncoderWords, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Ids `[B, S, T]` of texts as one encoder reads them, and how much each token counts.

    If none of them names a concept, S is 1: all slots read the same.
    """
    ids_BT = words.token_ids(texts)
    rows_BST = words.spread(ids_BT)
    place_T = torch.arange(ids_BT.shape[1], device=ids_BT.device)
    end_B1 = words.ends(ids_BT)[:, None]
    end_BST, words_BST = (place_T == end_B1)[:, None], (place_T < end_B1)[:, None]
    own_BST = rows_BST >= words.embedding.num_embeddings
    named_BST = own_BST.any(2, keepdim=True)
    counts_BST = end_BST | torch.where(named_BST, own_BST, words_BST)
    weights_BST = torch.where(counts_BST, EMPHASIS, 1.0)
    slots = rows_BST.shape[1] if named_BST.any() else 1
    return rows_BST[:, :slots], weights_BST[:, :slots]


def context_slots(base: Base) -> dict[str, int]:
    """Inputs that are text features, each with the slot whose features it is."""
    return {
        base.family.input_of(layer): slot
        for layer, _, slot in _cross_attentions(base)
        if layer.endswith((".to_k", ".to_v"))
    }


def key_slots(base: Base) -> dict[str, tuple[Any, int]]:
    """Keys, each with the attention module that makes them and the slot whose features it reads."""
    return {
        keys: (attention, slot)
        for layer, attention, slot in _cross_attentions(base)
        if (keys := base.family.keys_of(layer)) is not None
    }


def _cross_attentions(base: Base) -> Iterator[tuple[str, nn.Module, int]]:
    """Adapted layers of cross-attention, each with its module and slot."""
    denoiser = base.denoiser
    slots = {id(module): slot for module, slot in base.family.slotted_layers(denoiser)}
    for layer in base.layers:
        component, _, name = layer.partition(".")
        if component == base.family.denoiser:
            parent = denoiser.get_submodule(name.rpartition(".")[0])
            if id(parent) in slots:
                yield layer, parent, slots[id(parent)]
