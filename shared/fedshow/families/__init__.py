"""Base-model families: which layers take adapters, how many slots, what an input is.

Importing this costs nothing; opening a base loads torch and diffusers.
"""

from typing import TYPE_CHECKING, Any

from fedshow.families.card import BaseCard

if TYPE_CHECKING:
    from fedshow.families.opening import Base, describe, open_base

__all__ = ["Base", "BaseCard", "describe", "open_base"]


def __getattr__(name: str) -> Any:
    if name in ("Base", "describe", "open_base"):
        from fedshow.families import opening

        return getattr(opening, name)
    raise AttributeError(name)
