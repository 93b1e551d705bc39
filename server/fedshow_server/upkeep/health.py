"""Whether each part does its work, judged by trying, and what is wrong where it does not."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType

from fedshow.errors import FedshowError

POLL_SECONDS = 1.0
FINE = ""

Check = Callable[[], str | Awaitable[str]]
"""What is wrong with a part; empty when nothing is."""

NEEDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "fedshow.v1.ConceptService": ("server", "database", "superlink", "disk"),
        "fedshow.v1.ReleaseService": ("server", "database"),
        "fedshow.v1.AdminService": ("server", "database"),
    }
)
"""Service to the parts without which it is not served."""


class Health:
    """The parts' state, looked at once a second: asking costs nothing."""

    def __init__(self, checks: Mapping[str, Check]) -> None:
        self._checks = checks
        self._problems = {"server": "is starting", **dict.fromkeys(checks, "not looked at yet")}

    @property
    def problems(self) -> dict[str, str]:
        """Each part and what is wrong with it; empty words when nothing is."""
        return dict(self._problems)

    @property
    def serving(self) -> bool:
        """Whether everything is fine."""
        return not any(self._problems.values())

    def serves(self, service: str) -> bool:
        """Whether this service can do its work; "" for the whole server."""
        parts = NEEDS.get(service, self._problems)
        return not any(self._problems[part] for part in parts)

    def server_is(self, problem: str) -> None:
        """What the server as a whole is: starting, stopping, or fine."""
        self._problems["server"] = problem

    async def look(self) -> None:
        """Tries every part."""
        for part, check in self._checks.items():
            self._problems[part] = await _result(check)

    async def watch_forever(self, on_look: Callable[[], Awaitable[None]]) -> None:
        """Runs until cancelled; `on_look` is called after every look."""
        while True:
            await self.look()
            await on_look()
            await asyncio.sleep(POLL_SECONDS)


async def _result(check: Check) -> str:
    try:
        found = check()
        return found if isinstance(found, str) else await found
    except FedshowError as error:
        return str(error)
