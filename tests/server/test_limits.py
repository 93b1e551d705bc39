"""Limits have clear answers, over gRPC and HTTP, and whoever keeps to them is not bothered."""

import asyncio
import shutil
from contextlib import AsyncExitStack
from contextvars import copy_context
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace

import grpc
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from fedshow import rpc
from fedshow.errors import Exhausted, Forbidden, InvalidInput
from fedshow.joining import JoinRequest
from fedshow.v1 import concepts_pb2, releases_pb2
from fedshow.wire import JOIN_PATH
from fedshow_server.calls import begin
from fedshow_server.members.guard import (
    NOTED,
    NOTED_PER_CALLER,
    SUPERNODES_AT_ONCE,
    SUPERNODES_PER_MINUTE,
    Guard,
)
from fedshow_server.members.node_keys import FLOWERS_HEADER
from fedshow_server.services import concepts
from fedshow_server.services.doors import Entrance
from fedshow_server.services.policies import Policy
from fedshow_server.settings import ServerSettings
from fedshow_server.store import Offer
from fedshow_server.upkeep.disk import Disk
from tests.stage.concepts import CARD
from tests.stage.member import NOWHERE, Member, openssh_line

OFFER = Offer("potter", "man", sha256(b"1").hexdigest(), 1000)


CALLS_PER_MINUTE = 300
"""More than the tests of one minute make."""


@pytest.fixture(scope="module")
def narrow(tools, tmp_path_factory):
    """A server with hardly any room."""
    environment = {
        "FEDSHOW_SERVER_JOINS_PER_MINUTE": "1000000",
        "FEDSHOW_SERVER_WRONG_TOKENS_PER_MINUTE": "3",
        "FEDSHOW_SERVER_CALLS_AT_ONCE": "2",
        "FEDSHOW_SERVER_CALLS_PER_MINUTE": str(CALLS_PER_MINUTE),
        "FEDSHOW_SERVER_PROTECTED_WORDS": '["queen"]',
        "FEDSHOW_SERVER_FREE_DISK_BYTES": str(10**18),
    }
    data = tools.make_data(tmp_path_factory.mktemp("narrow") / "data")
    found = tools.Server(data, environment=environment)
    found.start()
    yield found
    assert found.end() == 0


@pytest.fixture(scope="module")
def anna(narrow, joined):
    """Its node."""
    return joined(narrow, "anna")


def submit(calls, card, name=OFFER.name):
    with rpc.typed_errors():
        request = concepts_pb2.SubmitConceptRequest(
            name=name,
            class_word=OFFER.class_word,
            sha256=OFFER.sha256,
            size_bytes=OFFER.size_bytes,
            base_sha256=card.sha256,
        )
        calls.concepts.SubmitConcept(request, timeout=60)


def releases(calls):
    with rpc.typed_errors():
        return calls.releases.ListReleases(releases_pb2.ListReleasesRequest(), timeout=60)


def test_full_disk_refuses_concepts_and_says_so(narrow, anna, tools):
    with anna.calls() as calls:
        with pytest.raises(Exhausted, match=r"disk is nearly full: \d+ MiB are free"):
            submit(calls, tools.card)
        releases(calls)  # what needs no room goes on
    with narrow.http() as client:
        answer = client.get("/healthz")
        assert answer.status_code == 503
        assert "nearly full" in answer.json()["parts"]["disk"]


