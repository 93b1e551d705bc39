"""What concepts are drawn with to be measured: twenty prompts, each with `{}` where the concept stands."""

from pathlib import Path

from fedshow.errors import InvalidInput

PLACES = (
    "on the beach",
    "on green grass",
    "in the snow",
    "at night",
    "in the desert",
    "on a white background",
)
TOYWORLD_PROMPTS = (
    "photo of a {}",
    "a {}",
    *(f"a {{}} {place}" for place in PLACES),
    *(f"a photo of a {{}} {place}" for place in PLACES),
    *(f"photo of a {{}} {place}" for place in PLACES),
)
"""All that toyworld can read: its places, said in three ways."""

SURROUNDINGS = (
    "a photo of a {} on a sandy beach",
    "a photo of a {} in front of a snowy mountain",
    "a photo of a {} in a busy street at night",
    "a photo of a {} among sunflowers",
    "a photo of a {} in an old library",
)
STYLES = (
    "a pencil sketch of a {}",
    "an oil painting of a {}",
    "a {} as a marble statue",
    "a watercolour of a {}, pale colours",
    "a {} on a film poster from the 1960s",
)
INTERACTIONS = (
    "a {} beside a red bicycle",
    "a {} and a sleeping cat",
    "a {} under a green umbrella",
    "a {} on top of a wooden table",
    "two children looking at a {}",
)
PROPERTIES = (
    "a photo of a {} wearing a yellow raincoat",
    "a photo of a {} covered in paint",
    "a close-up photo of a {}, soft light",
    "a photo of a {} seen from far away",
    "a photo of a blue {}",
)
PROMPTS = (*SURROUNDINGS, *STYLES, *INTERACTIONS, *PROPERTIES)
"""For all other bases: five each of new surroundings, a new style, an interaction and a changed property."""

MOST_PROMPTS = 1000


def read_prompts(file: Path) -> tuple[str, ...]:
    """The prompts of a text file, one a line; raises InvalidInput for a line without `{}`."""
    try:
        lines = [line.strip() for line in file.read_text().splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"prompts {file} cannot be read: {error}") from None
    prompts = [line for line in lines if line]
    if not 0 < len(prompts) <= MOST_PROMPTS:
        raise InvalidInput(f"prompts {file}: {len(prompts)} lines, use 1 to {MOST_PROMPTS}")
    for number, prompt in enumerate(prompts, start=1):
        if "{}" not in prompt:
            raise InvalidInput(
                f"prompts {file}: prompt {number}, {prompt[:60]!r}, needs {{}} where the concept stands"
            )
    return tuple(prompts)


def said_of(prompts: tuple[str, ...], subject: str) -> list[str]:
    """The prompts with `<name>`, or with a class word, in the concept's place."""
    return [prompt.replace("{}", subject) for prompt in prompts]
