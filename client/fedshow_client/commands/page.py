"""`fedshow client page`: the way into the page that the daemon serves."""

import typer

from fedshow.commands.options import JSON_OPTION
from fedshow.commands.output import print_json, say


def register(group: typer.Typer) -> None:
    """Adds the command to `fedshow client`."""
    group.command()(page)


def page(
    opened: bool = typer.Option(False, "--open", help="Open it in a browser."),
    as_json: bool = JSON_OPTION,
) -> None:
    """Prints where a browser of this machine sees and steers what the daemon does.

    The address signs in once, within five minutes. It leads nowhere from any other machine.

    Example: fedshow client page --open
    """
    from fedshow_client.home import Home
    from fedshow_client.page.entering import Entering, open_privately
    from fedshow_client.settings import load_settings

    home = Home(load_settings().home)
    address = Entering(home).address()
    if as_json:
        print_json({"address": address})
    else:
        print(address)
    if opened and open_privately(address, home):
        say("if the browser may not read the file (snaps may not), open the address yourself")
    elif opened:
        say("no browser was found: open the address yourself")
