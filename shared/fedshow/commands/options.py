"""Options that several commands have, word for word the same."""

import typer

from fedshow.commands.completing import BASE, DEVICE

BASE_OPTION = typer.Option(
    "toyworld", "--base", autocompletion=BASE, help="toyworld, a diffusers folder or a hub id."
)
DEVICE_OPTION = typer.Option("auto", "--device", autocompletion=DEVICE, help="auto, cpu or cuda.")
