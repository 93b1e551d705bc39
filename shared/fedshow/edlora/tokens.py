"""Layer-wise concept words: one tokenizer entry per word, one embedding row per slot.

The space is P+ (arXiv 2303.09522); two words per concept are Mix-of-Show's (section 3.2).
Shapes: B prompts, S slots, T tokens, D embedding width, P width of a pooled vector.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fedshow.concepts.names import expand_prompt
from fedshow.errors import InvalidInput
from fedshow.families.encoded import Encoded
from fedshow.families.text_encoder import TextEncoder, Tokenizer


class LayeredEmbedding(nn.Module):
    """Drop-in for `nn.Embedding`: ids below its size read the frozen table, ids above it concept rows.

    When `averaged`, the mean of a word's rows follows them as one more.
    """

    def __init__(self, table: nn.Embedding, averaged: bool = False) -> None:
        super().__init__()
        self.table, self.averaged = table, averaged
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
        known = ids.clamp(max=self.num_embeddings - 1)
        vectors: Tensor = self.table(known)  # called, so that hooks bring its weights
        if not len(self.rows):
            return vectors
        ids, rows = ids.to(vectors.device), torch.cat(self._all_rows()).to(vectors)
        own = F.embedding((ids - self.num_embeddings).clamp(min=0), rows)
        return torch.where((ids >= self.num_embeddings)[..., None], own, vectors)

    @property
    def next_id(self) -> int:
        """The id of the first row of the next word."""
        return self.num_embeddings + sum(len(row) + self.averaged for row in self.rows)

    def _all_rows(self) -> list[Tensor]:
        if not self.averaged:
            return list(self.rows)
        return [part for row in self.rows for part in (row, row.mean(0, keepdim=True))]


class EncoderWords:
    """The concept words that one text encoder knows, and prompts encoded with them."""

    def __init__(self, encoder: TextEncoder, slots: int) -> None:
        self.encoder, self.tokenizer, self.slots = encoder, encoder.tokenizer, slots
        self.ids: dict[int, tuple[int, int, int]] = {}
        """Token id to the number of its first row, of its last, and of their mean."""

        self._rows_known = lru_cache(maxsize=64)(self._rows)
        self._table = encoder.module.get_input_embeddings()
        self.embedding = LayeredEmbedding(self._table, averaged=encoder.pools)
        encoder.module.set_input_embeddings(self.embedding)

    def detach(self) -> None:
        """Gives the text encoder its own table back."""
        self.encoder.module.set_input_embeddings(self._table)

    def add(self, word: str, row_SD: Tensor) -> nn.Parameter:
        """Makes a word known by its row of each slot, or by `[1, D]` for all; returns it as parameter."""
        assert len(row_SD) in (1, self.slots), row_SD.shape
        self._rows_known.cache_clear()
        self.tokenizer.add_tokens([word])  # a release's tokenizer has it already
        first = self.embedding.next_id
        last = first + len(row_SD) - 1
        mean = last + (len(row_SD) > 1)
        self.ids[self.tokenizer.convert_tokens_to_ids(word)] = first, last, mean
        parameter = nn.Parameter(row_SD.clone().float().to(self.encoder.device))
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

    def token_ids(self, texts: Sequence[str]) -> Tensor:
        """Ids `[B, T]`, padded; raises InvalidInput for a text that is too long."""
        limit = self.tokenizer.model_max_length
        padded = self.tokenizer(list(texts), padding="max_length", max_length=limit).input_ids
        for text, ids in zip(texts, padded, strict=True):
            if len(ids) > limit:
                raise InvalidInput(f"prompt of {len(ids)} tokens, limit {limit}: {text!r}")
        return torch.tensor(padded, device=self.encoder.device)

    def ends(self, ids_BT: Tensor) -> Tensor:
        """Where each text ends, `[B]`: the padding may be the same token."""
        return (ids_BT == self.tokenizer.eos_token_id).int().argmax(1)

    def spread(self, ids_BT: Tensor) -> Tensor:
        """Ids `[B, S, T]` in which every concept word points at its row of each slot."""
        ids_BST = ids_BT[:, None].repeat(1, self.slots, 1)
        slot = torch.arange(self.slots, device=ids_BT.device)[None, :, None]
        for token, (first, last, _) in self.ids.items():
            rows = (first + slot).clamp(max=last)
            ids_BST = torch.where(ids_BT[:, None] == token, rows, ids_BST)
        return ids_BST

    def averaged(self, ids_BT: Tensor) -> Tensor:
        """Ids `[B, T]` in which every concept word points at the mean of its rows."""
        found_BT = ids_BT  # never compared with: the number of a mean may be another word's token
        for token, (_, _, mean) in self.ids.items():
            found_BT = torch.where(ids_BT == token, mean, found_BT)
        return found_BT

    def encode(self, texts: tuple[str, ...]) -> Encoded:
        """Features `[B, S, T, D]` and, where it pools, `[B, P]`; rows of ids that are equal run once."""
        rows, back, ends_B = self._rows_known(texts)
        features, last = self.encoder.read(rows)
        layered = len(texts) * self.slots
        if back is not None:
            features = features[back]
        features_BSTD = features[:layered].reshape(len(texts), self.slots, *features.shape[1:])
        if not self.encoder.pools:
            return Encoded(features_BSTD)
        last_BTD = last[layered:] if back is None else last[back[layered:]]
        return Encoded(features_BSTD, self.encoder.pooled(last_BTD, ends_B))

    def _rows(self, texts: tuple[str, ...]) -> tuple[Tensor, Tensor | None, Tensor]:
        """Distinct rows of ids, which of them each text's slots and then means read, and where texts end.

        None is one after the other.
        """
        ids_BT = self.token_ids(texts)
        rows = self.spread(ids_BT).flatten(0, 1)
        if self.encoder.pools:
            rows = torch.cat([rows, self.averaged(ids_BT)])
        distinct, back = torch.unique(rows, dim=0, return_inverse=True)
        ends_B = self.ends(ids_BT)
        return (rows, None, ends_B) if len(distinct) == len(rows) else (distinct, back, ends_B)


class ConceptTokens:
    """The concept words that a base's text encoders know, and prompts encoded with them."""

    def __init__(self, encoders: Sequence[TextEncoder], slots: int) -> None:
        self.encoders = [EncoderWords(encoder, slots) for encoder in encoders]
        self.slots = slots
        self.concepts: dict[str, tuple[str, ...]] = {}

    @property
    def first(self) -> EncoderWords:
        """The first encoder's: all split texts into the same tokens."""
        return self.encoders[0]

    @property
    def tokenizer(self) -> Tokenizer:
        """The first encoder's."""
        return self.first.tokenizer

    def detach(self) -> None:
        """Gives the text encoders their own tables back."""
        for words in self.encoders:
            words.detach()

    def add_concept(self, name: str, *rows: Mapping[str, Tensor]) -> list[nn.Parameter]:
        """Makes `<name>` known with one `[S, D]` tensor per word, for each encoder; as parameters.

        `[1, D]` is a word that all slots share. All words of the first encoder come first.
        """
        parameters = [
            words.add(word, row)
            for words, own in zip(self.encoders, rows, strict=True)
            for word, row in own.items()
        ]
        self.concepts[name] = tuple(rows[0])
        return parameters

    def load_concept(
        self, name: str, words: Sequence[str], tensors: Mapping[str, Tensor]
    ) -> list[nn.Parameter]:
        """Makes `<name>` known with the rows that are among the tensors of a concept file."""
        keys = [own.encoder.token_key for own in self.encoders]
        return self.add_concept(
            name, *({word: tensors[f"{key}.{word}"] for word in words} for key in keys)
        )

    def class_row(self, class_word: str) -> Tensor:
        """The first encoder's embedding of a class word; raises InvalidInput unless it is one token."""
        return self.first.class_row(class_word)

    def check(self, prompts: Sequence[str]) -> None:
        """Raises InvalidInput for unknown concepts and for prompts that are too long."""
        self.token_ids(prompts)

    def subjects(self, prompt: str) -> Tensor:
        """Which tokens `[T]` of a prompt are words of concepts; of one that names none, which are words."""
        (ids,) = ids_BT = self.token_ids([prompt])
        of_concepts = torch.isin(ids, torch.tensor(list(self.first.ids), device=ids.device))
        if of_concepts.any():
            return of_concepts
        place = torch.arange(len(ids), device=ids.device)
        return (place > 0) & (place < self.first.ends(ids_BT))

    def spelled(self, prompts: Sequence[str]) -> tuple[str, ...]:
        """Prompts with the words of concepts instead of `<name>`; raises InvalidInput for unknown ones."""
        return tuple(expand_prompt(prompt, self.concepts) for prompt in prompts)

    def token_ids(self, prompts: Sequence[str]) -> Tensor:
        """Prompts with `<name>` mentions as ids `[B, T]`, padded; raises InvalidInput as `check` does."""
        return self.first.token_ids(self.spelled(prompts))

    def encoded(self, prompts: Sequence[str]) -> Encoded:
        """Prompts as all encoders give them; equal ones, and slots of those without a concept, run once."""
        texts = self.spelled(prompts)
        found = [words.encode(texts) for words in self.encoders]
        features = [one.features for one in found]
        pooled = [one.pooled for one in found if one.pooled is not None]
        return Encoded(
            features[0] if len(features) == 1 else torch.cat(features, -1),
            torch.cat(pooled, -1) if pooled else None,
        )
