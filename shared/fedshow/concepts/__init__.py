"""Concept files: one thing somebody taught, as LoRA weights and token embeddings."""

from fedshow.concepts.file import ConceptFile, read_concept, write_concept
from fedshow.concepts.header import BaseRef, ConceptHeader
from fedshow.concepts.names import check_class, check_name, expand_prompt, words_of

__all__ = [
    "BaseRef",
    "ConceptFile",
    "ConceptHeader",
    "check_class",
    "check_name",
    "expand_prompt",
    "read_concept",
    "words_of",
    "write_concept",
]
