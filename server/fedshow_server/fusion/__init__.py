"""Gradient fusion (Mix-of-Show, section 3.3) as an exact least-squares solution, and other rules.

Importing this costs nothing; fusing loads torch and diffusers.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fedshow_server.fusion.offline import current_ledger, fuse_to_folder, take_out
    from fedshow_server.fusion.vetting import Vetting

__all__ = ["Vetting", "current_ledger", "fuse_to_folder", "take_out"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from fedshow_server.fusion import offline, vetting

        return getattr(vetting if name == "Vetting" else offline, name)
    raise AttributeError(name)
