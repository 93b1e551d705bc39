"""Work that goes on for months, through databases and stores that go away and come back."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from fedshow.errors import Unreachable

log = logging.getLogger(__name__)

PAUSE_SECONDS = 2.0


async def lasting(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Does `work`, and again each time that something it stands on did not answer."""
    while True:
        try:
            return await work()
        except Unreachable as error:
            log.warning("%s; trying again", error)
            await asyncio.sleep(PAUSE_SECONDS)
