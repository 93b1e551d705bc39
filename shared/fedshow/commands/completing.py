"""What a shell completes as a value: known words, and names of what is joined on this machine.

Runs at every press of the Tab key: it imports as little as it can, and asks nobody.
"""

from collections.abc import Callable, Iterable, Iterator

from fedshow.families.locating import TOYWORLD

Complete = Callable[[str], Iterable[str]]

METHODS = ("ed-lora", "lora", "p-plus", "custom-diffusion", "textual-inversion")
"""Of tuning, as in `fedshow.edlora.methods`, which loads torch."""


def words(*known: str) -> Complete:
    """Completes one of these words."""

    def complete(incomplete: str) -> Iterator[str]:
        return (word for word in known if word.startswith(incomplete))

    return complete


def servers(incomplete: str) -> Iterable[str]:
    """Completes the name of a joined server."""
    from fedshow.transfer.servers import home_folder, joined_names

    return words(*joined_names(home_folder()))(incomplete)


DEVICE = words("auto", "cpu", "cuda")
BASE = words(TOYWORLD)
"""Where nothing fits, shells complete files and folders, which bases are as well."""
