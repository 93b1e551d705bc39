"""What the server draws to learn which inputs the layers see; no client's picture exists here.

The fit and the choice of the regularisation use different prompts. Drawing is dear, so few prompts are
drawn; encoding a text costs next to nothing, and layers that read text see few tokens of each, so they are
recorded with many.
"""

from collections.abc import Iterator
from itertools import cycle, islice, product

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
CLASS_FIT = ("photo of a {0}", "a {0}", "a {0} on the beach", "a {0} in the snow")
CLASS_HELDOUT = ("a photo of a {0}", "a {0} on grass")

THINGS_FIT = (
    *("person", "kitten", "house", "robot", "tree", "chick", "boat", "dog"),
    *("car", "woman", "horse", "flower", "street", "doll", "chair", "mountain"),
)
THINGS_HELDOUT = ("child", "monster", "bird", "bridge", "bunny", "cup", "man", "bear")
"""What the base must go on drawing as it did: things of all kinds, and for the choice others."""

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

_PLAIN = tuple(
    " ".join(filter(None, (start, "{0}", extra, place)))
    for extra, place, start in product(_EXTRAS, _PLACES, _STARTS)
)

_BESIDE = (
    "a {0} and a {colour} {company}",
    "a {colour} {company} and a {0}",
    "a {0} to the left of a {colour} {company}",
    "a {colour} {company} to the left of a {0}",
    "a {0} next to a {company}",
    "a {0} wearing a {colour} {worn}",
    "a {colour} {company} in the {0}",
    "a {company} wearing a {colour} {worn} in the {0}",
)
"""Company and things worn: what is asked for most beside a place, and turns every word's meaning."""

_COLOURS = ("red", "yellow", "green", "blue", "purple", "pink", "black", "white", "brown")
_COMPANY = ("dog", "kitten", "child", "robot", "tree", "chick", "person")
_WORN = ("hat", "scarf", "top hat", "bow", "party hat")


def _beside(number: int) -> Iterator[str]:
    """So many texts with company or something worn: 8, 9, 7, 5 and 11 words meet in turn, none twice."""
    lists = (_BESIDE, _COLOURS, _COMPANY, _WORN, _PLACES[:11])
    rows = islice(zip(*map(cycle, lists), strict=False), number)
    for form, colour, company, worn, place in rows:
        text = form.format("{0}", colour=colour, company=company, worn=worn)
        yield text if "in the" in form else f"{text} {place}".strip()


_MORE = tuple(_beside(2 * 96))
TEXT_FIT, TEXT_HELDOUT = _PLAIN[::13] + _MORE[:96], _PLAIN[6::13] + _MORE[96:]
"""Only read, never drawn."""

PLAIN_TEXTS = len(_PLAIN[::13])
"""So many of those for the fit come first: in some place, with one of a few additions."""


def for_concept(templates: tuple[str, ...], name: str) -> tuple[str, ...]:
    """The templates with `<name>` in them."""
    return tuple(template.format(f"<{name}>") for template in templates)


def for_class(templates: tuple[str, ...], class_word: str) -> tuple[str, ...]:
    """The templates with this class word."""
    return tuple(template.format(class_word) for template in templates)


def for_anything(templates: tuple[str, ...], things: tuple[str, ...]) -> tuple[str, ...]:
    """Every template and every thing at least once, and the empty text."""
    pairs = zip(cycle(templates), cycle(things), range(max(len(templates), len(things))))
    return ("", *(template.format(thing) for template, thing, _ in pairs))
