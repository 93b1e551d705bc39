"""Layer-wise concept words: one tokenizer entry per word, one embedding row per slot.

The space is P+ (arXiv 2303.09522); two words per concept are Mix-of-Show's (section 3.2).
Shapes: B prompts, S slots, T tokens, D embedding width.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fedshow.concepts.names import expand_prompt
from fedshow.errors import InvalidInput
from fedshow.families.family import Tokenizer


class LayeredEmbedding(nn.Module):
    """Drop-in for `nn.Embedding`: ids below its size read the frozen table, ids above it concept rows."""

    def __init__(self, table: nn.Embedding) -> None:
        super().__init__()
        self.table = table
        self.rows = nn.ParameterList()

    @property
    def weight(self) -> Tensor:
        """The frozen table; transformers looks here for device and dtype."""
        return self.table.weight

    @property
    def num_embeddings(self) -> int:
        """Size of the frozen table; the id of the first concept row."""
        return self.table.num_embeddings

    def forward(self, ids: Tensor) -> Tensor:
        """`[..., T]` ids to `[..., T, D]` vectors; gradients reach concept rows only."""
        vectors = F.embedding(ids.clamp(max=self.num_embeddings - 1), self.weight)
        if not len(self.rows):
            return vectors
        rows = torch.cat(list(self.rows)).to(vectors.dtype)
        own = F.embedding((ids - self.num_embeddings).clamp(min=0), rows)
        return torch.where((ids >= self.num_embeddings)[..., None], own, vectors)


class ConceptTokens:
    """The concept words a text encoder knows, and prompts encoded with them."""

    def __init__(self, text_encoder: Any, tokenizer: Tokenizer, slots: int) -> None:
        self.text_encoder, self.tokenizer, self.slots = text_encoder, tokenizer, slots
        self.concepts: dict[str, tuple[str, ...]] = {}
        self._rows_of: dict[int, tuple[int, int]] = {}
        """Token id to the number of its first row and of its last."""

        self._rows_known = lru_cache(maxsize=64)(self._rows)
        self._table = text_encoder.get_input_embeddings()
        self.embedding = LayeredEmbedding(self._table)
        text_encoder.set_input_embeddings(self.embedding)

    def detach(self) -> None:
        """Gives the text encoder its own table back."""
        self.text_encoder.set_input_embeddings(self._table)

    def add_concept(self, name: str, rows: dict[str, Tensor]) -> list[nn.Parameter]:
        """Makes `<name>` known with one `[S, D]` tensor per word; returns them as parameters.

        `[1, D]` is a word that all slots share.
        """
        parameters = [self._add_word(word, row) for word, row in rows.items()]
        self.concepts[name] = tuple(rows)
        self._rows_known.cache_clear()
        return parameters

    def _add_word(self, word: str, row_SD: Tensor) -> nn.Parameter:
        assert len(row_SD) in (1, self.slots), row_SD.shape
        self.tokenizer.add_tokens([word])  # a release's tokenizer has it already
        first = self._table.num_embeddings + sum(map(len, self.embedding.rows))
        token = self.tokenizer.convert_tokens_to_ids(word)
        self._rows_of[token] = first, first + len(row_SD) - 1
        parameter = nn.Parameter(row_SD.clone().float().to(self._table.weight.device))
        self.embedding.rows.append(parameter)
        return parameter

    def class_row(self, class_word: str) -> Tensor:
        """The base's embedding `[D]` of a class word; raises InvalidInput unless it is one token."""
        ids = self.tokenizer(class_word, add_special_tokens=False).input_ids
        if len(ids) != 1:
            raise InvalidInput(
                f"class {class_word!r} is {len(ids)} tokens for this base; use a word that is one token"
            )
        return cast(Tensor, self._table.weight[ids[0]].detach().float())

    def check(self, prompts: Sequence[str]) -> None:
        """Raises InvalidInput for unknown concepts and for prompts that are too long."""
        self._ids(prompts)

    def subjects(self, prompt: str) -> Tensor:
        """Which tokens `[T]` of a prompt are words of concepts; of one that names none, which are words."""
        (ids,) = self.token_ids([prompt])
        of_concepts = torch.isin(ids, torch.tensor(list(self._rows_of), device=ids.device))
        if of_concepts.any():
            return of_concepts
        end = int((ids == self.tokenizer.eos_token_id).nonzero()[0])
        place = torch.arange(len(ids), device=ids.device)
        return (place > 0) & (place < end)

    def token_ids(self, prompts: Sequence[str]) -> Tensor:
        """Prompts with `<name>` mentions as ids `[B, T]`, padded; raises InvalidInput as `check` does."""
        return torch.tensor(self._ids(prompts), device=self._table.weight.device)

    def _ids(self, prompts: Sequence[str]) -> list[list[int]]:
        texts = [expand_prompt(prompt, self.concepts) for prompt in prompts]
        limit = self.tokenizer.model_max_length
        padded = self.tokenizer(texts, padding="max_length", max_length=limit).input_ids
        for text, ids in zip(texts, padded, strict=True):
            if len(ids) > limit:
                raise InvalidInput(f"prompt of {len(ids)} tokens, limit {limit}: {text!r}")
        return cast(list[list[int]], padded)

    def spread(self, ids_BT: Tensor) -> Tensor:
        """Ids `[B, S, T]` in which every concept word points at its row of each slot."""
        ids_BST = ids_BT[:, None].repeat(1, self.slots, 1)
        slot = torch.arange(self.slots, device=ids_BT.device)[None, :, None]
        for token, (first, last) in self._rows_of.items():
            rows = (first + slot).clamp(max=last)
            ids_BST = torch.where(ids_BT[:, None] == token, rows, ids_BST)
        return ids_BST

    def encode(self, prompts: Sequence[str]) -> Tensor:
        """Text features `[B, S, T, D]`; equal prompts, and slots of prompts without a concept, run once."""
        ids, back = self._rows_known(tuple(prompts))
        features = self.text_encoder(ids)[0]
        found = features if back is None else features[back]
        return cast(Tensor, found.unflatten(0, (len(prompts), self.slots)))

    def _rows(self, prompts: tuple[str, ...]) -> tuple[Tensor, Tensor | None]:
        """Distinct rows of ids, and which of them each prompt's slots read: None is one after the other."""
        rows = self.spread(self.token_ids(prompts)).flatten(0, 1)
        distinct, back = torch.unique(rows, dim=0, return_inverse=True)
        return (rows, None) if len(distinct) == len(rows) else (distinct, back)
