"""Every call has a policy, and nobody gets in without what it asks for."""

import asyncio
import json
import os
import subprocess
import sys
import time
from base64 import b64encode
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import grpc
import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from grpc_health.v1 import health_pb2, health_pb2_grpc

from fedshow import rpc
from fedshow.errors import Forbidden, InvalidInput, NotFound
from fedshow.roles import Role
from fedshow.v1 import admin_pb2, concepts_pb2, releases_pb2
from fedshow_server.services.doors import Entrance
from fedshow_server.services.policies import POLICIES, Policy
from tests.stage.publishing import put_release
from tests.stage.waiting import PATIENCE_SECONDS

OURS = [
    service
    for module in (admin_pb2, concepts_pb2, releases_pb2)
    for service in module.DESCRIPTOR.services_by_name.values()
]
FLOWERS_WORD = 415  # the SuperLink itself does not like an empty call
HEALTH = health_pb2.DESCRIPTOR.services_by_name["Health"]


def path(method):
    return f"/{method.containing_service.full_name}/{method.name}"


METHODS = [method for service in (*OURS, HEALTH) for method in service.methods]
GUARDED = [method for method in METHODS if POLICIES.get(path(method)) is not Policy.ANYBODY]


def test_every_method_has_a_policy_and_no_other():
    assert {path(method) for method in METHODS} == set(POLICIES)


def test_only_health_is_open():
    open_to_all = {name for name, policy in POLICIES.items() if policy is Policy.ANYBODY}
    assert all(name.startswith("/grpc.health.v1.") for name in open_to_all)


def call(channel, method, metadata=()):
    make = channel.unary_stream if method.server_streaming else channel.unary_unary
    with rpc.typed_errors():
        answer = make(path(method))(b"", timeout=60, metadata=metadata)
        if method.server_streaming:
            next(iter(answer))


@pytest.mark.parametrize("method", GUARDED, ids=lambda method: method.name)
def test_no_good_token_no_answer(server, member, useless_tokens, method):
    credentials = grpc.ssl_channel_credentials(member.ca_pem)
    with grpc.secure_channel(member.reply.grpc, credentials) as channel:
        for metadata in (
            (),
            (("authorization", "Bearer "),),
            (("authorization", member.reply.token),),
            (("authorization", f"Basic {member.reply.token}"),),
            (("authorization", f"Bearer {member.reply.token}"), ("authorization", "Bearer x")),
            *((("authorization", f"Bearer {token}"),) for token in useless_tokens.values()),
        ):
            with pytest.raises(Forbidden):
                call(channel, method, metadata)


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("method", GUARDED, ids=lambda method: method.name)
def test_every_role_does_what_it_may_and_no_more(everybody, method, role):
    node = everybody[role]
    with rpc.open_channel(node.reply.grpc, node.ca_pem, node.reply.token) as channel:
        if POLICIES[path(method)].admits(role):
            with suppress(InvalidInput, NotFound):  # it was let in, with an empty request
                call(channel, method)
        else:
            with pytest.raises(Forbidden, match=f"is a {role} here"):
                call(channel, method)


def test_a_wrong_role_is_in_the_audit_log(server, joined):
    node = joined(server, "della", Role.DOWNLOADER)
    with node.calls() as calls, pytest.raises(Forbidden), rpc.typed_errors():
        calls.concepts.SubmitConcept(concepts_pb2.SubmitConceptRequest(), timeout=60)
    store = server.store()
    refused = [entry for entry in store.audit.last(50) if entry.action == "door.refused"]
    store.close()
    assert ("node della", "SubmitConcept") in [(entry.who, entry.subject) for entry in refused]


def test_what_has_no_entry_is_closed_to_owners_too():
    entrance = Entrance(None, None, SimpleNamespace(may_try=lambda: None, refused=_forget))

    async def enter():
        async with entrance.entered("x" * 43, POLICIES.get("/fedshow.v1.AdminService/New")):
            pass

    with pytest.raises(Forbidden):
        asyncio.run(enter())


async def _forget(_):
    pass


