"""What the server draws to learn which inputs the layers see; no client's picture exists here.

The fit and the choice of the regularisation use different prompts. Drawing is dear, so few prompts are
drawn; encoding a text costs next to nothing, and layers that read text see few tokens of each, so they are
recorded with many.
"""

from itertools import product

FIT = (
    "photo of a {0}",
    "a {0}",
    "a {0} on the beach",
    "a {0} in the snow",
    "a {0} on green grass",
    "a {0} at night",
    "a {0} in the desert",
    "a {0} on a white background",
)
HELDOUT = (
    "a photo of a {0}",
    "a {0} at the beach",
    "a {0} wearing a blue scarf on grass",
    "a {0} in the night",
)
GENERIC_FIT = (
    "",
    "photo of a {0}",
    "a {0}",
    "a {0} on the beach",
    "a {0} in the snow",
    "a person walking in the street",
    "an empty scene in the desert",
    "two friends at night",
)
GENERIC_HELDOUT = ("", "a photo of a {0}", "a {0} on grass", "an empty scene on the beach")


_STARTS = ("a picture of a", "one", "the", "my", "a small", "a big", "a drawing of a", "this is a")
_PLACES = (
    *("", "on the beach", "on green grass", "in the snow", "at night", "in the desert"),
    *(
        "on a white background",
        "in the forest",
        "at sunset",
        "in the city",
        "in a room",
        "by the sea",
    ),
)
_EXTRAS = ("", "wearing a hat", "with a scarf", "and a friend", "next to a tree", "looking left")

NOUNS = (
    "person",
    "house",
    "tree",
    "dog",
    "car",
    "flower",
    "child",
    "chair",
    "bird",
    "boat",
    "scene",
)

_ALL = tuple(
    " ".join(filter(None, (start, "{0}", extra, place)))
    for extra, place, start in product(_EXTRAS, _PLACES, _STARTS)
)
TEXT_FIT, TEXT_HELDOUT = _ALL[::13], _ALL[6::13]
"""Only read, never drawn."""


def for_concept(templates: tuple[str, ...], name: str) -> tuple[str, ...]:
    """The templates with `<name>` in them."""
    return tuple(template.format(f"<{name}>") for template in templates)


def generic(templates: tuple[str, ...], class_word: str) -> tuple[str, ...]:
    """The templates with this class word; for '' those that have no place for one."""
    chosen = [template for template in templates if ("{0}" in template) == bool(class_word)]
    return tuple(template.format(class_word) for template in chosen)


def generic_texts(templates: tuple[str, ...], class_word: str) -> tuple[str, ...]:
    """The templates with this class word; for '' with all kinds of things, and the empty text."""
    if class_word:
        return tuple(template.format(class_word) for template in templates)
    things = (NOUNS[number % len(NOUNS)] for number in range(len(templates)))
    return ("", *(t.format(thing) for t, thing in zip(templates, things, strict=True)))
