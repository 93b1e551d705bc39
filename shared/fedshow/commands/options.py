"""Options that several commands have, word for word the same."""

import typer

from fedshow.commands.completing import BASE, DEVICE

BASE_OPTION = typer.Option(
    "toyworld", "--base", autocompletion=BASE, help="toyworld, a diffusers folder or a hub id."
)
DEVICE_OPTION = typer.Option("auto", "--device", autocompletion=DEVICE, help="auto, cpu or cuda.")
JSON_OPTION = typer.Option(False, "--json", help="Print JSON.")
WAIT_OPTION = typer.Option(
    30.0, "--wait", envvar="FEDSHOW_WAIT_SECONDS", help="Seconds to wait for a server that is down."
)
