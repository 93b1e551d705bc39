"""What the server draws to learn which inputs the layers see; no client's picture exists here.

The fit and the choice of the regularisation use different prompts.
"""

FIT = (
    "photo of a <{0}>",
    "a <{0}>",
    "a <{0}> on the beach",
    "a <{0}> in the snow",
    "a <{0}> on green grass",
    "a <{0}> at night",
    "a <{0}> in the desert",
    "a <{0}> on a white background",
)
HELDOUT = (
    "a photo of a <{0}>",
    "a <{0}> at the beach",
    "a <{0}> wearing a blue scarf on grass",
    "a <{0}> in the night",
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


def for_concept(templates: tuple[str, ...], name: str) -> list[str]:
    """The templates with `<name>` in them."""
    return [template.format(name) for template in templates]


def generic(templates: tuple[str, ...], class_word: str) -> list[str]:
    """The templates with this class word; for '' those that have no place for one."""
    chosen = [template for template in templates if ("{0}" in template) == bool(class_word)]
    return [template.format(class_word) for template in chosen]
