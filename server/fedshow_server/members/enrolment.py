"""Letting nodes in, and keeping out those that were cut off."""

import asyncio
import logging

from fedshow.errors import Forbidden, Unreachable
from fedshow.families.card import BaseCard
from fedshow.joining import JoinReply, JoinRequest
from fedshow.releases.signing import PublicKey
from fedshow_server.flower.superlink import SuperLink
from fedshow_server.folder import Facts
from fedshow_server.members.guard import Guard
from fedshow_server.members.node_keys import checked_key
from fedshow_server.store import Members, Node

log = logging.getLogger(__name__)

POLL_SECONDS = 2.0
LONGEST_PAUSE_SECONDS = 60.0
LONGEST_WAIT_SECONDS = 30.0
"""A join waits this long for a SuperLink that is restarting."""


class Enrolment:
    """Redeems join codes; Flower's list of nodes follows ours."""

    def __init__(
        self,
        members: Members,
        superlink: SuperLink,
        facts: Facts,
        card: BaseCard,
        signing_key: PublicKey,
        guard: Guard,
    ) -> None:
        self._members = members
        self._superlink = superlink
        self._facts = facts
        self._card = card
        self._signing_key = signing_key
        self._guard = guard
        self._turn = asyncio.Lock()  # a key is registered before its node is in our list

    async def join(self, request: JoinRequest) -> JoinReply:
        """The new node's papers. Raises Forbidden, InvalidInput, Exhausted, Unreachable."""
        self._guard.may_join()
        key = checked_key(request.public_key)
        try:
            return await self._redeemed(request.secret, key)
        except Forbidden as error:
            await self._guard.refused(error)
            raise

    async def _redeemed(self, secret: str, key: str) -> JoinReply:
        async with self._turn:
            again = await asyncio.to_thread(self._members.rejoin, secret, key)
            if again is not None:
                return self._papers(*again)
            invited = await asyncio.to_thread(self._members.invitation, secret)
            flower_id = await self._register(key) if invited.role.contributes else None
            node, token = await asyncio.to_thread(self._members.join, secret, key, flower_id)
        log.info("node %s joined as %s", node.name, node.role)
        return self._papers(node, token)

    async def follow_members(self) -> None:
        """Has Flower list all active nodes, and nobody else; until cancelled.

        Compared at the start, since Flower's list may be one of an earlier day, and when nodes are revoked.
        """
        settled, unsure = set[int](), bool(await self._flower_ids(revoked=False))
        pause = POLL_SECONDS
        while True:
            revoked = await self._flower_ids(revoked=True)
            if unsure or revoked - settled:
                await self._superlink.healthy.wait()
                try:
                    async with self._turn:
                        listed = await self._superlink.nodes()
                        await self._cut_off_strangers(listed)
                        await self._register_unlisted(listed)
                    settled, unsure, pause = revoked, False, POLL_SECONDS
                except Unreachable as error:
                    log.warning("could not bring Flower's list of nodes up to date: %s", error)
                    pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
            await asyncio.sleep(pause)

    async def _register(self, public_key: str) -> int:
        try:
            await asyncio.wait_for(self._superlink.healthy.wait(), LONGEST_WAIT_SECONDS)
        except TimeoutError:
            raise Unreachable("the server's SuperLink is not up; try again later") from None
        try:
            return await self._superlink.register(public_key)
        except Unreachable:  # perhaps the key of a join that we did not live to write down
            if not await self._cut_off_strangers(await self._superlink.nodes()):
                raise
        return await self._superlink.register(public_key)

    async def _cut_off_strangers(self, listed: set[int]) -> bool:
        """Whether Flower listed anybody who is not, or no longer, an active node."""
        gone = listed - await self._flower_ids(revoked=False)
        for number in gone:
            await self._superlink.unregister(number)
        if gone:
            log.info("cut off from Flower: %s", ", ".join(map(str, gone)))
        return bool(gone)

    async def _register_unlisted(self, listed: set[int]) -> None:
        """Active nodes that Flower does not list could hand nothing over: they get another number.

        Raises Unreachable when that failed for some.
        """
        failures = []
        for node, key in await asyncio.to_thread(self._members.unlisted, listed):
            try:
                number = await self._superlink.register(key)
            except Unreachable as error:
                failures.append(f"{node.name}: {error}")
                continue
            await asyncio.to_thread(self._members.renumber, node, number)
            log.warning("node %s was not on Flower's list: registered again", node.name)
        if failures:
            raise Unreachable("; ".join(failures))

    async def _flower_ids(self, *, revoked: bool) -> set[int]:
        nodes = await asyncio.to_thread(self._members.nodes)
        asked = (node for node in nodes if bool(node.revoked) == revoked)
        return {node.flower_id for node in asked if node.flower_id is not None}

    def _papers(self, node: Node, token: str) -> JoinReply:
        return JoinReply(
            server=self._facts.name,
            node=node.name,
            role=node.role,
            node_id=node.flower_id,
            token=token,
            grpc=self._facts.grpc,
            base=self._card,
            signing_key=self._signing_key,
        )
