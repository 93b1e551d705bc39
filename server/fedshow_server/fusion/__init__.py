"""Gradient fusion (Mix-of-Show, section 3.3) as an exact least-squares solution, and other rules.

Importing this costs nothing; fusing loads torch and diffusers.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fedshow_server.fusion.offline import fuse_to_folder

__all__ = ["fuse_to_folder"]


def __getattr__(name: str) -> Any:
    if name == "fuse_to_folder":
        from fedshow_server.fusion.offline import fuse_to_folder

        return fuse_to_folder
    raise AttributeError(name)
