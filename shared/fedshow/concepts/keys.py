"""How keys are spelled in concept files, and in a release's fused update; costs nothing to import."""

from collections.abc import Iterable

DOWN, UP = ".lora_A.weight", ".lora_B.weight"
"""What the keys of an adapter's two halves end with, after the name of its layer."""

ADAPTED = ("unet.", "transformer.", "text_encoder.", "text_encoder_2.")
"""What keys of adapters begin with."""

TOKENS = ("tokens.", "tokens_2.")
"""What keys of word rows begin with, by text encoder."""


def is_token_key(key: str) -> bool:
    """Whether it is that of a word's rows."""
    return key.startswith(TOKENS)


def layers_in(keys: Iterable[str]) -> list[str]:
    """The layers that have an adapter among these keys, in their order."""
    return [key.removesuffix(DOWN) for key in keys if key.endswith(DOWN)]
