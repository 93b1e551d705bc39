"""Arguments and options that several of the client's commands have, word for word the same."""

import typer

from fedshow.commands.completing import servers
from fedshow_client.commands.completing import concepts

NAME = typer.Argument(autocompletion=concepts, help="The concept's name.")
SERVER_OPTION = typer.Option(
    None,
    "--server",
    autocompletion=servers,
    help="A joined server; needed if there are several.",
)
