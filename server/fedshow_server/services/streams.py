"""Streams that are open now: those of a node that was cut off end within a second."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

from fedshow.errors import Forbidden
from fedshow_server.store import Members, Node

POLL_SECONDS = 1.0
END = object()
Cut = asyncio.Future[None]
"""Done when a stream has to end."""


class OpenStreams:
    """Who is being answered for how long; a token is looked at only when a call begins."""

    def __init__(self, members: Members) -> None:
        self._members = members
        self._cuts: dict[Cut, int] = {}

    async def cut_revoked_forever(self) -> None:
        """Ends the streams of revoked nodes; runs until cancelled."""
        while True:
            if self._cuts:
                nodes = await asyncio.to_thread(self._members.nodes)
                revoked = {node.id for node in nodes if node.revoked}
                for cut, node_id in self._cuts.items():
                    if node_id in revoked and not cut.done():
                        cut.set_result(None)
            await asyncio.sleep(POLL_SECONDS)

    async def until_revoked(
        self, node: Node, answers: AsyncGenerator[Any, None]
    ) -> AsyncIterator[Any]:
        """The answers; raises Forbidden in the midst of them when the node is cut off."""
        cut: Cut = asyncio.get_running_loop().create_future()
        self._cuts[cut] = node.id
        try:
            async with aclosing(answers):
                while (answer := await _next_unless(cut, answers)) is not END:
                    yield answer
        finally:
            del self._cuts[cut]


async def _next_unless(cut: Cut, answers: AsyncGenerator[Any, None]) -> Any:
    """The next answer, or END; raises Forbidden as soon as `cut` is done."""
    upcoming = asyncio.ensure_future(_next(answers))
    try:
        await asyncio.wait((upcoming, cut), return_when=asyncio.FIRST_COMPLETED)
        if cut.done():
            raise Forbidden("this node was cut off by the server's owner")
        return upcoming.result()
    finally:
        upcoming.cancel()
        await asyncio.wait((upcoming,))  # or the generator could not be closed


async def _next(answers: AsyncGenerator[Any, None]) -> Any:
    return await anext(answers, END)