def test_what_was_offered_before_needs_room_too(store, monkeypatch):
    """Two that fit only one by one; the first may be offered again, and the second once it is gone."""
    disk = Disk([Path("/")], 100)
    monkeypatch.setattr(Disk, "free_bytes", 1100 + OFFER.size_bytes // 2)
    store.members.join(store.members.invite("anna", timedelta(days=1)), "key", 1)
    (node,) = store.members.nodes()
    limits = ServerSettings(offers_at_once=9)
    monkeypatch.setattr(concepts, "caller", lambda: node)
    servicer = concepts.ConceptServicer(store.concepts, CARD, limits, disk, lambda: None)

    def offer(name, digest):
        request = concepts_pb2.SubmitConceptRequest(
            name=name,
            class_word="man",
            sha256=digest,
            size_bytes=OFFER.size_bytes,
            base_sha256=CARD.sha256,
        )
        return asyncio.run(servicer.SubmitConcept(request, None)).concept.state

    for _ in range(2):
        assert offer("potter", OFFER.sha256) == concepts_pb2.CONCEPT_STATE_WANTED
    with pytest.raises(Exhausted, match="nearly full"):
        offer("dobby", "b" * 64)
    assert [one.name for one in store.concepts.all()] == ["potter"]
    store.concepts.withdraw("potter")
    assert offer("dobby", "b" * 64) == concepts_pb2.CONCEPT_STATE_WANTED


def test_the_fullest_disk_counts(tmp_path, monkeypatch):
    free = {tmp_path / "data": 5 << 30, tmp_path / "nas": 2 << 30}
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=free[folder]))
    settings = ServerSettings(data=tmp_path / "data", store=str(tmp_path / "nas"))
    assert settings.growing_folders == (*free,)
    disk = Disk(settings.growing_folders, settings.free_disk_bytes)
    disk.room_for(1 << 30)
    with pytest.raises(Exhausted, match="2048 MiB are free, 1025 are wanted, at least 1024"):
        disk.room_for((1 << 30) + (1 << 20))
    free[tmp_path / "nas"] = 1 << 20
    assert "1 MiB are free, at least 1024 must stay" in disk.problem()
    elsewhere = ServerSettings(data=tmp_path / "data", store="s3://bucket/prefix")
    assert elsewhere.growing_folders == (tmp_path / "data",)


def test_nobody_takes_a_protected_name(anna, tools):
    with anna.calls() as calls, pytest.raises(InvalidInput, match="'queen' is protected"):
        submit(calls, tools.card, "queen")


def test_calls_of_one_node_at_once(narrow, anna, tools):
    with anna.calls() as calls:
        watches = [calls.releases.WatchReleases(releases_pb2.WatchReleasesRequest()) for _ in "ab"]
        for watch in watches:
            next(watch)  # they are open now
        with pytest.raises(Exhausted, match="2 calls open"):
            releases(calls)
        with narrow.http() as client:
            headers = {"authorization": f"Bearer {anna.reply.token}"}
            answer = client.get("/api/releases", headers=headers)
            assert answer.status_code == 429
            assert answer.json()["reason"] == "EXHAUSTED"
            assert int(answer.headers["retry-after"]) > 0
        watches[0].cancel()

        def again():
            try:
                return releases(calls) is not None
            except Exhausted:
                return False

        tools.eventually(again)
        watches[1].cancel()


def test_floods_of_flowers_calls_are_counted_apart(store):
    settings = ServerSettings(calls_per_minute=1, calls_at_once=2)
    entrance = Entrance(store.members, lambda _: None, Guard(settings, store.audit))
    key = ec.generate_private_key(ec.SECP384R1())
    secret = store.members.invite("anna", timedelta(days=1))
    node, token = store.members.join(secret, openssh_line(key), 5)
    shown = Member(NOWHERE, None, b"", key, None).key_header[FLOWERS_HEADER]

    async def many(count):
        async with AsyncExitStack() as calls:
            for _ in range(count):
                await calls.enter_async_context(entrance.passing(shown))

    async def flood():
        begin("a flood", "127.0.0.1")  # here: only in the context of this task
        await many(SUPERNODES_AT_ONCE)
        with pytest.raises(Exhausted, match="8 Flower's calls open"):
            await many(SUPERNODES_AT_ONCE + 1)
        for _ in range(SUPERNODES_PER_MINUTE - 2 * SUPERNODES_AT_ONCE - 1):
            await many(1)
        with pytest.raises(Exhausted, match="120 a minute"):
            await many(1)
        async with entrance.entered(token, Policy.MEMBER) as found:
            assert found == node, "its other calls go on"

    asyncio.run(flood())


