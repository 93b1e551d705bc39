"""Twenty prompts for each concept: other places, company, accessories, framing; and what they ask for.

Company stands to the left or right of the concept, so that each half of the picture can be read by itself.
"""

from collections.abc import Sequence

from benchmarks.study.material import Ask, Prompt, Where
from benchmarks.study.toyworld.concepts import CONCEPTS, Concept
from fedshow.scoring.prompts import PLACES
from fedshow.toyworld.world import ACCESSORIES, COLOURS, KINDS, Character
from fedshow.toyworld.world import PLACES as PLACE_NAMES

TYPES = ("place", "company", "accessory", "framing")
NUMBERS = dict(zip(TYPES, (6, 5, 5, 4), strict=True))
"""How many prompts of each type."""

_NAME_OF = dict(zip(PLACES, PLACE_NAMES, strict=True))
_STARTS = ("photo of", "a photo of", "a picture of", "a drawing of")


def prompts_of(name: str) -> tuple[Prompt, ...]:
    """The twenty prompts of a concept."""
    concept = CONCEPTS[name]
    number = tuple(CONCEPTS).index(name)
    found = _of_scene(concept, number) if concept.group == "scenes" else _of(concept, number)
    return tuple(found)


def _of(concept: Concept, number: int) -> Sequence[Prompt]:
    """Of a character or an object."""
    subject = f"a <{concept.name}>"
    wears = _wearing if concept.group == "characters" else _worn_beside
    return [
        *(Prompt("place", f"{subject} {place}", _in(place)) for place in PLACES),
        *(_beside("company", concept, number, k) for k in range(NUMBERS["company"])),
        *(wears(concept, number, k) for k in range(NUMBERS["accessory"])),
        *(
            Prompt("framing", f"{start} {subject} {_place(number + k)}", _in(_place(number + k)))
            for k, start in enumerate(_STARTS)
        ),
    ]


def _beside(kind: str, concept: Concept, number: int, k: int, wearing: str = "") -> Prompt:
    """The concept beside somebody of another kind, left and right in turns."""
    colour, other = _somebody(concept, number + k)
    concept_side: Where = "left" if k % 2 == 0 else "right"
    side: Where = "right" if k % 2 == 0 else "left"
    place, company = _place(number + k), f"a {colour} {other}"
    asks = [Ask("kind", other, side), Ask("colour", colour, side), *_in(place)]
    if wearing:
        company += f" wearing a {_hue(number + k, colour)} {wearing}"
        asks.append(Ask("accessory", wearing, side))
    pair = (f"a <{concept.name}>", company)
    left, right = pair if concept_side == "left" else pair[::-1]
    return Prompt(kind, f"{left} to the left of {right} {place}", tuple(asks), concept_side)


def _wearing(concept: Concept, number: int, k: int) -> Prompt:
    """A character that wears what it does not wear at home."""
    assert isinstance(concept.looks, Character)
    others = [a for a in ACCESSORIES[1:] if a != concept.looks.accessory]
    worn, place = others[(number + k) % len(others)], _place(number + k)
    colour = _hue(number + k, concept.looks.colour)
    text = f"a <{concept.name}> wearing a {colour} {worn} {place}"
    return Prompt("accessory", text, (Ask("accessory", worn), *_in(place)))


def _worn_beside(concept: Concept, number: int, k: int) -> Prompt:
    """Things wear nothing: their company does."""
    return _beside("accessory", concept, number + 1, k, ACCESSORIES[1 + (number + k) % 4])


def _of_scene(concept: Concept, number: int) -> Sequence[Prompt]:
    """Scenes are places: instead of six places they get six more who are there."""
    where = f"in the <{concept.name}>"
    people = [_somebody(concept, number + k) for k in range(11)]
    found = [
        Prompt(
            "place" if k < NUMBERS["place"] else "company",
            f"a {colour} {kind} {where}",
            (Ask("kind", kind), Ask("colour", colour)),
        )
        for k, (colour, kind) in enumerate(people[:9])
    ]
    found += [_pair(concept, *people[k : k + 2]) for k in (9, 3)]
    found += [_dressed(concept, number + k) for k in range(NUMBERS["accessory"])]
    empty = f"an empty scene {where}"
    return [*found, *(Prompt("framing", f"{s} {empty}", (Ask("count", "0"),)) for s in _STARTS)]


def _pair(concept: Concept, left: tuple[str, str], right: tuple[str, str]) -> Prompt:
    text = " to the left of ".join(f"a {colour} {kind}" for colour, kind in (left, right))
    asks = (Ask("kind", left[1], "left"), Ask("kind", right[1], "right"), Ask("count", "2"))
    return Prompt("company", f"{text} in the <{concept.name}>", asks)


def _dressed(concept: Concept, number: int) -> Prompt:
    colour, kind = _somebody(concept, number + 4)
    worn = ACCESSORIES[1 + number % 4]
    text = f"a {colour} {kind} wearing a {_hue(number, colour)} {worn} in the <{concept.name}>"
    return Prompt("accessory", text, (Ask("kind", kind), Ask("accessory", worn)))


def _somebody(concept: Concept, number: int) -> tuple[str, str]:
    """Colour and kind of whoever keeps the concept company: never of its own kind."""
    kinds = [kind for kind in KINDS if kind != concept.class_word]
    return tuple(COLOURS)[number * 3 % len(COLOURS)], kinds[number % len(kinds)]


def _hue(number: int, but: str) -> str:
    """A colour for an accessory."""
    hues = [colour for colour in COLOURS if colour != but]
    return hues[number * 5 % len(hues)]


def _place(number: int) -> str:
    return PLACES[number % len(PLACES)]


def _in(place: str) -> tuple[Ask, ...]:
    return (Ask("place", _NAME_OF[place]),)
