"""What each image says during tuning, with the concept in it."""

import re

TEMPLATE = "photo of a <{name}>"


def caption_for(name: str, class_word: str, written: str | None) -> str:
    """The caption with `<name>` in it: as written, with the class word replaced, or put in front."""
    mention = f"<{name}>"
    if written is None:
        return TEMPLATE.format(name=name)
    if mention in written:
        return written
    replaced, count = re.subn(
        rf"\b{re.escape(class_word)}\b", mention, written, count=1, flags=re.I
    )
    return replaced if count else f"{mention}, {written}"
