"""How this user gets into the page: an address with a code that is good once. Without a web framework."""

import secrets
import webbrowser
from html import escape
from pathlib import Path

from fedshow.errors import FedshowError
from fedshow.files import write_atomically
from fedshow.transfer.servers import private_folder
from fedshow_client.home import Home
from fedshow_client.page.passes import Passes

HOST = "127.0.0.1"
CODE_SECONDS, SESSION_SECONDS = 300.0, 7 * 24 * 3600.0
SIGN_IN = "/sign-in"


class Entering:
    """What lies in the home's folder `page`: codes, sessions, the room's name and the daemon's port."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self.codes = Passes(home.page / "codes", CODE_SECONDS)
        self.sessions = Passes(home.page / "sessions", SESSION_SECONDS)
        self._port = home.page / "port"

    @property
    def room(self) -> str:
        """The path below which everything lies; nobody else knows it.

        Browsers show a cookie to every port of a host, so another program of this machine, maybe of
        another user, would get ours when it is visited. But they show it only below its path.
        """
        file = self._home.page / "room"
        if not file.exists():
            write_atomically(file, secrets.token_urlsafe(16).encode())
        return f"/{file.read_text()}"

    def serve_at(self, port: int) -> None:
        """Notes where the daemon serves the page."""
        private_folder(self._home.page)
        write_atomically(self._port, str(port).encode())

    def serve_no_more(self) -> None:
        """Notes that it does not."""
        self._port.unlink(missing_ok=True)

    def address(self) -> str:
        """Where a browser is signed in, once; raises FedshowError when nobody serves the page."""
        if self._home.daemon_pid() is None:
            raise FedshowError("no daemon runs: start it with fedshow client run")
        try:
            port = int(self._port.read_text())
        except FileNotFoundError:
            raise FedshowError(
                "the daemon serves no page: start it with --page, or see its log"
            ) from None
        # what follows # is kept by the browser: no log and no referrer has it
        return f"http://{HOST}:{port}{self.room}{SIGN_IN}#{self.codes.make()}"


def open_privately(address: str, home: Home) -> bool:
    """Opens it in a browser, if there is one; other users see its arguments, so they do not say the code."""
    file: Path = private_folder(home.page) / "open.html"
    leads = f'<meta http-equiv="refresh" content="0; url={escape(address)}">'
    write_atomically(file, f"<!doctype html><title>fedshow</title>{leads}".encode())
    return webbrowser.open(file.as_uri())
