"""ConceptService: what nodes offer and what became of it."""

# ruff: noqa: N802, ARG002  # names and signatures are the contract's

import asyncio
from collections.abc import Callable
from typing import Any

from fedshow.concepts import check_class, check_name
from fedshow.digests import DIGEST
from fedshow.errors import BaseMismatch, InvalidInput
from fedshow.families.card import BaseCard
from fedshow.joining import check_node_name
from fedshow.v1 import concepts_pb2 as pb
from fedshow.v1.concepts_pb2_grpc import ConceptServiceServicer
from fedshow_server.services.doors import caller
from fedshow_server.settings import ServerSettings
from fedshow_server.store import Concept, Concepts, Offer, Removal, State
from fedshow_server.upkeep.disk import Disk

STATES = {
    State.WANTED: pb.CONCEPT_STATE_WANTED,
    State.PENDING: pb.CONCEPT_STATE_PENDING,
    State.ADMITTED: pb.CONCEPT_STATE_ADMITTED,
    State.REFUSED: pb.CONCEPT_STATE_REFUSED,
    State.REPLACED: pb.CONCEPT_STATE_REPLACED,
    State.WITHDRAWN: pb.CONCEPT_STATE_WITHDRAWN,
}


class ConceptServicer(ConceptServiceServicer):
    """Answers from the store; `on_offer` is told when there may be something to collect."""

    def __init__(
        self,
        concepts: Concepts,
        card: BaseCard,
        limits: ServerSettings,
        disk: Disk,
        on_offer: Callable[[], None],
    ) -> None:
        self._concepts = concepts
        self._card = card
        self._max_concept_bytes = limits.max_concept_bytes
        self._offers_at_once = limits.offers_at_once
        self._protected = limits.protected_words
        self._disk = disk
        self._on_offer = on_offer
        self._turn = asyncio.Lock()  # two offers must not both have the last room

    async def ListConcepts(
        self, request: pb.ListConceptsRequest, context: Any
    ) -> pb.ListConceptsResponse:
        """The caller's own, and of others those that are admitted and that it may have; newest first."""
        node = caller()
        found = await asyncio.to_thread(self._concepts.seen_by, node)
        told = [message_of(one, in_full=one.node_id == node.id) for one in found]
        return pb.ListConceptsResponse(concepts=told)

    async def SubmitConcept(
        self, request: pb.SubmitConceptRequest, context: Any
    ) -> pb.SubmitConceptResponse:
        """The concept as the server has it now."""
        offer = self._checked(request)
        async with self._turn:
            concept = await asyncio.to_thread(self._submit, caller().id, offer)
        if concept.state is State.WANTED:
            self._on_offer()
        return pb.SubmitConceptResponse(concept=message_of(concept))

    async def WithdrawConcept(
        self, request: pb.WithdrawConceptRequest, context: Any
    ) -> pb.WithdrawConceptResponse:
        """The caller's concept, taken out of the next release."""
        name = check_name(request.name)
        concept = await asyncio.to_thread(self._concepts.withdraw, name, caller().id)
        return pb.WithdrawConceptResponse(concept=message_of(concept))

    async def ShowConcept(
        self, request: pb.ShowConceptRequest, context: Any
    ) -> pb.ShowConceptResponse:
        """The caller's concept, from now on for others than before."""
        name, visible_to = check_name(request.name), _visible_to(request)
        concept = await asyncio.to_thread(self._concepts.show, name, caller().id, visible_to)
        return pb.ShowConceptResponse(concept=message_of(concept))

    def _submit(self, node_id: int, offer: Offer) -> Concept:
        """Room is needed for what was offered before, too, and is still to come. Raises Exhausted."""
        others = (one for one in self._concepts.wanted() if one.sha256 != offer.sha256)
        self._disk.room_for(sum(one.size_bytes for one in others) + offer.size_bytes)
        return self._concepts.submit(node_id, offer, self._offers_at_once)

    def _checked(self, request: pb.SubmitConceptRequest) -> Offer:
        if not DIGEST.fullmatch(request.sha256):
            raise InvalidInput(f"sha256 {request.sha256[:80]!r}: must be 64 hexadecimal digits")
        if not 0 < request.size_bytes <= self._max_concept_bytes:
            raise InvalidInput(
                f"concept file of {request.size_bytes} bytes, the limit here is "
                f"{self._max_concept_bytes}"
            )
        if request.name in self._protected:
            raise InvalidInput(
                f"the name {request.name!r} is protected by this server's owner: choose another"
            )
        if request.base_sha256 != self._card.sha256:
            raise BaseMismatch(
                f"concept {request.name!r} was made for base {request.base_sha256[:12]!r}, this "
                f"server fuses for {self._card.name} ({self._card.sha256[:12]})"
            )
        return Offer(
            check_name(request.name),
            check_class(request.class_word),
            request.sha256,
            request.size_bytes,
            _visible_to(request),
        )


def _visible_to(request: Any) -> frozenset[str] | None:
    if not request.HasField("visible"):
        return None
    return frozenset(check_node_name(name) for name in request.visible.nodes)


def message_of(concept: Concept, *, in_full: bool = True) -> pb.Concept:
    """The concept in the contract's words; `in_full` as its own node and the server's owner hear it."""
    message = pb.Concept(
        name=concept.name,
        class_word=concept.class_word,
        sha256=concept.sha256,
        size_bytes=concept.size_bytes,
        owner=concept.owner,
        state=STATES[concept.state],
        reason=concept.reason,
    )
    message.created.FromDatetime(concept.created)
    if in_full and concept.visible_to is not None:
        message.visible.SetInParent()
        message.visible.nodes.extend(sorted(concept.visible_to))
    if in_full and (removal := concept.removal):
        message.removal.MergeFrom(_removal(removal))
    return message


def _removal(removal: Removal) -> pb.Removal:
    message = pb.Removal(
        remaining=removal.remaining,
        remaining_sha256=removal.remaining_sha256,
        largest_difference=removal.largest_difference,
    )
    message.at.FromDatetime(removal.at)
    return message
