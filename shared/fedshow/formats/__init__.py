"""The ecosystem's formats, both ways: one format, one file; the list of them is `FORMATS`.

Importing this costs nothing; what it names loads torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fedshow.formats.exporting import export_model
    from fedshow.formats.importing import import_concept
    from fedshow.formats.listed import FORMATS

__all__ = ["FORMATS", "export_model", "import_concept"]

_ROOMS = {"FORMATS": "listed", "export_model": "exporting", "import_concept": "importing"}


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return getattr(import_module(f"fedshow.formats.{_ROOMS[name]}"), name)
    raise AttributeError(name)
