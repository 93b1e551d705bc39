"""Secrets that open the page, kept as the names of empty files: who can write them is this user."""

import re
import secrets
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

from fedshow.transfer.servers import private_folder

OWNER_ONLY = 0o600
SECRET = re.compile(r"[\w-]{43}", re.ASCII)


class Passes:
    """Secrets of one kind; each is good for `seconds` after it was made. Only their sha256 is kept."""

    def __init__(
        self, folder: Path, seconds: float, clock: Callable[[], float] = time.time
    ) -> None:
        self._folder, self._seconds, self._clock = folder, seconds, clock

    def make(self) -> str:
        """A new secret; those that ran out are forgotten."""
        for path in private_folder(self._folder).iterdir():
            if not self._is_good(path):
                path.unlink(missing_ok=True)
        secret = secrets.token_urlsafe(32)
        self._path(secret).touch(mode=OWNER_ONLY)
        return secret

    def hold(self, secret: str) -> bool:
        """Whether it is one of ours that has not run out."""
        return bool(SECRET.fullmatch(secret)) and self._is_good(self._path(secret))

    def take(self, secret: str) -> bool:
        """The same, and never again: of several who ask at once one is told yes."""
        good = self.hold(secret)
        return self.end(secret) and good

    def end(self, secret: str) -> bool:
        """Makes it void; False when it was not there."""
        try:
            self._path(secret).unlink()
        except FileNotFoundError:
            return False
        return True

    def _path(self, secret: str) -> Path:
        return self._folder / sha256(secret.encode()).hexdigest()

    def _is_good(self, path: Path) -> bool:
        try:
            age = self._clock() - path.stat().st_mtime
        except FileNotFoundError:
            return False
        return age < self._seconds
