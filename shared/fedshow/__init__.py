"""What client and server agree on: concepts, bases, ED-LoRA, sampling, releases, the contract.

From Python: `pipe = fedshow.load("release/")`, then `pipe("a <potter> on the beach").images`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from fedshow.sampling.conditions import Condition
    from fedshow.sampling.loading import load
    from fedshow.sampling.model import Model
    from fedshow.sampling.recipe import Recipe
    from fedshow.sampling.regions import Region

__all__ = ["Condition", "Model", "Recipe", "Region", "__version__", "load"]

_ROOMS = {
    "Condition": "conditions",
    "Model": "model",
    "Recipe": "recipe",
    "Region": "regions",
    "load": "loading",
}


def __getattr__(name: str) -> Any:
    """Loads torch only when somebody draws."""
    if name in _ROOMS:
        return getattr(import_module(f"fedshow.sampling.{_ROOMS[name]}"), name)
    raise AttributeError(name)
