"""Options that several of the server's commands have, word for word the same, and what they lead to."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from fedshow_server.folder import DataFolder

DATA_OPTION = typer.Option(None, "--data", help="The server's folder. [default: ~/.fedshow-server]")


def data_folder(data: Path | None) -> "DataFolder":
    """The folder that is meant, by the option or else by the settings. Raises InvalidInput."""
    from fedshow_server.folder import DataFolder
    from fedshow_server.settings import load_settings

    return DataFolder(load_settings(data=data).data)
