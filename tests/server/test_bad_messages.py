"""What is no message: strangers do not hear so, members do, and nobody brings the server down."""

import grpc
import pytest

from fedshow import rpc
from fedshow.errors import Forbidden, InvalidInput
from fedshow.roles import Role

NO_MESSAGE = b"\xff" * 7
CALL = "/fedshow.v1.ReleaseService/GetRelease"
STREAM = "/fedshow.v1.ReleaseService/DownloadFile"


def send(node, token, path):
    with rpc.open_channel(node.reply.grpc, node.ca_pem, token) as channel, rpc.typed_errors():
        if path == STREAM:
            list(channel.unary_stream(path)(NO_MESSAGE, timeout=60))
        else:
            channel.unary_unary(path)(NO_MESSAGE, timeout=60)


@pytest.mark.parametrize("path", [CALL, STREAM])
def test_a_message_is_read_behind_the_door_only(member, path):
    with pytest.raises(Forbidden):
        send(member, "x" * 43, path)
    with pytest.raises(InvalidInput, match="no message of this call"):
        send(member, member.reply.token, path)


def test_so_with_a_role_that_may_not_call(everybody):
    node = everybody[Role.DOWNLOADER]
    with pytest.raises(Forbidden, match="is a downloader here"):
        send(node, node.reply.token, "/fedshow.v1.AdminService/ListNodes")


def test_health_does_not_mind(member):
    credentials = grpc.ssl_channel_credentials(member.ca_pem)
    with grpc.secure_channel(member.reply.grpc, credentials) as channel:
        with pytest.raises(grpc.RpcError):
            channel.unary_unary("/grpc.health.v1.Health/Check")(NO_MESSAGE, timeout=60)
        assert channel.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=60)
