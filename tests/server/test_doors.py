"""Every call has a policy, and nobody gets in without what it asks for."""

import json
import os
import subprocess
import sys
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from fedshow import rpc
from fedshow.errors import Forbidden, InvalidInput, NotFound
from fedshow.v1 import concepts_pb2, releases_pb2
from fedshow_server.services.doors import POLICIES, Policy

OURS = [
    service
    for module in (concepts_pb2, releases_pb2)
    for service in module.DESCRIPTOR.services_by_name.values()
]
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
def test_no_token_no_answer(server, member, method):
    credentials = grpc.ssl_channel_credentials(member.ca_pem)
    with grpc.secure_channel(member.reply.grpc, credentials) as channel:
        for metadata in (
            (),
            (("authorization", "Bearer "),),
            (("authorization", f"Bearer {'x' * 43}"),),
            (("authorization", member.reply.token),),
            (("authorization", f"Basic {member.reply.token}"),),
            (("authorization", f"Bearer {member.reply.token}"), ("authorization", "Bearer x")),
        ):
            with pytest.raises(Forbidden):
                call(channel, method, metadata)


def test_revoked_node_is_cut_off_everywhere(server, joined, member, tools):
    eve = joined(server, "eve")
    with eve.calls() as calls, rpc.typed_errors():
        calls.releases.ListReleases(releases_pb2.ListReleasesRequest(), timeout=60)
        server.revoke("eve")
        with pytest.raises(Forbidden, match="cut off"), rpc.typed_errors():
            calls.releases.ListReleases(releases_pb2.ListReleasesRequest(), timeout=60)
    tools.eventually(lambda: flowers_nodes(server)[str(eve.reply.node_id)] == "unregistered")
    assert flowers_nodes(server)[str(member.reply.node_id)] == "registered"


def flowers_nodes(server):
    """Flower's own list: number and status."""
    program = Path(sys.executable).parent / "flwr"
    answer = subprocess.run(
        [program, "supernode", "ls", "fedshow", "--format", "json"],
        env=os.environ | {"FLWR_HOME": str(server.data / "flower" / "home")},
        capture_output=True,
        text=True,
        timeout=60,
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
