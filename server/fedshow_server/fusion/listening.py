"""What layers read while texts are encoded or pictures drawn.

Shapes: B prompts, S slots, T tokens, D width of a token.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from fedshow.families import Base
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


def _hook(name: str, hear: Hear) -> Callable[[nn.Module, tuple[Any, ...]], None]:
    def listen(_: nn.Module, args: tuple[Any, ...]) -> None:
        hear(name, args[0])

    return listen


@torch.no_grad()
def read(model: Model, texts: Sequence[str], moments: Moments) -> None:
    """Adds what the text encoder and the cross-attention layers read of these texts, and the keys that their
    queries then meet.
    """
    contexts, keys = context_slots(model.base), key_slots(model.base)
    for start in range(0, len(texts), TEXTS_AT_ONCE):
        rows_BST, weights_BST = emphasised(model, texts[start : start + TEXTS_AT_ONCE])
        rows, weights = rows_BST.flatten(0, 1), weights_BST.flatten(0, 1)

        def hear(name: str, inputs: Tensor, weights: Tensor = weights) -> None:
            moments.add(name, inputs, weights)

        with listening(model.base, "text_encoder.", hear):
            features = model.tokens.text_encoder(rows)[0]
        features_BSTD = features.unflatten(0, rows_BST.shape[:2])
        last = rows_BST.shape[1] - 1
        for name, slot in contexts.items():
            own = min(slot, last)
            moments.add(name, features_BSTD[:, own], weights_BST[:, own])
        for name, (attention, slot) in keys.items():
            own = min(slot, last)
            keys_BTI = attention.to_k(features_BSTD[:, own])
            weights_BT = weights_BST[:, own]
            moments.add(name, centred(keys_BTI, weights_BT), weights_BT, attention.heads)


def centred(keys_BTI: Tensor, weights_BT: Tensor) -> Tensor:
    """Without each text's mean: what all keys have in common, attention's softmax takes out again."""
    shares_BT1 = (weights_BT / weights_BT.sum(1, keepdim=True)).unsqueeze(2).to(keys_BTI.dtype)
    return keys_BTI - (shares_BT1 * keys_BTI).sum(1, keepdim=True)


def emphasised(model: Model, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Ids `[B, S, T]` of texts, and how much each token counts.

    If none of them names a concept, S is 1: all slots read the same.
    """
    tokens = model.tokens
    ids_BT = tokens.token_ids(list(texts))
    rows_BST = tokens.spread(ids_BT)
    is_end_BT = ids_BT == tokens.tokenizer.eos_token_id
    seen_BT = is_end_BT.cumsum(1)  # the padding may be the same token
    end_BST, words_BST = (is_end_BT & (seen_BT == 1))[:, None], (seen_BT == 0)[:, None]
    own_BST = rows_BST >= tokens.embedding.num_embeddings
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
    denoiser = base.components["unet"]
    slots = {id(module): slot for module, slot in base.family.slotted_layers(denoiser)}
    for layer in base.layers:
        component, _, name = layer.partition(".")
        if component == "unet":
            parent = denoiser.get_submodule(name.rpartition(".")[0])
            if id(parent) in slots:
                yield layer, parent, slots[id(parent)]
