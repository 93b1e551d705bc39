"""Words that belong to the owner of a server: no concept may mean the same."""

from collections.abc import Collection
from itertools import product

from torch import Tensor
from torch.nn.functional import cosine_similarity

from fedshow.concepts import ConceptFile
from fedshow.families import Base
from fedshow.families.text_encoder import TextEncoder
from fedshow_server.fusion.unfusable import OddConcept

MOST_ALIKE = 0.75
"""Cosine of two embeddings. Tuned words stay below 0.73 with all but their own class word, next to which they
begin (0.76 to 0.87): who protects a class sees every concept of it first."""


def check_words(concept: ConceptFile, base: Base, protected: Collection[str]) -> None:
    """Raises OddConcept when one of the concept's words lies next to a protected one in any slot."""
    tensors = concept.tensors()
    for word in protected:
        for encoder, own in product(base.text_encoders, concept.header.words):
            rows_ND = _rows(encoder, word)
            rows_SD = tensors[f"{encoder.token_key}.{own}"].float()
            alike = float(cosine_similarity(rows_SD[:, None], rows_ND[None], dim=-1).max())
            if alike > MOST_ALIKE:
                raise OddConcept(
                    concept.header.name,
                    f"{own} is next to the protected word {word!r}: cosine {alike:.3g}, "
                    f"limit {MOST_ALIKE:g}",
                )


def _rows(encoder: TextEncoder, word: str) -> Tensor:
    """Embeddings `[N, D]` of the tokens that a word is written with."""
    ids = encoder.tokenizer(word, add_special_tokens=False).input_ids
    embedding = encoder.module.get_input_embeddings()
    rows_ND: Tensor = embedding.weight.detach()[ids].float().cpu()
    return rows_ND
