"""What client and server agree on: concepts, bases, ED-LoRA, sampling, releases, the contract.

From Python: `pipe = fedshow.load("release/")`, then `pipe("a <potter> on the beach").images`.
"""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from fedshow.sampling.model import Model, load
    from fedshow.sampling.regions import Region

__all__ = ["Model", "Region", "__version__", "load"]


def __getattr__(name: str) -> Any:
    """Loads torch only when somebody draws."""
    if name == "Region":
        from fedshow.sampling.regions import Region

        return Region
    if name in ("Model", "load"):
        from fedshow.sampling import model

        return getattr(model, name)
    raise AttributeError(name)