def test_revoked_node_is_cut_off_on_every_door(server, joined, member, tools):
    """gRPC, HTTP, the hub, Flower's calls and streams that are open, and nobody else is."""
    big = put_release(server, "hedwig", {"big.safetensors": bytes(64 << 20)})
    file = f"/releases/{big.release}/big.safetensors"
    doors = (
        "/api/releases",
        file,
        "/api/models/fedshow/latest",
        f"/fedshow/latest/resolve/main{file[26:]}",
    )
    eve = joined(server, "eve", Role.OWNER)
    with eve.calls() as calls, member.calls() as others, server.http() as client:
        bound = {"timeout": tools.patience_seconds}
        watching = calls.releases.WatchReleases(releases_pb2.WatchReleasesRequest(), **bound)
        next(watching)
        request = releases_pb2.DownloadFileRequest(sha256=big.files["big.safetensors"].sha256)
        loading = calls.releases.DownloadFile(request, **bound)
        next(loading)
        other = others.releases.WatchReleases(releases_pb2.WatchReleasesRequest(), **bound)
        next(other)
        with client.stream("GET", file, headers=eve.bearer) as answer:
            blocks = answer.iter_raw(1 << 16)
            assert next(blocks)
            assert all(
                client.head(door, headers=eve.bearer).status_code in (200, 405) for door in doors
            )
            assert fleet_call(client, eve).status_code == FLOWERS_WORD

            server.revoke("eve")

            assert fleet_call(client, eve).json()["reason"] == "FORBIDDEN"
            for door in doors:
                answered = client.get(door, headers=eve.bearer)
                assert (answered.status_code, answered.json()["reason"]) == (403, "FORBIDDEN")
            with rpc.open_channel(eve.reply.grpc, eve.ca_pem, eve.reply.token) as channel:
                for method in GUARDED:
                    with pytest.raises(Forbidden, match="cut off"):
                        call(channel, method)
            for stream in (watching, loading):
                with pytest.raises(Forbidden, match="cut off"), rpc.typed_errors():
                    for _ in stream:
                        pass
            with pytest.raises(httpx.RemoteProtocolError):
                exhaust(blocks)
        assert client.get("/api/releases", headers=member.bearer).is_success
        assert fleet_call(client, member).status_code == FLOWERS_WORD
        assert other.is_active()
    tools.eventually(lambda: flowers_nodes(server)[str(eve.reply.node_id)] == "unregistered")
    assert flowers_nodes(server)[str(member.reply.node_id)] == "registered"


def exhaust(blocks):
    for _ in blocks:
        time.sleep(0.05)  # or all of it could be on its way before the server looks


def fleet_call(client, node):
    return client.post("/v1/fleet/pull-messages", headers=node.key_header)


def test_calls_of_flowers_need_the_key_of_a_node(server, everybody, tools):
    strangers = ec.generate_private_key(ec.SECP384R1())
    other_kind = ec.generate_private_key(ec.SECP256R1())
    node = everybody[Role.CONTRIBUTOR]
    with server.http() as client:
        for key in (strangers, other_kind, everybody[Role.DOWNLOADER].key):
            asked = fleet_call(client, replace(node, key=key))
            assert (asked.status_code, asked.json()["reason"]) == (403, "FORBIDDEN")
        for header in ({}, {"flwr-public-key": "x"}, {"flwr-public-key": b64encode(b"x").decode()}):
            assert client.post("/v1/fleet/pull-messages", headers=header).status_code == 403


def flowers_nodes(server):
    """Flower's own list: number and status."""
    program = Path(sys.executable).parent / "flwr"
    answer = subprocess.run(
        [program, "supernode", "ls", "fedshow", "--format", "json"],
        env=os.environ | {"FLWR_HOME": str(server.data / "flower" / "home")},
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
    )
    return {node["node-id"]: node["status"] for node in json.loads(answer.stdout)["nodes"]}


def test_health_is_open_and_true(server, member):
    credentials = grpc.ssl_channel_credentials(member.ca_pem)
    with grpc.secure_channel(member.reply.grpc, credentials) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        for service in ("", *rpc.SERVICES):
            request = health_pb2.HealthCheckRequest(service=service)
            answer = health.Check(request, timeout=60)
            assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_plain_text_gets_nowhere(server, member):
    with grpc.insecure_channel(member.reply.grpc) as channel, pytest.raises(grpc.RpcError):
        channel.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=5)


def test_errors_keep_their_type_and_words(server, member):
    def withdraw(name):
        with member.calls() as calls, rpc.typed_errors():
            request = concepts_pb2.WithdrawConceptRequest(name=name)
            calls.concepts.WithdrawConcept(request, timeout=60)

    with pytest.raises(NotFound, match="no concept 'nobody'"):
        withdraw("nobody")
    with pytest.raises(InvalidInput, match="concept name 'No Name'"):
        withdraw("No Name")


def test_reasons_cover_every_error():
    from fedshow import errors

    kinds = {kind for kind in vars(errors).values() if isinstance(kind, type)}
    assert {kind for kind, _ in rpc.REASONS.values()} == kinds
    for kind in kinds:
        assert type(rpc.error_of(rpc.reason_of(kind("x")), "x")) is kind
    assert rpc.status_of(RuntimeError("secret path")).message == rpc.INTERNAL_TEXT
