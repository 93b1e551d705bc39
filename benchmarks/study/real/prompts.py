"""Twenty prompts for a concept that anybody photographed: other places, company, accessories, styles."""

from collections.abc import Mapping, Sequence

from benchmarks.study.material import Prompt

PLACES = (
    "on a sandy beach",
    "in deep snow",
    "in a busy street at night",
    "in a garden full of flowers",
    "in an old library",
)
STYLES = (
    "a pencil sketch of a {}",
    "an oil painting of a {}",
    "a watercolour of a {}, pale colours",
    "a {} on a film poster from the 1960s",
    "a black and white photo of a {}",
)
COMPANY = (
    "a photo of a {} beside a cat",
    "a photo of a {} and two children",
    "a photo of a {} in front of a red bicycle",
    "a photo of a {} next to an astronaut",
    "a photo of a {} with a parrot",
)
WORN = (
    "a photo of a {} wearing a red hat",
    "a photo of a {} wearing sunglasses",
    "a photo of a {} wearing a blue scarf",
    "a photo of a {} wearing a yellow raincoat",
    "a photo of a {} with a golden crown",
)
ADDED = (
    "a photo of a {} on a red cushion",
    "a photo of a {} with a yellow ribbon around it",
    "a photo of a {} under a green umbrella",
    "a photo of a {} on a stack of books",
    "a photo of a {} beside a burning candle",
)
SEASONS = (
    "a photo of a {} in winter, covered in snow",
    "a photo of a {} at night under the stars",
    "a photo of a {} in thick fog",
    "a photo of a {} at sunrise",
    "a photo of a {} in heavy rain",
)
VISITORS = (
    "a photo of a cat in a {}",
    "a photo of two children in a {}",
    "a photo of a red bicycle in a {}",
    "a photo of an astronaut in a {}",
    "a photo of a parrot in a {}",
)
FURNISHED = (
    "a photo of a {} with a red balloon",
    "a photo of a {} with a table set for dinner",
    "a photo of a {} with a yellow tent",
    "a photo of a {} with a grand piano",
    "a photo of a {} with a green umbrella",
)
_THERE = tuple(f"a photo of a {{}} {place}" for place in PLACES)
BY_GROUP: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "characters": {"place": _THERE, "company": COMPANY, "accessory": WORN, "style": STYLES},
    "objects": {"place": _THERE, "company": COMPANY, "accessory": ADDED, "style": STYLES},
    "scenes": {"place": SEASONS, "company": VISITORS, "accessory": FURNISHED, "style": STYLES},
}
TYPES = tuple(BY_GROUP["characters"])


def prompts_of(name: str, group: str) -> tuple[Prompt, ...]:
    """The twenty prompts of a concept of this group."""
    return tuple(
        Prompt(kind, text.format(f"<{name}>"))
        for kind, texts in BY_GROUP[group].items()
        for text in texts
    )


def generic(class_words: Sequence[str]) -> tuple[str, ...]:
    """Prompts without a concept, which name the classes: there a model is moved most."""
    texts = (*_THERE, *STYLES)
    return tuple(text.format(word) for word in class_words for text in texts)
