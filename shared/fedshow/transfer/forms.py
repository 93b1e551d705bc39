"""How much of a release to have."""

from enum import StrEnum


class Form(StrEnum):
    """The whole pipeline, or only the fused LoRA with its tokens."""

    diffusers = "diffusers"
    lora = "lora"


LORA_FILES = frozenset({"fused.safetensors", "concepts.json"})

FILES_OF: dict[Form, frozenset[str] | None] = {Form.diffusers: None, Form.lora: LORA_FILES}
"""The files of each form; None: all."""