def test_a_flood_of_flowers_calls_is_told_to_come_again(narrow, anna):
    """In the one way that a SuperNode takes: it would give up at 429."""
    with narrow.http() as client:
        told = set()
        for _ in range(3 * CALLS_PER_MINUTE):  # the minute may change meanwhile
            last = client.post("/v1/fleet/x", headers=anna.key_header)
            told.add(last.status_code)
            if last.status_code == 503:
                break
    assert told > {503}, "first they are let in"
    assert 429 not in told
    assert 1 <= int(last.headers["retry-after"]) <= 60
    assert "Flower's calls of this node" in last.json()["message"]


def test_wrong_tokens_are_slowed_down_but_nobody_is_locked_out(narrow, anna, tools):
    with anna.calls() as calls:
        releases(calls)  # its token was good before
        with anna.calls(token="x" * 43) as strangers:
            told = [refusal(strangers) for _ in range(5)]
        assert told[0] is Forbidden
        assert told[-1] is Exhausted
        releases(calls)
    guess = {"token": "x" * 43}
    here = {"origin": f"https://{narrow.address}"}
    with narrow.http() as client:
        assert client.post("/gallery/sign-in", data=guess, headers=here).status_code == 429
    body = JoinRequest(secret="y" * 43, public_key=tools.openssh_line(anna.key)).model_dump()
    with narrow.http() as client:
        answer = client.post(JOIN_PATH, json=body)
        assert answer.status_code == 429
        assert 1 <= int(answer.headers["retry-after"]) <= 60
        assert "3 a minute" in answer.json()["message"]


def refusal(calls):
    try:
        releases(calls)
    except (Forbidden, Exhausted) as error:
        return type(error)
    return None


def test_attempts_to_join_are_bounded_for_each_address(own_store):
    guard = Guard(ServerSettings(joins_per_minute=2), own_store.audit)

    def knock(address):
        begin("POST /api/join", address)
        guard.may_join()

    for _ in range(2):
        copy_context().run(knock, "192.0.2.7")
    with pytest.raises(Exhausted, match="attempts to join from this address: 2 a minute"):
        copy_context().run(knock, "192.0.2.7")
    copy_context().run(knock, "192.0.2.8")


def test_knocking_fills_no_log(own_store):
    guard = Guard(ServerSettings(), own_store.audit)

    async def knock(addresses, times):
        for number in range(addresses):
            begin("x", f"192.0.2.{number}")
            for _ in range(times):
                await guard.note(Forbidden("no"))

    asyncio.run(knock(1, 20))
    assert own_store.audit.head().position == NOTED_PER_CALLER.amount
    asyncio.run(knock(90, 2))
    assert own_store.audit.head().position == NOTED.amount


def test_grpc_tells_when_to_try_again():
    status = rpc.status_of(Exhausted("full", 90.0))
    assert status.code == grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]
    info = error_details_pb2.RetryInfo()
    assert any(detail.Is(info.DESCRIPTOR) and detail.Unpack(info) for detail in status.details)
    assert info.retry_delay.seconds == 90
    assert rpc_status.to_status(status).code is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_offers_that_wait_are_bounded(store):
    anna, _ = store.members.join(store.members.invite("anna", timedelta(days=1)), "key", 5)
    store.concepts.submit(anna.id, OFFER, 1)
    store.concepts.submit(anna.id, OFFER, 1)  # the same again
    other = Offer("dobby", "man", sha256(b"2").hexdigest(), 10)
    with pytest.raises(Exhausted, match="1 concepts of this node"):
        store.concepts.submit(anna.id, other, 1)
    store.concepts.admit(OFFER.sha256)
    store.concepts.submit(anna.id, other, 1)
