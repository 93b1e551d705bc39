"""fedshow's releases in ComfyUI: layer-wise concept words and regions.

Copy or link this folder into ComfyUI's `custom_nodes`. It needs nothing that ComfyUI does not have.
"""

from .nodes import NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS

__all__ = ["NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS"]
