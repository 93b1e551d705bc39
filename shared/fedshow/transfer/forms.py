"""How much of a release to have."""

from enum import StrEnum

from fedshow.releases.file_names import CONCEPTS, FUSED


class Form(StrEnum):
    """The whole pipeline, only the fused LoRA with its tokens, or a checkpoint made of the pipeline here."""

    diffusers = "diffusers"
    lora = "lora"
    single_file = "single-file"


LORA_FILES = frozenset({FUSED, CONCEPTS})

FILES_OF: dict[Form, frozenset[str] | None] = {
    Form.diffusers: None,
    Form.lora: LORA_FILES,
    Form.single_file: None,
}
"""The files of each form; None: all."""
